//! The system calls that no crate wraps safely. Unsafe code lives here, in `pam` and in `entry` only.
#![allow(unsafe_code)]

pub mod held;
pub mod join;
pub mod room;
mod stack;
pub mod start;
mod undisturbed;
