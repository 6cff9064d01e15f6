//! An explanation, for programs.

use berth_config::outcome::{Berth, Limit, Outcome, Penalty, PrivateTmp};
use berth_config::{LocalTime, Shown};
use serde_json::{Value, json};

use super::Explained;
use super::enforced::Lack;
use crate::exit::Exit;
use crate::json;
use crate::slices::Other;

pub fn print(explained: &Explained) -> Result<(), Exit> {
    let Explained {
        login,
        session,
        policy,
        explanation,
        others,
        lacks,
    } = explained;
    let decision = &explanation.decision;
    let loaded = policy.loaded().map(|loaded| {
        json!({
            "at": LocalTime::rfc3339(loaded.at),
            "changed": policy.changed(),
        })
    });
    let at = login.at.and_then(|at| LocalTime::rfc3339(at.moment()?));
    let (action, message, berth) = match &decision.outcome {
        Outcome::Exempt => ("exempt", None, None),
        Outcome::Deny { message } => ("deny", message.as_ref(), None),
        Outcome::Berth(berth) => ("berth", None, Some(berth)),
    };
    let caps = |caps: &[Shown]| -> Vec<Value> {
        let each = caps.iter().map(|cap| of_cap(&cap.key, cap));
        each.collect()
    };
    let user_profile = Some(&explanation.user_profile);
    let (mut session_caps, mut sources) = (Vec::new(), Vec::new());
    for line in &explanation.login {
        match line.key.strip_prefix("session.") {
            Some(key) => session_caps.push(of_cap(key, line)),
            None => sources.push(json::merged(json!({ "key": line.key }), source(line))),
        }
    }
    let penalty = decision.penalty.as_ref().zip(explanation.penalty.as_ref());
    json::print(json!({
        "login": json::merged(json!(login), json!({ "at": at })),
        "session": session.map(|session| session.object(explanation)),
        "policy": { "files": policy.files(), "loaded": loaded },
        "exempt": explanation.exempt,
        "rules": explanation.rules,
        "not_reached": explanation.not_reached,
        "action": action,
        "message": message,
        "rule": decision.rule,
        "user_rule": decision.user_rule,
        "user_profile": user_profile.filter(|profile| !profile.is_empty()),
        "pool": decision.pool,
        "not_set": decision.not_set,
        "user_caps": caps(&explanation.user_caps),
        "pool_caps": caps(&explanation.pool_caps),
        "everyone_caps": caps(&explanation.everyone_caps),
        "session_caps": session_caps,
        "systemd": others.iter().map(Other::object).collect::<Vec<_>>(),
        "penalty": penalty.map(|(penalty, shown)| of_penalty(penalty, shown)),
        "berth": berth.map(|berth| of_berth(berth, decision.joins(&login.service))),
        "sources": sources,
        "lacks": lacks.iter().map(Lack::object).collect::<Vec<_>>(),
    }))
}

/// A cap, where it was set, and what it would be without what lies over it.
fn of_cap(key: &str, cap: &Shown) -> Value {
    let valued = |cap: &Shown| json::merged(json!({ "value": cap.amount }), source(cap));
    let named = json!({ "key": key, "was": cap.was.as_deref().map(valued) });
    json::merged(named, valued(cap))
}

/// What it is in words, and where it was set.
fn source(shown: &Shown) -> Value {
    let place = Some(&shown.place).filter(|place| !place.is_empty());
    json!({
        "text": shown.value,
        "place": place,
        "profile": shown.profile,
        "because": shown.because,
    })
}

/// What the user is watched for.
fn of_penalty(penalty: &Penalty, shown: &Shown) -> Value {
    let except = penalty.except.iter().map(ToString::to_string);
    json!({
        "penalty": penalty.name,
        "place": shown.place,
        "profile": shown.profile,
        "cpu_above_percent": penalty.cpu_above.map(|time| time as f64 / 1e4),
        "memory_above_bytes": penalty.memory_above,
        "window_seconds": penalty.window.as_secs(),
        "except": except.collect::<Vec<_>>(),
        "step_percents": penalty.steps.iter().map(|step| step.number()).collect::<Vec<_>>(),
        "step_seconds": penalty.step_time.as_secs(),
        "forget_seconds": penalty.forget.as_secs(),
    })
}

/// What is of this login alone, also where the policy leaves it at what it is by itself.
fn of_berth(berth: &Berth, joined: bool) -> Value {
    let finite = |limit: Limit| match limit {
        Limit::Finite(value) => Some(value),
        Limit::Infinity => None,
    };
    let rlimits = berth.rlimits.iter().map(|limit| {
        json!({
            "resource": limit.resource,
            "soft": finite(limit.soft),
            "hard": finite(limit.hard),
        })
    });
    let namespaces = &berth.namespaces;
    let (tmp, tmp_bytes) = match namespaces.private_tmp {
        PrivateTmp::Off => ("off", None),
        PrivateTmp::Tmpfs(bytes) => ("tmpfs", Some(bytes)),
        PrivateTmp::Disk => ("disk", None),
    };
    json!({
        "profile": berth.profile,
        "enforce": berth.enforce,
        "on_error": berth.on_error,
        "missing_controller": berth.missing_controller,
        "contact": berth.contact,
        "notify": berth.notify,
        "motd": berth.motd,
        "max_sessions": berth.max_sessions,
        "cgroup": berth.cgroup,
        "rlimits": rlimits.collect::<Vec<_>>(),
        "joined": joined,
        "namespaces": namespaces.kinds(),
        "scope": namespaces.scope,
        "user_namespace": namespaces.user,
        "private_tmp": tmp,
        "private_tmp_bytes": tmp_bytes,
        "tmp_keep": namespaces.tmp_keep,
        "private_shm_bytes": namespaces.private_shm,
        "propagation": namespaces.propagation,
        "user_manager": namespaces.user_manager,
        "no_new_privs": berth.privileges.no_new_privs,
        "nested_userns": berth.privileges.nested_userns,
        "linger_seconds": berth.logout.linger.map(|linger| linger.as_secs()),
        "grace_seconds": berth.logout.grace.as_secs(),
    })
}
