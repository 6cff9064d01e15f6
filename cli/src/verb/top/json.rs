//! One look of `top`, for programs.

use std::time::{Duration, UNIX_EPOCH};

use berth_config::LocalTime;
use serde_json::{Value, json};

use super::model::{Key, Model, Row, View};
use super::today::{Since, midnight};
use crate::exit::Exit;
use crate::json;

pub fn print(model: &Model) -> Result<(), Exit> {
    let machine = model.machine();
    let bites = &machine.bites;
    let since = match bites.since {
        Since::Midnight => midnight(),
        Since::Opened(seconds) => UNIX_EPOCH.checked_add(Duration::from_secs(seconds)),
        Since::Unknown => None,
    };
    let rows: Vec<Value> = model.rows().iter().map(row).collect();
    let key = match model.view {
        View::Users => "users",
        View::Sessions => "sessions",
        View::Pools => "pools",
    };
    let everyone = json::merged(
        json!({
            "sessions": machine.sessions,
            "users": machine.users,
            "today": {
                "since": since.and_then(LocalTime::rfc3339),
                "oom_kills": bites.killed,
                "tasks_refused": bites.refused,
            },
        }),
        machine.figures.object(),
    );
    json::print(json!({
        "host": machine.host,
        "load": machine.load.as_ref().and_then(|load| load.parse::<f64>().ok()),
        "cpus": machine.cpus,
        "memory_bytes": machine.memory,
        "everyone": everyone,
        key: rows,
    }))
}

fn row(row: &Row) -> Value {
    let [first, second, third] = row.texts.each_ref().map(String::as_str);
    let known = |text: &str| (text != "-").then(|| text.to_owned());
    let number = |text: &str| text.parse::<u64>().ok();
    let head = match &row.key {
        Key::User(uid) => {
            json!({ "user": first, "uid": uid, "profile": known(second), "pool": known(third) })
        }
        Key::Session(id) => json!({ "session": id, "user": second, "service": known(third) }),
        Key::Scope(_) => json!({ "session": null, "user": second, "service": null }),
        Key::Pool(pool) => {
            json!({ "pool": pool, "users": number(second), "sessions": number(third) })
        }
    };
    let state = json!({
        "at_cap": row.is_at_cap(),
        "frozen": row.is_frozen,
        "lingers": row.lingers,
        "stale": row.is_stale,
    });
    json::merged(json::merged(head, state), row.figures.object())
}
