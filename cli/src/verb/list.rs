//! `berth list`: who is logged in, and what they use.

use std::collections::BTreeMap;
use std::time::SystemTime;

use berth_config::{LocalTime, counted};
use berth_session::{Record, Tree};
use serde_json::{Value, json};

use crate::exit::Exit;
use crate::figures::{age, harmless, percent, size};
use crate::live::{self, Figures, Sessions};
use crate::{json, paint, table};

/// The arguments.
#[derive(Debug, Default, clap::Args)]
#[command(after_help = "\
Exit status: 0 listed; 4 only root may do this; 5 a session's record could not be read.

CPU is what was used in 200 ms, in percent of one CPU. A - is not known on this machine,
or there is none. STATE: opening, active, linger (the login has ended, what it left
running may stay), frozen (by `berth freeze`), dead (its keeper was killed; `berth kill`
removes what is left).")]
pub struct Arguments {
    /// One line for each user instead of each session
    #[arg(long)]
    users: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Does it.
pub fn run(arguments: &Arguments) -> Exit {
    if !live::is_root() {
        eprintln!("berth: only root sees everybody's sessions; `berth show` shows your own");
        return Exit::Permission;
    }
    let sessions = match Sessions::tell() {
        Ok(sessions) => sessions,
        Err(exit) => return exit,
    };
    // Without a hierarchy there are no figures, and still sessions.
    let tree = Tree::find().ok();
    if arguments.users {
        users(&sessions.records, tree.as_ref(), arguments.json);
    } else {
        all(&sessions.records, tree.as_ref(), arguments.json);
    }
    match sessions.unread.is_empty() {
        true => Exit::Done,
        false => Exit::Partly,
    }
}

fn all(records: &[Record], tree: Option<&Tree>, as_json: bool) {
    let groups: Vec<_> = records
        .iter()
        .map(|record| live::group(tree, record))
        .collect();
    let lines = records.iter().zip(Figures::of(&groups));
    if as_json {
        let sessions: Vec<_> = lines
            .map(|(record, figures)| live::object(record, tree, &figures))
            .collect();
        return print_json("sessions", sessions);
    }
    let mut table = vec![
        [
            "SESSION", "USER", "SERVICE", "PROFILE", "POOL", "AGE", "TASKS", "CPU", "MEMORY",
            "STATE",
        ]
        .map(String::from)
        .to_vec(),
    ];
    for (record, figures) in lines {
        let mut line = vec![
            record.id.to_string(),
            harmless(&record.user),
            harmless(&record.service),
            record.profile.clone(),
            record.pool.as_deref().unwrap_or("-").into(),
            age(live::age(record)),
        ];
        line.extend(used(&figures));
        line.push(live::state(record, tree).into());
        table.push(line);
    }
    for line in table::lines(&table, &[0, 5, 6, 7, 8]) {
        println!("{}", paint::alarm(&line, "dead"));
    }
    let mut names: Vec<u32> = records.iter().map(|record| record.uid).collect();
    names.sort_unstable();
    names.dedup();
    println!(
        "{}, {}.",
        counted(records.len(), "session"),
        counted(names.len(), "user")
    );
    for record in records.iter().filter(|record| live::is_dead(record)) {
        println!(
            "Session {0} has lost its keeper: `berth kill {0}` removes what is left of it.",
            record.id
        );
    }
}

fn users(records: &[Record], tree: Option<&Tree>, as_json: bool) {
    let mut by_uid: BTreeMap<u32, Vec<&Record>> = BTreeMap::new();
    for record in records {
        by_uid.entry(record.uid).or_default().push(record);
    }
    let groups: Vec<_> = by_uid
        .keys()
        .map(|uid| tree.map(|tree| tree.user(*uid)))
        .collect();
    let mut table = vec![
        [
            "USER", "UID", "SESSIONS", "POOL", "AGE", "TASKS", "CPU", "MEMORY",
        ]
        .map(String::from)
        .to_vec(),
    ];
    let mut objects = Vec::new();
    for ((uid, records), figures) in by_uid.iter().zip(Figures::of(&groups)) {
        let name = records.first().map_or("", |record| &record.user);
        let pool = records.iter().find_map(|record| record.pool.as_deref());
        let oldest = records.iter().map(|record| live::age(record)).max();
        if as_json {
            let ids: Vec<_> = records.iter().map(|record| record.id).collect();
            let mut object = json!({
                "user": name, "uid": uid, "sessions": ids, "pool": pool, "age_seconds": oldest,
            });
            if let (Value::Object(all), Value::Object(figures)) = (&mut object, figures.object()) {
                all.extend(figures);
            }
            objects.push(object);
        } else {
            let mut line = vec![
                harmless(name),
                uid.to_string(),
                records.len().to_string(),
                pool.unwrap_or("-").into(),
                age(oldest.unwrap_or(0)),
            ];
            line.extend(used(&figures));
            table.push(line);
        }
    }
    if as_json {
        return print_json("users", objects);
    }
    for line in table::lines(&table, &[1, 2, 4, 5, 6, 7]) {
        println!("{line}");
    }
    println!(
        "{}, {}.",
        counted(by_uid.len(), "user"),
        counted(records.len(), "session")
    );
}

fn print_json(key: &str, objects: Vec<Value>) {
    json::print(&json!({
        "version": json::VERSION,
        "now": LocalTime::rfc3339(SystemTime::now()),
        key: objects,
    }));
}

/// Tasks, CPU and memory.
fn used(figures: &Figures) -> [String; 3] {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".into());
    [
        or_dash(figures.usage.tasks.map(|tasks| tasks.to_string())),
        or_dash(figures.cpu_percent.map(percent)),
        or_dash(figures.usage.memory.map(size)),
    ]
}
