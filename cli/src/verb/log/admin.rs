//! What an admin did, in words.

use berth_session::Change;

use super::event::Event;
use crate::applied;

/// The sentence; `None` for what is no admin's deed, or has not what the sentence needs.
pub fn text(event: &Event) -> Option<String> {
    let by = event.get("by")?;
    Some(match event.word.as_str() {
        "set" => {
            let until = event.get("until")?;
            let reason = event.get("reason").map(|reason| format!(": {reason}"));
            let reason = reason.unwrap_or_default();
            format!(
                "{by} gave {} {} until {until}{reason}",
                user(event)?,
                cap(event)?
            )
        }
        "unset" if by == "expired" => format!("{}'s {} is over", user(event)?, cap(event)?),
        "unset" => format!("{by} ended {}'s {}", user(event)?, cap(event)?),
        "freeze" => format!("{by} froze {}{}", object(event)?, in_part(event)),
        "thaw" => format!("{by} thawed {}{}", object(event)?, in_part(event)),
        "enter" => format!("{by} entered {}", object(event)?),
        "kill" => {
            let older = match event.get("stale") {
                Some(_) => ", as far as it is stale",
                None => "",
            };
            let whom = object(event).unwrap_or_else(|| "everybody".into());
            format!("{by} sent {} to {whom}{older}", event.get("signal")?)
        }
        "reload" => {
            let (rules, profiles) = (event.number("rules")?, event.number("profiles")?);
            let counted = berth_config::counted;
            let (rules, profiles) = (counted(rules, "rule"), counted(profiles, "profile"));
            format!("{by} put a policy of {rules} and {profiles} in force")
        }
        "apply" => {
            let who = match by {
                "login" => "a login",
                "time" => "time",
                "expired" => "the end of an exception",
                by => by,
            };
            let whose = match event.get("everyone") {
                Some(_) => "everyone".into(),
                None => object(event)?,
            };
            let changed = event.get("changed").map(|changed| {
                let changes: Vec<_> = changed.split("; ").map(change).collect();
                format!("{who} changed {whose}'s {}", changes.join(", "))
            });
            let left = event.get("left");
            match (changed, left) {
                (Some(changed), Some(left)) => format!("{changed}; left: {left}"),
                (Some(changed), None) => changed,
                (None, left) => format!("{who} left {whose}'s caps: {}", left?),
            }
        }
        _ => return None,
    })
}

/// Whom an exception is for; lines of earlier versions have no name.
fn user(event: &Event) -> Option<String> {
    let uid = || event.get("uid").map(|uid| format!("UID {uid}"));
    event.get("user").map(String::from).or_else(uid)
}

/// `memory_max 8G`
fn cap(event: &Event) -> Option<String> {
    Some(format!("{} {}", event.get("key")?, event.get("value")?))
}

/// `alice`, `session 12 of alice`, `pool cs101`
fn object(event: &Event) -> Option<String> {
    let user = event.get("user");
    let named = |kind: &str| event.get(kind).map(|name| format!("{kind} {name}"));
    match (named("session"), user) {
        (Some(session), Some(user)) => Some(format!("{session} of {user}")),
        (Some(session), None) => Some(session),
        (None, Some(user)) => Some(user.into()),
        (None, None) => named("pool").or_else(|| named("profile")),
    }
}

fn in_part(event: &Event) -> &'static str {
    match event.get("result") {
        Some("ok") => "",
        _ => ", and not all of it is",
    }
}

/// `memory.max 2147483648 -> 3221225472` in the policy's words.
fn change(text: &str) -> String {
    let parts = text.split_once(' ');
    let parts = parts.and_then(|(file, values)| Some((file, values.split_once(" -> ")?)));
    let Some((file, (from, to))) = parts else {
        return text.into();
    };
    applied::change(&Change {
        cap: cap_of(file),
        file: file.into(),
        from: from.into(),
        to: to.into(),
    })
}

/// The policy's key for what stands in a cgroup's file.
fn cap_of(file: &str) -> String {
    match file {
        "cpu.max" => "cpu_quota".into(),
        "cpu.idle" => "cpu_weight".into(),
        "cpuset.cpus" => "allowed_cpus".into(),
        "cpuset.mems" => "allowed_memory_nodes".into(),
        "pids.max" => "tasks_max".into(),
        "io.bfq.weight" => "io_weight".into(),
        // All four rates of a disk stand in one line.
        "io.max" => file.into(),
        file => file.replace('.', "_"),
    }
}
