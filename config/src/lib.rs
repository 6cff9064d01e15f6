//! Berth's policy.
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

pub mod facts;
pub mod outcome;
mod policy;
mod sys;
pub mod value;

pub use facts::{Group, LocalTime, Login, LookupError, Machine, MachineError};
pub use policy::{DecideError, Decision, Exempt, Policy, PolicyError};
