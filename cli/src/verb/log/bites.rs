//! What caps did to a user lately, for `berth show`.

use std::time::{Duration, SystemTime};

use berth_config::LocalTime;
use serde_json::{Value, json};

use super::event::Event;
use super::source::Source;

/// How far back.
const LATELY: Duration = Duration::from_secs(86_400);

/// The last few, the oldest first: `09:41:07  memory_max reached: killed python3 (session 12)`, and for programs.
pub fn lately(user: &str, most: usize) -> (Vec<String>, Vec<Value>) {
    let now = SystemTime::now();
    let since = now.checked_sub(LATELY).unwrap_or(now);
    let events = Source::lately(since, most, |event| {
        event.word == "cap" && event.get("user") == Some(user)
    });
    (
        events.iter().map(|event| line(event, now)).collect(),
        events.iter().map(object).collect(),
    )
}

fn line(event: &Event, now: SystemTime) -> String {
    let [time, now] = [event.time, now].map(LocalTime::of);
    let time = time.map(|time| time.to_string()).unwrap_or_default();
    let today = now.map(|now| now.to_string()).unwrap_or_default();
    let (day, clock) = time.split_once(' ').unwrap_or(("", &time));
    let time = match today.starts_with(day) {
        true => clock,
        false => &time,
    };
    let mut text = event.reached();
    if let Some(killed) = event.get("killed") {
        text += &format!(": killed {killed}");
    }
    if let Some(session) = event.get("session") {
        text += &format!(" (session {session})");
    }
    format!("{time}  {text}")
}

fn object(event: &Event) -> Value {
    json!({
        "time": LocalTime::rfc3339(event.time),
        "cap": event.get("cap"),
        "killed": event.get("killed"),
        "session": event.number("session"),
    })
}
