//! What came of bringing caps up to date, as the verbs show it.

use berth_config::counted;
use berth_config::value::bytes_text;
use berth_session::{Applied, Change, Whose, cpu_max};
use serde_json::{Value, json};

use crate::exit::Exit;
use crate::json;
use crate::readable::harmless;

/// Prints what changed, and what was left; says whether all is as it should be.
pub fn print(all: &[Applied], dry_run: bool) -> Exit {
    let names: Vec<_> = all.iter().map(named).collect();
    let width = names
        .iter()
        .map(|name| name.chars().count())
        .max()
        .unwrap_or(0);
    let (mut users, mut sessions) = (0, 0);
    for (one, name) in all.iter().zip(&names) {
        for one in &one.changes {
            println!("{name:width$}  {}", change(one));
        }
        for note in &one.notes {
            println!("{name:width$}  {note}");
        }
        match (&one.whose, one.changes.is_empty()) {
            (Whose::User { .. }, false) => users += 1,
            (Whose::Session { .. }, false) => sessions += 1,
            _ => {}
        }
    }
    let would = if dry_run { "would change" } else { "changed" };
    let users = counted(users, "user");
    match sessions {
        0 => println!("{users} {would}"),
        _ => println!("{users} and {} {would}", counted(sessions, "session")),
    }
    print_left(all)
}

/// Prints it as one object.
pub fn print_json(all: &[Applied], dry_run: bool) -> Result<Exit, Exit> {
    json::print(json!({
        "dry_run": dry_run,
        "applied": objects(all),
    }))?;
    Ok(exit(all))
}

/// Tells what was left as it is; says whether all is as it should be.
pub fn print_left(all: &[Applied]) -> Exit {
    for one in all {
        let name = named(one);
        for left in &one.left {
            match &left.cap {
                Some(cap) => eprintln!("berth: left {name}'s {cap}: {}", left.reason),
                None => eprintln!("berth: left {name}: {}", left.reason),
            }
        }
    }
    exit(all)
}

/// `memory_max 2G -> 3G`
pub fn change(change: &Change) -> String {
    let [from, to] = [&change.from, &change.to].map(|value| text(change, value));
    format!("{} {from} -> {to}", change.cap)
}

/// Whether all is as it should be.
pub fn exit(all: &[Applied]) -> Exit {
    match all.iter().all(|one| one.left.is_empty()) {
        true => Exit::Done,
        false => Exit::Partly,
    }
}

fn named(one: &Applied) -> String {
    match &one.whose {
        Whose::User { name, .. } => harmless(name),
        Whose::Session { id, .. } => id.to_string(),
        Whose::Pool(name) => format!("pool:{name}"),
        Whose::Everyone => "everyone".into(),
    }
}

/// A value of a cgroup's file as the policy would have it.
fn text(change: &Change, value: &str) -> String {
    let infinite = |value: &str| match value {
        "max" => "infinity".into(),
        value => value.to_owned(),
    };
    match change.file.as_str() {
        file if file.starts_with("memory.") => {
            value.parse().map_or_else(|_| infinite(value), bytes_text)
        }
        "cpu.max" => percent(value).map_or("infinity".into(), |percent| format!("{percent}%")),
        "cpu.idle" => if value == "1" { "idle" } else { "not idle" }.into(),
        "cpuset.cpus" | "cpuset.mems" if value.is_empty() => "all".into(),
        _ => infinite(value.strip_prefix("default ").unwrap_or(value)),
    }
}

/// `400000 100000` as percent of one CPU.
fn percent(value: &str) -> Option<f64> {
    let (quota, period) = cpu_max(value)?;
    Some((quota as f64 / period as f64 * 1000.0).round() / 10.0)
}

/// A list for programs.
pub fn objects(all: &[Applied]) -> Vec<Value> {
    let one = |one: &Applied| {
        let changes = one.changes.iter();
        let changes: Vec<_> = changes
            .map(|change| {
                json!({
                    "key": change.cap,
                    "from": number(change, &change.from),
                    "to": number(change, &change.to),
                })
            })
            .collect();
        let left = one.left.iter();
        let left: Vec<_> = left
            .map(|left| json!({ "key": left.cap, "reason": left.reason }))
            .collect();
        let (user, uid, session, pool) = match &one.whose {
            Whose::User { name, uid } => (Some(name), Some(uid), None, None),
            Whose::Session { id, user } => (Some(user), None, Some(id), None),
            Whose::Pool(name) => (None, None, None, Some(name)),
            Whose::Everyone => (None, None, None, None),
        };
        json!({
            "user": user, "uid": uid, "session": session, "pool": pool, "everyone": one.whose == Whose::Everyone,
            "changes": changes, "left": left, "notes": one.notes,
        })
    };
    all.iter().map(one).collect()
}

/// Bytes, tasks, weights and percentages are numbers; null is no limit, and not idle.
fn number(change: &Change, value: &str) -> Value {
    let value = value.strip_prefix("default ").unwrap_or(value);
    match (change.file.as_str(), value.parse::<u64>()) {
        ("cpu.max", _) => json!(percent(value)),
        ("cpu.idle", _) => json!((value == "1").then_some("idle")),
        (_, Ok(number)) => json!(number),
        // Or systemd has not made the file yet.
        (_, Err(_)) if ["max", "-"].contains(&value) => Value::Null,
        (_, Err(_)) => json!(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(file: &str) -> Change {
        Change {
            cap: "x".into(),
            file: file.into(),
            from: String::new(),
            to: String::new(),
        }
    }

    #[test]
    fn values_read_as_in_the_policy() {
        let told = |file: &str, value: &str| text(&change(file), value);
        assert_eq!(told("memory.max", "3221225472"), "3G");
        assert_eq!(told("memory.max", "max"), "infinity");
        assert_eq!(told("cpu.max", "400000 100000"), "400%");
        assert_eq!(told("cpu.max", "5000 1000000"), "0.5%");
        assert_eq!(told("cpu.max", "max 100000"), "infinity");
        assert_eq!(told("pids.max", "256"), "256");
        assert_eq!(told("io.weight", "default 200"), "200");
        assert_eq!(told("cpuset.cpus", ""), "all");
    }

    #[test]
    fn programs_get_numbers() {
        let value = |file: &str, value: &str| number(&change(file), value);
        assert_eq!(value("memory.max", "3221225472"), json!(3_221_225_472_u64));
        assert_eq!(value("memory.max", "max"), Value::Null);
        assert_eq!(value("cpu.max", "400000 100000"), json!(400.0));
        assert_eq!(value("cpuset.cpus", "0-3"), json!("0-3"));
        assert_eq!(value("cpu.idle", "1"), json!("idle"));
        assert_eq!(value("cpu.idle", "0"), Value::Null);
        assert_eq!(value("pids.max", "-"), Value::Null);
    }
}
