//! The fuzz targets: each takes any bytes, feeds them to a part of Berth, and panics where something does not hold
//! that must. `fuzz/run` drives them with coverage, `tests/smoke.rs` with the corpora and their mutations.

mod bus;
mod cgroup;
mod damage;
mod decide;
mod exceptions;
mod globs;
mod input;
mod ledger;
mod lists;
mod loaded;
mod merge;
mod mounts;
mod pam;
mod penalties;
mod policy;
mod protocol;
mod records;
mod state;

// The module's own files, but for those that talk to libpam and the kernel. They name each other from the root, and
// more is in them than is used here.
macro_rules! of_the_module {
    ($($name:ident $path:literal)*) => {$(
        #[path = $path]
        #[allow(dead_code)]
        mod $name;
    )*};
}
of_the_module! {
    arguments "../../../pam_module/src/arguments.rs"
    code "../../../pam_module/src/code.rs"
    error "../../../pam_module/src/error.rs"
    host "../../../pam_module/src/host.rs"
    join "../../../pam_module/src/join.rs"
    login "../../../pam_module/src/login.rs"
    nested "../../../pam_module/src/nested.rs"
    service "../../../pam_module/src/service.rs"
    text "../../../pam_module/src/text.rs"
}

/// A target: its name, which its corpus and its dictionary have too, and what is done with an input.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: [Target; 15] = [
    ("bus", bus::run),
    ("cgroup", cgroup::run),
    ("decide", decide::run),
    ("exceptions", exceptions::run),
    ("globs", globs::run),
    ("ledger", ledger::run),
    ("lists", lists::run),
    ("loaded", loaded::run),
    ("merge", merge::run),
    ("mounts", mounts::run),
    ("pam", pam::run),
    ("penalties", penalties::run),
    ("protocol", protocol::run),
    ("records", records::run),
    ("state", state::run),
];

/// Runs one of them, by name.
///
/// # Panics
/// Where something does not hold, and where there is no such target.
pub fn run(name: &str, input: &[u8]) {
    let target = TARGETS.iter().find(|(known, _)| *known == name);
    let (_, target) = target.expect("a target's name");
    target(input);
}

/// Whether an input of `protocol` is a message.
pub fn is_message(input: &[u8]) -> bool {
    protocol::is_message(input)
}

/// Whether the application of an input of `pam` joins a berth.
pub fn joins(input: &[u8]) -> bool {
    pam::joins(input)
}

/// Whether an input of `merge` is a policy without errors.
pub fn is_policy(input: &[u8]) -> bool {
    merge::policy(&input::text(input)).is_some()
}
