//! What helper and commands both know of sessions: their traces, cgroups, systemd, accounting, counters, log lines.
//!
//! The helper makes and ends sessions; the commands show and end them. These are all files of Berth's but the admin's; the
//! cgroups are in `cgroup/tree.rs`.
//!
//! A session's traces, found by its user's UID and its id alone. So whoever finds a session whose keeper is gone can
//! clean up after it: [`sweep`].
//!
//! | what | where |
//! |---|---|
//! | record | `/run/berth/sessions/ID` |
//! | entry in its user's folder, which is the user's lock too | `/run/berth/users/UID/ID` |
//! | shared berth, and who is logged in to it | `/run/berth/users/UID/berth-ID`, `logins-ID` |
//! | cgroup; under systemd a scope, which is its own | see [`Tree`] |
//! | private /tmp on disk; what an earlier boot left there under this id | `/var/lib/berth/tmp/ID`, `stale-ID` |
//!
//! A user's, under systemd:
//!
//! | what | where |
//! |---|---|
//! | what the caps of the user's slice were before | `/run/berth/users/UID/before` |
//! | there is no session, and something of the user's runs | `/run/berth/users/UID/goes-on` |
//! | units held for a login at `tasks_max`, and what they had before | `/run/berth/users/UID/held` |
//!
//! Of all users:
//!
//! | what | where |
//! |---|---|
//! | what caps of all users together need: a folder as a user's, and whose lock is held while all are brought up to date | `/run/berth/users/everyone`, `applying` |
//! | a byte for each session id since boot | `/run/berth-last-id` |
//! | what logins came to, since boot | `/run/berth-counters` |
//! | what users whom a penalty watches used lately, and the lock of all penalties | `/run/berth-penalties`, `….lock` |
//! | on which step a user is, for that user to read | `/run/berth-standings/UID` |
//! | one round of `berth apply --due` at a time | `/run/berth-due.lock` |
//! | what it has told already | `/run/berth-due-wrong` |
//! | the trial of `berth pam`, and its lock | `/run/berth-pam`, `….lock` |
//! | the policy in force, who is let in before all else, and what becomes of logins whose helper gives no answer | `/var/lib/berth/policy.json`, `exempt` |
//! | there if something is to be done each minute | `/var/lib/berth/due` |
//! | caps for a while, and who is on which step | `/var/lib/berth/exceptions/UID`, `penalties` |
//! | PAM's files from before `berth pam enable` | `/var/lib/berth/pam.d` |
//! | the policy as it is edited, and the locks of `berth edit` and `reload` | `/var/lib/berth/edit-…`, `edit.lock`, `reload.lock` |
//! | a line for each past session, and the lock beside it | the `[accounting]` file |

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
pub mod kernel;
mod kernel_text;
mod leftovers;
mod lock;
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
    Backend, Controller, Group, Limits, PROTECTION, Pressure, Tree, Usage, cover, cpu_max,
    memory_in_use, mounts_of, tasks_refused,
};
pub use counters::{BOUNDS, Cause, Counters, LoginResult};
pub use error::{Error, Result};
pub use folder::UserFolder;
pub use id::SessionId;
pub use kernel_text::{kernel_bytes, kernel_text};
pub use leftovers::Leftover;
pub use log::Line;
pub use process::{Role, is_outside, process_file, runs_no_helper, stat_of, status_of};
pub use record::{NamespaceIds, RECORDS, Record, STATE, State};
pub use regular::{file_id, open_file, read_file, remove_file, replace_file};
pub use sweep::{PRIVATE_TMP, make_private_tmp, private_tmp, sweep, sweep_until};
pub use sys::{SELINUX_CONTEXT, let_read, pidfd_kill, pidfd_open, selinux_context};
