//! Where a user stands, as a line and as an object.

use std::time::{Duration, UNIX_EPOCH};

use berth_config::{LocalTime, Login, Places, Standing, Standings};
use serde_json::{Value, json};

use super::told;
use crate::exit::not_so;

/// To root. A file that cannot be used is told of.
pub fn to_root(user: &str, uid: u32) -> (Option<String>, Value) {
    let standings = Standings::read(&Places::system()).map_err(not_so);
    in_words(user, uid, standings.unwrap_or_default().users.remove(&uid))
}

/// The same to the user themselves, as the last round left it.
pub fn to_user(user: &str, uid: u32) -> (Option<String>, Value) {
    in_words(user, uid, told::read(uid))
}

fn in_words(user: &str, uid: u32, standing: Option<Standing>) -> (Option<String>, Value) {
    let user = Login::known_as(user, uid);
    // One of who had the UID before counts for nothing.
    let Some(standing) = standing.filter(|standing| user.is(&standing.user)) else {
        return (None, Value::Null);
    };
    let time = |seconds: u64| {
        let moment = UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
        moment.and_then(LocalTime::rfc3339)
    };
    let is_on_step = standing.is_on_step();
    let line = match is_on_step {
        true => format!("{}: {} of cpu_quota", standing.text(), standing.share),
        false => format!(
            "{}, step {} of {} is over; forgotten {}",
            standing.penalty,
            standing.step,
            standing.steps,
            standing.forgotten_text()
        ),
    };
    let object = json!({
        "penalty": standing.penalty,
        "step": standing.step,
        "steps": standing.steps,
        "on": is_on_step,
        "share_percent": standing.share.number(),
        "since": time(standing.since),
        "until": time(standing.until),
        "forgotten": time(standing.forgotten),
    });
    (Some(line), object)
}
