//! One system call of a login that fails, or one part of Berth that is killed before it: each in turn.
//!
//! The calls of a good login are written down once, from the module's first to the keeper's last; then for each there
//! are as many logins as it has ways to fail. A login is whole or refused, as `on_error` says, and nothing is left.

mod calls;
mod host;
mod module;
pub mod point;
pub mod suite;
mod tracee;
mod tracer;
pub mod traits;
mod trying;
mod verdict;
