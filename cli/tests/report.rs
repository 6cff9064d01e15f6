//! report, against sums that are made in the most obvious way.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use serde_json::{Value, json};

mod ran;

use ran::{Folder, Ran, somebody};

/// An accounting file in a folder of its own.
struct Accounts {
    folder: Folder,
}

impl Accounts {
    fn new() -> Accounts {
        Accounts {
            folder: Folder::new(),
        }
    }

    fn write(&self, name: &str, text: &str) {
        self.folder.write(name, text);
    }

    fn report(&self, arguments: &[&str]) -> Ran {
        let mut report = Command::new(env!("CARGO_BIN_EXE_berth"));
        report.args(["report", "--file"]);
        report.arg(self.folder.join("sessions.jsonl"));
        Ran::of(report.args(arguments))
    }

    #[track_caller]
    fn ok(&self, arguments: &[&str]) -> String {
        self.report(arguments).ok()
    }

    #[track_caller]
    fn json(&self, arguments: &[&str]) -> Value {
        let said = self.report(&[arguments, &["--json"]].concat());
        assert_eq!(said.code, Some(0), "{said:?}");
        said.json()
    }
}

/// Any records, always the same.
fn records(count: u64) -> Vec<Value> {
    let mut state = 4711_u64;
    let mut any = move |below: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) % below
    };
    let record = |nth| {
        let end = format!(
            "2026-11-{:02}T{:02}:{:02}:{:02}+01:00",
            1 + any(28),
            any(24),
            any(60),
            any(60)
        );
        // This kernel has no figure now and then.
        let mut figure = |below| match any(5) {
            0 => Value::Null,
            _ => json!(any(below)),
        };
        json!({
            "session": nth, "uid": 1000, "tty": "ssh", "rhost": "10.1.4.22", "pool": null,
            "start": "2026-10-01T00:00:00+01:00", "end": end,
            "cpu_user_us": figure(1 << 40), "cpu_system_us": figure(1 << 30), "throttled_us": figure(1 << 30),
            "memory_peak": figure(1 << 34), "oom_kills": figure(3), "tasks_peak": figure(300),
            "tasks_refused": figure(9), "io_read": figure(1 << 40), "io_write": figure(1 << 40),
            "user": (["alice", "bob", "m\nallory", "zo\u{eb}"][any(4) as usize]),
            "profile": (["student", "staff"][any(2) as usize]),
            "service": (["sshd", "cron", "su"][any(3) as usize]), "seconds": any(100_000),
            "from_a_later_version": { "a": [1, "2"] },
        })
    };
    (0..count).map(record).collect()
}

fn lines(records: &[Value]) -> String {
    records.iter().map(|record| format!("{record}\n")).collect()
}

/// What a report must say of records.
fn obvious(records: &[&Value]) -> Value {
    let figures = |key: &str| -> Vec<u64> {
        let figures = records.iter().map(|record| record[key].as_u64());
        figures.flatten().collect()
    };
    let sum = |key: &str| -> Option<u64> {
        let figures = figures(key);
        (!figures.is_empty()).then(|| figures.iter().sum())
    };
    let peak = |key: &str| figures(key).into_iter().max();
    let seconds = |us: Option<u64>| us.map(|us| us as f64 / 1e6);
    let cpu = figures("cpu_user_us")
        .iter()
        .chain(&figures("cpu_system_us"))
        .sum();
    json!({
        "sessions": records.len(),
        "seconds": sum("seconds"),
        "cpu": {
            "seconds": seconds(Some(cpu)),
            "user_seconds": seconds(sum("cpu_user_us")),
            "system_seconds": seconds(sum("cpu_system_us")),
            "throttled_seconds": seconds(sum("throttled_us")),
        },
        "memory": { "peak_bytes": peak("memory_peak"), "oom_kills": sum("oom_kills") },
        "tasks": { "peak": peak("tasks_peak"), "refused": sum("tasks_refused") },
        "io": { "read_bytes": sum("io_read"), "written_bytes": sum("io_write") },
    })
}

/// The sums of a report's JSON without the name that they are for.
fn nameless(group: &Value, by: &str) -> Value {
    let mut group = group.clone();
    group.as_object_mut().unwrap().remove(by);
    group
}

#[test]
fn sums_are_what_the_obvious_computation_says() {
    let records = records(2000);
    let accounts = Accounts::new();
    accounts.write("sessions.jsonl.1700000000", &lines(&records[..700]));
    accounts.write("sessions.jsonl.1800000000", &lines(&records[700..1500]));
    accounts.write("sessions.jsonl", &lines(&records[1500..]));
    for by in ["user", "profile", "service", "day"] {
        let said = accounts.json(&["--by", by]);
        let name = |record: &Value| match by {
            "day" => record["end"].as_str().unwrap()[..10].to_owned(),
            _ => record[by].as_str().unwrap().to_owned(),
        };
        let mut groups: BTreeMap<String, Vec<&Value>> = BTreeMap::new();
        for record in &records {
            groups.entry(name(record)).or_default().push(record);
        }
        let found = said["groups"].as_array().unwrap();
        assert_eq!(found.len(), groups.len(), "{by}");
        for group in found {
            let records = &groups[group[by].as_str().unwrap()];
            assert_eq!(nameless(group, by), obvious(records), "{by}");
        }
        let key = |group: &Value| match by {
            "day" => (0, group[by].to_string()),
            _ => (
                -group["cpu"]["seconds"].as_f64().unwrap() as i64,
                String::new(),
            ),
        };
        assert!(found.is_sorted_by_key(key), "{by}: {found:?}");
        assert_eq!(said["total"], obvious(&records.iter().collect::<Vec<_>>()));
        assert_eq!(said["torn_lines"], 0);
    }
}

#[test]
fn a_session_counts_for_the_moment_of_its_end() {
    let records = records(2000);
    let accounts = Accounts::new();
    accounts.write("sessions.jsonl", &lines(&records));
    // All in one zone, so the texts have the order of the moments.
    let (since, until) = ("2026-11-05T08:30:00+01:00", "2026-11-09T00:00:00+01:00");
    let within: Vec<&Value> = records
        .iter()
        .filter(|record| (since..until).contains(&record["end"].as_str().unwrap()))
        .collect();
    assert!(within.len() > 100);
    // The same moment, in another zone.
    let until = "2026-11-08T23:00:00Z";
    let said = accounts.json(&["--since", since, "--until", until]);
    assert_eq!(said["total"], obvious(&within));
    let end = records[0]["end"].as_str().unwrap();
    let sessions = |option: &str| {
        let said = accounts.json(&[option, end]);
        said["total"]["sessions"].as_u64().unwrap()
    };
    assert_eq!(sessions("--since") + sessions("--until"), 2000);
}

#[test]
fn csv_has_the_same_figures() {
    let records = records(300);
    let accounts = Accounts::new();
    accounts.write("sessions.jsonl", &lines(&records));
    let csv = accounts.ok(&["--csv"]);
    let mut lines = csv.lines();
    assert_eq!(
        lines.next().unwrap(),
        "user,sessions,seconds,cpu_user_seconds,cpu_system_seconds,throttled_seconds,memory_peak_bytes,\
         oom_kills,tasks_peak,tasks_refused,io_read_bytes,io_written_bytes"
    );
    let names: Vec<&str> = lines
        .clone()
        .map(|line| line.split(',').next().unwrap())
        .collect();
    assert!(names.contains(&"m\u{fffd}allory"), "{names:?}");
    assert_eq!(names.len(), 4);
    for line in lines {
        let cells: Vec<&str> = line.split(',').collect();
        let user = cells[0].replace('\u{fffd}', "\n");
        let of_user: Vec<&Value> = records
            .iter()
            .filter(|record| record["user"] == user)
            .collect();
        let sums = obvious(&of_user);
        for (cell, figure) in cells[1..].iter().zip([
            &sums["sessions"],
            &sums["seconds"],
            &sums["cpu"]["user_seconds"],
            &sums["cpu"]["system_seconds"],
            &sums["cpu"]["throttled_seconds"],
            &sums["memory"]["peak_bytes"],
            &sums["memory"]["oom_kills"],
            &sums["tasks"]["peak"],
            &sums["tasks"]["refused"],
            &sums["io"]["read_bytes"],
            &sums["io"]["written_bytes"],
        ]) {
            assert_eq!(cell.parse::<f64>().ok(), figure.as_f64(), "{line}");
        }
    }
}

#[test]
fn lines_that_are_no_records_are_passed_over_and_counted() {
    let records = records(4);
    let accounts = Accounts::new();
    let whole = lines(&records);
    let torn = format!(
        "{}\n{whole}[]\n\0\0\0\n{}",
        &whole[..100],
        "x".repeat(300_000)
    );
    accounts.write("sessions.jsonl", &torn);
    let ran = accounts.report(&["--json"]);
    assert_eq!(ran.code, Some(5));
    let said = ran.json();
    assert_eq!(
        (&said["torn_lines"], &said["total"]["sessions"]),
        (&json!(4), &json!(4))
    );
    assert!(ran.err.starts_with("berth: 4 lines of "), "{ran:?}");
}

#[test]
fn a_file_that_is_named_without_its_folder_has_what_was_set_aside_from_it() {
    let accounts = Accounts::new();
    accounts.write("sessions.jsonl.2000000000", &lines(&records(3)));
    accounts.write("sessions.jsonl", &lines(&records(2)));
    let mut report = Command::new(env!("CARGO_BIN_EXE_berth"));
    report.args(["report", "--json", "--file", "sessions.jsonl"]);
    let ran = Ran::of(report.current_dir(&accounts.folder));
    assert_eq!(ran.json()["total"]["sessions"], 5, "{ran:?}");
}

#[test]
fn what_scripts_store_is_not_cut_without_a_word() {
    let accounts = Accounts::new();
    accounts.write("sessions.jsonl", &lines(&records(2)));
    let to = |to: &str, option: &str| {
        let file = accounts.folder.join("sessions.jsonl");
        let (berth, file) = (env!("CARGO_BIN_EXE_berth"), file.display());
        let script = format!("{berth} report --file {file} {option} {to}");
        let ran = Ran::of(Command::new("bash").args(["-c", &script]));
        (ran.code, ran.err)
    };
    for option in ["--csv", "--json"] {
        let (code, said) = to(">/dev/full", option);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("No space left on device"), "{said}");
        // Who has seen enough is told of nothing.
        let quiet = to("| true; exit ${PIPESTATUS[0]}", option);
        assert_eq!(quiet, (Some(0), String::new()));
    }
}

#[test]
fn people_get_a_table_and_at_a_terminal_bars() {
    let accounts = Accounts::new();
    let record = |user: &str, cpu: u64| {
        json!({
            "session": 1, "user": user, "uid": 1000, "service": "sshd", "tty": "", "rhost": "", "profile": "p",
            "pool": null, "start": "", "end": "2026-11-24T10:12:07+01:00", "seconds": 8040,
            "cpu_user_us": cpu, "cpu_system_us": 0, "throttled_us": null, "memory_peak": 3_u64 << 30,
            "oom_kills": 2, "tasks_peak": 9, "tasks_refused": 0, "io_read": 12 << 20, "io_write": null,
        })
    };
    accounts.write(
        "sessions.jsonl",
        &lines(&[record("bob", 9_000_000), record("alice", 36_000_000)]),
    );
    assert_eq!(
        accounts.ok(&[]),
        "\
USER   SESSIONS      TIME   CPU  PEAK  READ  WRITTEN  OOM
alice         1  2h 14min   36s  3.0G   12M        -    2
bob           1  2h 14min  9.0s  3.0G   12M        -    2
total         2  4h 28min   45s  3.0G   24M        -    4
"
    );
    let script = format!(
        "{} report --file {}",
        env!("CARGO_BIN_EXE_berth"),
        accounts.folder.join("sessions.jsonl").display()
    );
    let ran = Ran::of(Command::new("script").args(["-qec", &script, "/dev/null"]));
    assert_eq!(
        ran.out.replace('\r', ""),
        "\
USER   SESSIONS      TIME   CPU                    PEAK  READ  WRITTEN  OOM
alice         1  2h 14min   36s  ||||||||||||||||  3.0G   12M        -    2
bob           1  2h 14min  9.0s  ||||............  3.0G   12M        -    2
total         2  4h 28min   45s                    3.0G   24M        -    4
"
    );
}

#[test]
fn nothing_yet_is_no_error_and_who_may_not_read_is_told() {
    let accounts = Accounts::new();
    // A name mistyped is no empty report.
    assert_eq!(accounts.report(&[]).code, Some(1));
    accounts.write("sessions.jsonl", "");
    let none = accounts.json(&[]);
    assert_eq!(
        (&none["groups"], &none["total"]["sessions"]),
        (&json!([]), &json!(0))
    );

    accounts.write("sessions.jsonl", &lines(&records(1)));
    let mode = |name: &str, mode| {
        let path = accounts.folder.join(name);
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    mode("", 0o755);
    mode("sessions.jsonl", 0o640);
    // The build may be where only root can go. By another process: what this one has open for writing, a program that
    // another test starts at that moment has open, too, and then it cannot be run (execve(2), ETXTBSY).
    let mut copy = Command::new("cp");
    copy.arg(env!("CARGO_BIN_EXE_berth")).arg(&accounts.folder);
    assert!(copy.status().unwrap().success());
    let (here, somebody) = (accounts.folder.display(), somebody(65534));
    let script = format!("{somebody} {here}/berth report --file {here}/sessions.jsonl");
    let ran = Ran::of(Command::new("sh").args(["-c", &script]));
    assert_eq!(ran.code, Some(4), "{ran:?}");
    assert!(
        ran.err.contains("Permission denied") && ran.err.contains("only root sees"),
        "{ran:?}"
    );

    for wrong in [
        &["--csv", "--json"][..],
        &["--since", "yesterday"],
        &["--by", "colour"],
    ] {
        assert_eq!(accounts.report(wrong).code, Some(2), "{wrong:?}");
    }
}
