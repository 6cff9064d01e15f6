//! Penalties: who uses more than a login node has for one user gets less of it for a while.
//!
//! [`Track`] says what a user's mean use is, [`Standing`] what comes of it. Both are told the time.

mod standing;
mod track;

pub use standing::{Standing, Standings};
pub use track::{Look, Mean, Process, Track, Tracks};
