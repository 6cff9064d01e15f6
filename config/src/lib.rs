//! Berth's policy.

pub mod outcome;
