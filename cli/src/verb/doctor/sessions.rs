//! The sessions: dead ones, and records that cannot be read.

use berth_config::counted;

use super::finding::Finding;
use super::world::World;
use crate::live::{self, Sessions};

const TOPIC: &str = "sessions";

pub fn check(_: &World) -> Vec<Finding> {
    let sessions = match Sessions::read() {
        Ok(sessions) => sessions,
        Err(error) => return vec![Finding::fail(TOPIC, error.to_string(), "berth list")],
    };
    let mut findings = Vec::new();
    for error in &sessions.unread {
        findings.push(Finding::warn(TOPIC, error.to_string(), "berth list"));
    }
    for record in sessions.records.iter().filter(|one| live::is_dead(one)) {
        let (id, user) = (record.id, crate::figures::harmless(&record.user));
        findings.push(Finding::warn(
            TOPIC,
            format!("nobody looks after session {id} of {user}: its keeper was killed"),
            format!("berth kill {id}"),
        ));
    }
    if findings.is_empty() {
        let open = counted(sessions.records.len(), "session");
        findings.push(Finding::ok(TOPIC, format!("{open}, each with its keeper")));
    }
    findings
}
