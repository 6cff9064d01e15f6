//! A small machine for each test, on which real programs log real users in.
//!
//! A test is one call of [`Machine::run`]. Its closure runs in a process of its own, in PID, mount, IPC
//! and network namespaces of its own, where `/etc`, `/run`, `/dev`, `/home`, `/tmp` and `/var` are the
//! test's own. The real `sshd`, `su`, `login`, `cron` and `atd` run in there and load the real module. When the
//! test ends, or is killed, the kernel ends everything that it started.
//!
//! Cases for a machine that systemd runs have a whole one for themselves instead, one after the other: see
//! [`Booted`] and [`guest`].
//!
//! What tests share is the kernel: the cgroup tree, and what is counted for each UID. So every test has
//! UIDs that no other running test has (see [`slot`]).

pub mod apart;
mod application;
mod booted;
mod cgroup;
mod client;
pub mod counted;
mod door;
mod elsewhere;
pub mod escape;
// It knows the registers of one architecture.
#[cfg(target_arch = "x86_64")]
pub mod faults;
pub mod guest;
mod installed;
mod jobs;
mod kernel;
pub mod left_calls;
mod log;
mod machine;
pub mod namespaces;
mod output;
mod own_folder;
mod policy;
mod process;
pub mod slot;
mod snapshot;
pub mod soak;
mod sshd;
mod terminal;
pub mod ticking;

pub use application::Session;
pub use booted::Booted;
pub use cgroup::Cgroups;
pub use door::Door;
pub use elsewhere::{Build, tree};
pub use kernel::{becomes, eventually, within};
pub use machine::{Machine, User};
pub use output::Output;
pub use own_folder::Folder;
pub use policy::{Policy, Stack};
pub use process::{Background, Process};
pub use snapshot::Snapshot;
pub use sshd::CHEAP_KEYS;
pub use terminal::Terminal;
