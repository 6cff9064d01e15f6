//! The conversation between Berth's PAM module and its helper.
//!
//! One `SOCK_SEQPACKET` socket pair. An account phase is the first two of these messages, and a session all four, in this
//! order:
//!
//! 1. module → helper: [`Request`], all that the module knows of the login;
//! 2. helper → module: [`Reply`], with the init's pidfd attached where there are namespaces to join;
//! 3. module → helper: [`Ack`], how the join went;
//! 4. helper → module: [`Reply::Kept`], after which the application goes on, and the helper keeps the session until the
//!    login ends.
//!
//! The kernel keeps the messages apart, so there is no framing. Both ends are of one version and come
//! from one package; a version that differs (an upgrade between the two) is an error that says so.
//! End of file where a message was due is an error at once.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use std::ffi::CStr;

#[cfg(test)]
#[path = "../../tests/src/apart.rs"]
mod apart;
mod channel;
pub mod exempt;
mod filter;
mod keyring;
mod message;
mod namespace;
#[cfg(test)]
#[path = "../../tests/src/own_folder.rs"]
mod own_folder;
pub mod service;
mod stat;

pub use channel::{ANOTHER_VERSION, Channel, ChannelError, VERSION, past_standard};
pub use filter::install_filter;
pub use keyring::new_session_keyring;
pub use message::{Ack, Instruction, JoinAbility, OnError, Phase, Reply, Request, Rlimit, Session};
pub use namespace::namespace;
pub use stat::Stat;

/// What the init of a berth is called in /proc/1/comm. Nobody else can be PID 1 in there.
pub const INIT: &CStr = c"berth-init";

/// Where the package installs the helper.
pub const HELPER: &str = "/usr/libexec/berth-helper";

/// Whether a character does not show, or changes how others do (a bidirectional override): what
/// `char::escape_debug` would escape.
pub fn is_invisible(c: char) -> bool {
    c.is_control() || (!c.is_ascii() && c.escape_debug().len() > 1)
}
