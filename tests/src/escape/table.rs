//! The threat model's table of all attempts.

use std::fmt::Write;

use super::{Attempt, CLASSES, Promise, Without};

/// The table as it stands in docs/threat-model.md.
pub fn text() -> String {
    let mut text = String::from(
        "| attempt | it tries | must fail in | seen to lead out |\n|---|---|---|---|\n",
    );
    for (class, attempts) in CLASSES {
        for attempt in *attempts {
            let Attempt { name, tries, .. } = attempt;
            let (promise, without) = (promise(attempt.promise), without(attempt.without));
            // Writing to a String cannot fail.
            let _ = writeln!(text, "| {class}/{name} | {tries} | {promise} | {without} |");
        }
    }
    text
}

fn promise(promise: Promise) -> String {
    let berths = match promise {
        Promise::Namespaces => "all",
        Promise::UserNamespace => "a user namespace",
        Promise::NoNestedUserns => "`nested_userns = false`",
        Promise::OwnBerth => "`scope = \"session\"`",
        Promise::PrivateShm => "`private_shm`",
        Promise::SizedTmp => "`private_tmp` of a size",
        Promise::NoManager => "`user_manager = \"hidden\"`",
        Promise::Network => "`net`",
        Promise::Nothing(why) => return format!("**none**: {why}"),
    };
    berths.into()
}

fn without(without: Without) -> &'static str {
    match without {
        Without::NoBerth => "without a berth",
        Without::HostRoot => "as the host's root",
        Without::ResourceRoot => "as the host's root with CAP_SYS_RESOURCE",
        Without::RootInside => "as the host's root in the berth",
        Without::RootInMounts => "as the host's root in its mounts",
        Without::RootWithV1 => "as the host's root in the berth, where there is cgroup v1",
        Without::Victim => "as the victim",
    }
}
