//! What the language has and Berth does not do yet. It is refused, never accepted and ignored.
//!
//! Each line here goes when the part that it is about is written.

use crate::contents::Contents;
use crate::diagnostic::{At, Finding};
use crate::setting::set;

/// The words that tell these errors from others.
pub const NOT_YET: &str = "not supported yet";

pub(crate) fn check(contents: &Contents) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut refuse = |at: At, what: &str| {
        findings.push(Finding::error(
            at,
            format!("{what}: {NOT_YET}"),
            "leave this out",
        ));
    };

    for profile in contents.profiles.values().map(|named| &named.table) {
        let namespaces = &profile.namespaces;
        for (name, setting) in [("time", &namespaces.time), ("cgroup", &namespaces.cgroup)] {
            // `"unset"` and `false` ask for nothing.
            if let Some((setting, true)) = set(setting) {
                refuse(setting.at, &format!("{name} namespaces"));
            }
        }
    }
    findings
}
