//! `pam_berth.so`: asks the helper about a login, and puts the application into the berth it made.
//!
//! This runs inside other people's root processes, so it does least, starts no thread, prints nothing
//! and reads no environment. The way through the files: [`entry`] is what libpam calls, [`login`] decides
//! whether the helper is asked, [`join`] completes a session, [`close`] ends it. They know the world only
//! through the trait in [`host`], so that a scripted host can drive them in tests; [`live`] is the real one.
#![deny(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::arithmetic_side_effects
    )
)]

mod arguments;
mod close;
mod code;
mod entry;
mod error;
mod exchange;
mod host;
mod join;
mod kept;
mod live;
mod login;
mod nested;
mod pam;
mod service;
mod sys;
mod text;

#[cfg(test)]
mod tests;
