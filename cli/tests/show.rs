//! `berth show`, to root.

mod pretend;

use std::time::{Duration, SystemTime};

use berth_config::{Exception, ExceptionFile, LocalTime, Places};
use serde_json::{Value, json};

use pretend::{Run, record, three};

#[test]
fn show_of_a_user_has_a_line_for_each_session() {
    let run = three();
    run.write(15, &record(15, "alice", 4_000_001, 60));
    for object in ["alice", "user:alice"] {
        let ran = run.berth("", &format!("show {object}"));
        let (title, rest) = ran.out.split_once("\n    Since: ").unwrap();
        assert_eq!(
            title,
            "alice (4000001)  profile student, student+batch, rule cs101"
        );
        let (since, rest) = rest.split_once('\n').unwrap();
        assert!(since.ends_with("; 2h 14min ago"), "{since}");
        assert!(since.is_char_boundary(3) && "MonTueWedThuFriSatSun".contains(&since[..3]));
        assert_eq!(
            rest,
            " Sessions: 12  sshd from 10.1.4.22, 2h 14min\n           14  cron on cron, 4min, linger\n           15  sshd from 10.1.4.22, 1min\n"
        );
    }
}

#[test]
fn show_of_a_user_has_what_caps_did_and_where_the_rule_stands() {
    let run = Run::new();
    let policy = "version = 1\n[exempt]\nuids = [1]\n[profile.student]\n[[rule]]\nname = \"cs101\"\nprofile = \"student\"\n";
    let sha256 = run.loaded(policy);
    for (id, policy) in [(12, sha256.as_str()), (13, "another")] {
        let mut record = record(id, "alice", 4_000_001, 60);
        record["policy"] = policy.into();
        run.write(id, &record);
    }
    let now = SystemTime::now();
    let line = |ago: u64, text: &str| {
        let time = LocalTime::rfc3339(now - Duration::from_secs(ago)).unwrap();
        format!("{time} lab1 berth[1]: {text}\n")
    };
    let log = [
        line(
            90_000,
            "cap session=12 user=alice cap=memory_max killed=old",
        ),
        "x".repeat(2 << 20) + "\n",
        line(400, "cap session=12 user=alice cap=memory_max killed=first"),
        line(
            300,
            "cap session=13 user=alice cap=memory_max killed=python3",
        ),
        line(200, "cap session=9 user=bob cap=memory_max killed=others"),
        line(100, "cap session=12 user=alice cap=tasks_max"),
        line(50, "cap session=12 user=alice killed=cc1"),
    ];
    run.log(&log.concat());
    let shown = run.under(policy, "show alice").out;
    let events = shown.split_once("   Events: ").expect(&shown).1;
    let events: Vec<&str> = events
        .lines()
        .map(|line| line.rsplit_once("  ").unwrap().1)
        .collect();
    assert_eq!(
        events,
        [
            "memory_max reached: killed python3 (session 13)",
            "tasks_max reached (session 12)",
            "out of memory: killed cc1 (session 12)"
        ]
    );
    let json = run.under(policy, "show alice --json").out;
    let object: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(object["events"][0]["killed"], "python3");
    assert_eq!(object["events"][1]["killed"], Value::Null);
    assert_eq!(object["events"][2]["session"], 12);
    let title = |session: u64| run.under(policy, &format!("show {session}")).out;
    assert!(
        title(12).starts_with(
            "session 12 of alice (4000001)  profile student, rule cs101 (policy.toml:5)\n"
        ),
        "{}",
        title(12)
    );
    assert!(title(13).starts_with("session 13 of alice (4000001)  profile student, rule cs101\n"));
}

/// As two accounts of one name have, one of each name service.
#[test]
fn show_of_a_user_with_two_uids_has_the_exceptions_of_both() {
    let run = three();
    run.write(15, &record(15, "alice", 4_000_003, 60));
    let places = Places::under(&run.root());
    ExceptionFile::folder(&places).unwrap();
    for (uid, value) in [(4_000_001, "8G"), (4_000_003, "9G")] {
        let exception = Exception {
            user: None,
            key: "memory_max".into(),
            value: format!("\"{value}\""),
            until: 4_000_000_000,
            by: "root".into(),
            reason: None,
            is_taken_back: false,
        };
        ExceptionFile::of(&places, uid).write(&[exception]).unwrap();
    }
    let ran = run.under("version = 1\n", "show alice");
    let exceptions = ran.out.lines().filter(|line| line.contains("Exception: "));
    let exceptions: Vec<&str> = exceptions.collect();
    assert_eq!(exceptions.len(), 2, "{ran:?}");
    assert!(exceptions[0].contains("of 4000001: memory_max 8G until"));
    assert!(exceptions[1].contains("of 4000003: memory_max 9G until"));
    let shown = run.under("version = 1\n", "show --json alice").json();
    assert_eq!(shown["exceptions"][1]["uid"], 4_000_003);
    assert_eq!(shown["exceptions"][1]["value"], "9G");
}

#[test]
fn show_of_a_session_lets_no_escape_sequence_through() {
    let run = three();
    let ran = run.berth("", "status 9");
    assert!(
        ran.out
            .contains("    State: dead\n    Login: sshd from evil\u{fffd}[2J\n"),
        "{ran:?}"
    );
    let object = run.berth("", "show 9 --json").json();
    assert_eq!(
        (&object["version"], &object["state"]),
        (&json!(1), &json!("dead"))
    );
    assert_eq!(object["rhost"], "evil\u{1b}[2J");
}
