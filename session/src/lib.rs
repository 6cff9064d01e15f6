//! What a live session is, on disk and in the kernel.
//!
//! Shared by the helper, which makes and ends sessions, and the CLI, which shows and ends them. A
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

mod applied;
mod counters;
mod entry;
mod error;
pub mod filter;
mod folder;
mod freezer;
mod group;
mod headless;
mod id;
mod ledger;
mod leftovers;
mod limits;
mod log;
mod outcome;
mod process;
mod protection;
mod record;
mod regular;
mod sweep;
mod sys;
pub mod systemd;
mod text;
mod tree;
mod usage;

pub use applied::{Applied, Change, Left, Whose};
pub use counters::{BOUNDS, Counters};
pub use entry::Entry;
pub use error::{Error, Result};
pub use folder::UserFolder;
pub use group::{Controller, Group};
pub use id::SessionId;
pub use ledger::Ledger;
pub use leftovers::Leftover;
pub use limits::{Limits, Pressure};
pub use log::Line;
pub use outcome::{Cause, Outcome};
pub use process::{Role, Stat, process_file, status_of};
pub use protection::{PROTECTION, cover};
pub use record::{NamespaceIds, RECORDS, Record, STATE, State};
pub use regular::{open_file, read_file, remove_file, replace_file};
pub use sweep::{PRIVATE_TMP, make_private_tmp, private_tmp, sweep};
pub use sys::{let_read, pidfd_kill, pidfd_open};
pub use text::{kernel_bytes, kernel_text};
pub use tree::{Manager, Tree, mounts_of};
pub use usage::{Usage, memory_in_use, tasks_refused};
