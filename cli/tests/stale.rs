//! Which sessions are stale.

mod pretend;

use std::fs;

use serde_json::{Value, json};

use pretend::{Ran, Run, record, with_figures};

#[test]
fn a_session_from_before_the_policy_in_force_is_stale() {
    let run = with_figures();
    let policy = "version = 1\n[defaults]\nno_match = \"exempt\"\n";
    let loaded = |arguments: &str| {
        let ran = run.under(policy, arguments);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        ran.out
    };
    let mut young = record(20, "carol", 4_000_003, 0);
    young["opened"] = (young["opened"].as_u64().unwrap() + 1000).into();
    run.write(20, &young);
    let all = loaded("list");
    let states: Vec<&str> = all
        .lines()
        .skip(1)
        .filter_map(|line| line.rsplit("  ").next())
        .collect();
    assert_eq!(
        states,
        ["stale", "stale", "stale", "active", "4 sessions, 3 users."]
    );
    let stale = loaded("list --stale");
    assert!(stale.ends_with("\n3 sessions, 2 users.\n"), "{stale}");
    let object: Value = serde_json::from_str(&loaded("list --json")).unwrap();
    let sessions = object["sessions"].as_array().unwrap();
    let stale: Vec<_> = sessions
        .iter()
        .map(|one| (&one["stale"], &one["state"]))
        .collect();
    assert_eq!(stale[0], (&json!(true), &json!("active")));
    assert_eq!(stale[3], (&json!(false), &json!("active")));
    assert!(loaded("show 12").contains("    Stale: opened under another policy, or "));
    assert!(loaded("top -b -d 0.1").contains(" S\n"));
    // Without a policy in force nothing is older, and with one that cannot be used nobody knows.
    let none = run.berth("", "list --stale");
    assert_ne!(none.code, Some(0), "{none:?}");
    assert_eq!(none.out, "");
    let etc = run.root().join("etc");
    fs::write(etc.join("berth/policy.toml"), "version = 2\n").unwrap();
    let damaged = format!(
        "mount --bind {} /etc; exec /run/berth-program list --stale",
        etc.display()
    );
    let damaged = Ran::of(&mut run.shell(&damaged));
    assert_eq!((damaged.code, &*damaged.out), (Some(3), ""), "{damaged:?}");
}

#[test]
fn a_session_is_of_the_policy_that_it_was_opened_under_whenever_that_was_loaded() {
    let run = Run::new();
    let policy = "version = 1\n[defaults]\nno_match = \"exempt\"\n";
    let sha256 = run.loaded(policy);
    for (id, ago, by) in [(1, 8000, &sha256), (2, 0, &sha256), (3, 0, &"0".repeat(64))] {
        let mut record = record(id, "alice", 4_000_001, ago);
        record["policy"] = by.as_str().into();
        run.write(id, &record);
    }
    assert_eq!(stale(&run, policy), [false, false, true]);
    // The same text loaded again changes nothing for anybody; another does.
    assert_eq!(stale(&run, policy), [false, false, true]);
    assert_eq!(
        stale(&run, &format!("{policy}# another\n")),
        [true, true, true]
    );
}

#[test]
fn a_session_is_stale_when_a_window_of_time_gives_it_another_pool_or_other_namespaces() {
    let run = Run::new();
    let policy = |outcome: &str| {
        format!(
            "version = 1\n[exempt]\nuids = [1]\n[time.long-ago]\nfrom = 2001-01-01T00:00:00\nuntil = 2001-01-03T00:00:00\n\
             [profile.normal.namespaces]\nuser = \"off\"\n[profile.bare.namespaces]\nuser = \"identity\"\n\
             [profile.slow.user]\nmemory_max = \"1G\"\n[pool.labs]\nmemory_max = \"1G\"\n\
             [[rule]]\ntime = \"long-ago\"\n{outcome}\n[[rule]]\nprofile = \"normal\"\n"
        )
    };
    let then = 978_393_600; // 2001-01-02 00:00 in UTC, and within it everywhere
    for (outcome, is_stale) in [
        ("profile = \"normal\"", false),
        ("profile = \"slow\"", false),
        ("profile = \"bare\"", true),
        ("profile = \"normal\"\npool = \"labs\"", true),
    ] {
        let policy = policy(outcome);
        let sha256 = run.loaded(&policy);
        for (id, opened) in [(1, then), (2, then + 1_000_000)] {
            let mut record = record(id, "nobody", 65_534, 0);
            record["policy"] = sha256.as_str().into();
            record["opened"] = opened.into();
            run.write(id, &record);
        }
        assert_eq!(stale(&run, &policy), [is_stale, false], "{outcome}");
    }
}

/// Which sessions are stale under a policy, in the order of their ids.
#[track_caller]
fn stale(run: &Run, policy: &str) -> Vec<bool> {
    let ran = run.under(policy, "list --json");
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    let object = ran.json();
    let sessions = object["sessions"].as_array().unwrap();
    let stale = sessions.iter().map(|one| one["stale"].as_bool().unwrap());
    stale.collect()
}
