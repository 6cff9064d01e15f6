//! An explanation, for programs.

use berth_config::outcome::Outcome;
use berth_config::{Explanation, LocalTime, Login, Policy};
use serde_json::{Value, json};

use super::session::Session;
use crate::exit::Exit;
use crate::json;
use crate::slices::Other;

pub fn print(
    login: &Login,
    session: Option<&Session>,
    policy: &Policy,
    explanation: &Explanation,
    others: &[Other],
) -> Result<(), Exit> {
    let decision = &explanation.decision;
    let loaded = policy.loaded().map(|loaded| {
        json!({
            "at": LocalTime::rfc3339(loaded.at),
            "changed": policy.changed(),
        })
    });
    json::print(json!({
        "now": json::now(),
        "login": login,
        "session": session.map(|session| session.object(explanation)),
        "policy": { "files": policy.files(), "loaded": loaded },
        "exempt": explanation.exempt,
        "rules": explanation.rules,
        "not_reached": explanation.not_reached,
        "rule": decision.rule,
        "user_rule": decision.user_rule,
        "pool": decision.pool,
        "systemd": others.iter().map(Other::object).collect::<Vec<_>>(),
        "outcome": outcome(&decision.outcome),
        "sources": {
            "user": explanation.user_caps,
            "pool": explanation.pool_caps,
            "everyone": explanation.everyone_caps,
            "login": explanation.login,
        },
    }))
}

/// The decision; bytes and seconds are numbers, no limit of a cap is "infinity".
fn outcome(outcome: &Outcome) -> Value {
    match outcome {
        Outcome::Exempt => json!({ "action": "exempt" }),
        Outcome::Deny { message } => json!({ "action": "deny", "message": message }),
        Outcome::Berth(berth) => json!({
            "action": "berth",
            "profile": berth.profile,
            "enforce": berth.enforce,
            "on_error": berth.on_error,
            "max_sessions": berth.max_sessions,
            "user_caps": berth.user_caps,
            "session_caps": berth.session_caps,
            "namespaces": berth.namespaces,
            "privileges": berth.privileges,
            "linger_seconds": berth.logout.linger.map(|linger| linger.as_secs()),
            "grace_seconds": berth.logout.grace.as_secs(),
        }),
    }
}
