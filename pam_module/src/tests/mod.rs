//! Tests of the whole core, driven by a scripted host.

#[path = "../../../tests/src/apart.rs"]
mod apart;
pub mod changing;
mod closing;
mod deciding;
mod eventually;
mod joining;
mod panicking;
mod scripted;
mod starting;
mod unseen;
mod waiting;
