//! An event in words.

use berth_config::counted;

use crate::paint::Alarm;
use crate::readable::{cpu_time, size, span};

use super::admin;
use super::event::Event;

/// The word for it in its column, and how bad it is.
pub fn word(event: &Event) -> (&str, Alarm) {
    match (event.word.as_str(), event.get("result")) {
        ("open", Some("ok")) => match event.get("not_enforced") {
            Some(_) => ("login", Alarm::Warning),
            None => ("login", Alarm::None),
        },
        ("open", Some("deny")) => ("refused", Alarm::Warning),
        ("open", _) => ("failed", Alarm::Failure),
        ("close", Some("ok")) => ("logout", Alarm::None),
        ("close", _) => ("killed", Alarm::Warning),
        ("cap", _) => ("cap", Alarm::Warning),
        ("penalty", _) if event.get("step") != Some("0") => ("penalty", Alarm::Warning),
        ("module", _) => ("module", Alarm::Warning),
        ("apply", _) if event.get("left").is_some() => ("apply", Alarm::Warning),
        ("freeze" | "thaw", Some("error")) => (event.word.as_str(), Alarm::Failure),
        (word, _) if event.get("error").is_some() => (word, Alarm::Failure),
        (word, _) => (word, Alarm::None),
    }
}

/// What the columns do not say.
pub fn text(event: &Event) -> String {
    if let Some(deed) = admin::text(event) {
        return deed;
    }
    let mut parts = Vec::new();
    match (event.word.as_str(), event.get("result")) {
        ("open", Some("ok")) => {
            for key in ["profile", "pool", "rule"] {
                parts.extend(event.get(key).map(|value| format!("{key} {value}")));
            }
            parts.extend(
                event
                    .get("ns")
                    .map(|kinds| format!("own {}", kinds.replace(',', " "))),
            );
            let not_enforced = event.get("not_enforced");
            parts.extend(not_enforced.map(|what| format!("not enforced: {what}")));
        }
        ("open", Some("deny")) => {
            parts.extend(event.get("reason").map(String::from));
            parts.extend(event.get("rule").map(|rule| format!("rule {rule}")));
        }
        ("close", Some("ok")) => parts = used(event),
        ("cap", _) => {
            parts.push(event.reached());
            let killed = event.get("killed");
            parts.extend(killed.map(|program| format!("killed {program}")));
        }
        ("penalty", _) => parts = penalty(event),
        ("module", _) => parts.extend(event.get("text").map(String::from)),
        _ => parts = rest(event),
    }
    let said = parts.join(", ");
    match subject(event) {
        Some(subject) if said.is_empty() => subject,
        Some(subject) => format!("{subject}: {said}"),
        None => said,
    }
}

/// `session 12: sshd from 10.1.4.22`, as far as it is told.
fn subject(event: &Event) -> Option<String> {
    let session = event.get("session").map(|id| format!("session {id}"));
    let from = match (event.get("rhost"), event.get("tty")) {
        (Some(rhost), _) => format!(" from {rhost}"),
        (None, Some(tty)) => format!(" on {tty}"),
        (None, None) => String::new(),
    };
    let service = event
        .get("service")
        .map(|service| format!("{service}{from}"));
    match (session, service) {
        (Some(session), Some(service)) => Some(format!("{session}, {service}")),
        (session, service) => session.or(service),
    }
}

/// `hog, step 2 of 3: 50% of cpu_quota until 12:40, cpu 350% over 10min, above 200%`.
fn penalty(event: &Event) -> Vec<String> {
    let get = |key| event.get(key).unwrap_or("?");
    let penalty = get("penalty");
    let what = match event.get("step") {
        Some("0") => format!("{penalty} ends"),
        _ => {
            let (step, steps, share, until) =
                (get("step"), get("steps"), get("cpu_quota"), get("until"));
            format!("{penalty}, step {step} of {steps}: {share} of cpu_quota until {until}")
        }
    };
    vec![what, get("because").to_owned()]
}

/// What a session used. That nothing was killed or refused is not worth a word.
fn used(event: &Event) -> Vec<String> {
    let microseconds = |key| Some((event.get(key)?.parse::<f64>().ok()? * 1e6) as u64);
    let some = |key| event.number(key).filter(|count| *count > 0);
    let parts = [
        event.number("duration_s").map(span),
        microseconds("cpu_s").map(|cpu| format!("CPU {}", cpu_time(cpu))),
        event
            .number("memory_peak")
            .map(|peak| format!("memory {}", size(peak))),
        event.number("tasks_peak").map(|peak| counted(peak, "task")),
        event
            .number("io_read")
            .map(|bytes| format!("{} read", size(bytes))),
        event
            .number("io_write")
            .map(|bytes| format!("{} written", size(bytes))),
        some("oom_kills").map(|kills| counted(kills, "OOM kill")),
        some("tasks_refused").map(|count| counted(count, "task") + " refused"),
        microseconds("throttled_s")
            .filter(|time| *time > 0)
            .map(|time| format!("{} throttled", cpu_time(time))),
    ];
    parts.into_iter().flatten().collect()
}

/// What has no words of its own, as it stands there.
fn rest(event: &Event) -> Vec<String> {
    const SAID: [&str; 7] = [
        "session", "user", "uid", "service", "rhost", "tty", "result",
    ];
    let fields = event.fields.iter();
    let fields = fields.filter(|(key, value)| !SAID.contains(&key.as_str()) && value != "-");
    fields
        .map(|(key, value)| match key.as_str() {
            "error" | "reason" => value.clone(),
            key => format!("{key} {value}"),
        })
        .collect()
}
