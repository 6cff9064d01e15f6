//! What helper and commands both know of sessions: their traces, cgroups, systemd, accounting, counters, log lines.
//!
//! The helper makes and ends sessions; the commands show and end them. A
//! session leaves these traces, all of them found by its user's UID and its id alone:
//!
//! | what | where |
//! |---|---|
//! | record | `/run/berth/sessions/ID` |
//! | entry in its user's folder | `/run/berth/users/UID/ID` |
//! | cgroup | `<cgroup2>/berth/user-UID/sessions/ID`, or `…/rescue/ID`; under systemd a scope, which is its own |
//! | caps under systemd | `/run/berth/users/UID/before`: what they were before |
//! | units held for a login at `tasks_max` | `/run/berth/users/UID/held`: what they had before |
//! | private /tmp on disk | `/var/lib/berth/tmp/ID` |
//!
//! So whoever finds a session whose keeper is gone can clean up after it: [`sweep`].

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

mod accounting;
mod applied;
mod cgroup;
mod counters;
mod error;
pub mod filter;
mod folder;
mod id;
mod kernel_text;
mod leftovers;
mod log;
#[cfg(test)]
#[path = "../../tests/src/own_folder.rs"]
mod own_folder;
mod process;
mod record;
mod regular;
mod sweep;
mod sys;
pub mod systemd;

pub use accounting::{Entry, Ledger};
pub use applied::{Applied, Change, Left, Whose};
pub use cgroup::{
    Controller, Group, Limits, Manager, PROTECTION, Pressure, Tree, Usage, cover, memory_in_use,
    mounts_of, tasks_refused,
};
pub use counters::{BOUNDS, Cause, Counters, LoginResult};
pub use error::{Error, Result};
pub use folder::UserFolder;
pub use id::SessionId;
pub use kernel_text::{kernel_bytes, kernel_text};
pub use leftovers::Leftover;
pub use log::Line;
pub use process::{Role, Stat, process_file, status_of};
pub use record::{NamespaceIds, RECORDS, Record, STATE, State};
pub use regular::{open_file, read_file, remove_file, replace_file};
pub use sweep::{PRIVATE_TMP, make_private_tmp, private_tmp, sweep};
pub use sys::{let_read, pidfd_kill, pidfd_open};
