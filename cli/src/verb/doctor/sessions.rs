//! The sessions: those that nobody looks after, what they left, and records that cannot be read.

use berth_config::counted;
use berth_session::{Leftover, Tree};

use super::finding::Finding;
use super::world::World;
use crate::live::Sessions;
use crate::readable::harmless;

/// Removes what sessions left, and tells of each.
pub fn fix() -> Vec<Finding> {
    let found = Tree::find_if_any().and_then(|tree| Ok((tree, Leftover::find()?)));
    let (tree, left) = match found {
        Ok(found) => found,
        Err(error) => return vec![Finding::fail(error.to_string(), "berth list")],
    };
    let removed = Leftover::remove_all(&left, tree.as_ref());
    let fixed = left
        .iter()
        .zip(removed)
        .map(|(one, removed)| match removed {
            Ok(()) => Finding::fixed(format!("removed {}", named(one))),
            Err(error) => {
                let text = format!("cannot remove {}: {error}", named(one));
                Finding::fail(text, "try again when nobody is logging in")
            }
        });
    fixed.collect()
}

pub fn check(_: &World) -> Vec<Finding> {
    let sessions = match Sessions::read() {
        Ok(sessions) => sessions,
        Err(error) => return vec![Finding::fail(error.to_string(), "berth list")],
    };
    let mut findings = Vec::new();
    for error in &sessions.unread {
        findings.push(Finding::warn(error.to_string(), "berth list"));
    }
    // A session that is being opened or ended at this moment may look like one.
    let left = Leftover::find().unwrap_or_else(|error| {
        findings.push(Finding::fail(error.to_string(), "berth list"));
        Vec::new()
    });
    for one in left {
        findings.push(match &one.user {
            Some(user) => Finding::warn(
                format!(
                    "nobody looks after session {} of {}: its keeper was killed",
                    one.id,
                    harmless(user)
                ),
                format!("berth kill {}, or berth doctor --fix", one.id),
            ),
            None => Finding::warn(
                format!("nobody removes {}", named(&one)),
                "berth doctor --fix",
            ),
        });
    }
    if findings.is_empty() {
        let open = counted(sessions.records.len(), "session");
        findings.push(Finding::ok(format!("{open}, each with its keeper")));
    }
    findings
}

fn named(one: &Leftover) -> String {
    let traces: Vec<String> = one
        .traces
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    format!("what session {} left: {}", one.id, traces.join(", "))
}
