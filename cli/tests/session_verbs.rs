//! list, show, kill and try, by their output and exit codes, on records that the test writes. Real
//! sessions are looked at by the crate of tests on real logins.

mod pretend;

use std::time::{Duration, SystemTime};

use berth_config::LocalTime;
use serde_json::{Value, json};

use pretend::{Run, files, record, three, with_figures};

#[test]
fn list_is_a_table_of_sessions() {
    let run = three();
    let ran = run.berth("", "list");
    assert_eq!(
        ran.out,
        "\
SESSION  USER   SERVICE  PROFILE        POOL    AGE  TASKS  CPU  MEMORY  STATE
      9  bob    sshd     student        -        3d      -    -       -  dead
     12  alice  sshd     student        -     2h14m      -    -       -  active
     14  alice  cron     student+batch  -        4m      -    -       -  linger
3 sessions, 2 users.
Session 9 has lost its keeper: `berth kill 9` removes what is left of it.
"
    );
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    assert_eq!(run.berth("", "").out, ran.out);
}

#[test]
fn list_of_users_and_for_programs() {
    let run = three();
    assert_eq!(
        run.berth("", "list --users").out,
        "\
USER       UID  SESSIONS  PROFILE                POOL    AGE  TASKS  CPU  MEMORY
alice  4000001         2  student,student+batch  -     2h14m      -    -       -
bob    4000002         1  student                -        3d      -    -       -
2 users, 3 sessions.
"
    );
    let object: Value = serde_json::from_str(&run.berth("", "list --json").out).unwrap();
    assert_eq!(object["version"], 1);
    assert!(object["now"].as_str().unwrap().contains('T'));
    let session = &object["sessions"][1];
    for (key, value) in [
        ("session", json!(12)),
        ("user", json!("alice")),
        ("uid", json!(4_000_001)),
        ("service", json!("sshd")),
        ("rhost", json!("10.1.4.22")),
        ("profile", json!("student")),
        ("pool", Value::Null),
        ("rule", json!("cs101")),
        ("state", json!("active")),
        ("namespaces", json!([])),
        ("init_pid", Value::Null),
    ] {
        assert_eq!(session[key], value, "{key}");
    }
    assert!(session["age_seconds"].as_u64().unwrap() >= 8045);
    assert_eq!(session["memory"]["max_bytes"], Value::Null);
    let object: Value = serde_json::from_str(&run.berth("", "list --users --json").out).unwrap();
    assert_eq!(object["users"][0]["sessions"], json!([12, 14]));
}

#[test]
fn figures_are_of_the_cgroups_of_sessions_users_and_pools() {
    let run = with_figures();
    run.cgroup(
        "berth/user-4000001/sessions/14",
        &[("cgroup.events", "populated 1\nfrozen 1\n")],
    );
    assert_eq!(
        run.berth("", "list").out,
        "\
SESSION  USER   SERVICE  PROFILE   POOL     AGE  TASKS  CPU  MEMORY  STATE
      9  bob    sshd     ta+batch  cs101     4m     61   0%    7.0G  active
     12  alice  sshd     student   -      2h14m     34   0%    1.0G  active
     14  alice  sshd     student   -      2h14m      3   0%      1M  frozen
3 sessions, 2 users.
"
    );
    assert_eq!(
        run.berth("", "list --users").out,
        "\
USER       UID  SESSIONS  PROFILE   POOL     AGE  TASKS  CPU  MEMORY
alice  4000001         2  student   -      2h14m      3   0%      1M
bob    4000002         1  ta+batch  cs101     4m     61   0%    7.0G
2 users, 3 sessions.
"
    );
    assert_eq!(
        run.berth("", "list --pools").out,
        "\
POOL   USERS  SESSIONS  AGE  TASKS  CPU  MEMORY
cs101      1         1   4m     61   0%    7.0G
1 pool.
"
    );
    // The user's own cgroup has a reserve on top of the cap.
    run.cgroup("berth/user-4000001", &[("pids.max", "528\n")]);
    for verb in ["list --users", "show alice"] {
        let object: Value =
            serde_json::from_str(&run.berth("", &format!("{verb} --json")).out).unwrap();
        let user = object.get("users").map_or(&object, |users| &users[0]);
        assert_eq!(
            user["tasks"],
            json!({ "count": 3, "max": 512, "peak": 99, "refused": 4 }),
            "{verb}"
        );
    }
    let object: Value = serde_json::from_str(&run.berth("", "list --pools --json").out).unwrap();
    let pool = &object["pools"][0];
    assert_eq!(
        (&pool["pool"], &pool["users"], &pool["sessions"]),
        (&json!("cs101"), &json!(["bob"]), &json!([9]))
    );
    assert_eq!(
        pool["memory"],
        json!({ "bytes": 7_u64 << 30, "max_bytes": 8_u64 << 30, "peak_bytes": 7_u64 << 30, "oom_kills": 1 })
    );
    assert_eq!(
        pool["pressure"],
        json!({ "cpu_percent": 31.0, "memory_percent": 0.0, "io_percent": 0.5 })
    );
    assert_eq!(pool["cpu"]["throttled_seconds"], 2.0);
    assert_eq!(
        pool["io"],
        json!({ "read_bytes": 1_048_576, "written_bytes": 2_097_152 })
    );
}

#[test]
fn a_profile_is_shown_with_what_its_sessions_use_together() {
    let run = with_figures();
    let page = run.berth("", "show profile:student").out;
    assert_eq!(
        page,
        "\
profile student  1 user
      CPU: 0%   6.0s used, 4.0s throttled
   Memory: 1.0G   2 OOM kills
    Tasks: 37   8 refused
       IO: 2M read, 4M written
 Sessions: 12  alice, sshd from 10.1.4.22, 2h 14min
           14  alice, sshd from 10.1.4.22, 2h 14min
"
    );
    let object: Value =
        serde_json::from_str(&run.berth("", "show profile:batch --json").out).unwrap();
    assert_eq!(
        (&object["profile"], &object["sessions"]),
        (&json!("batch"), &json!([9]))
    );
    assert_eq!(object["memory"]["bytes"], 7_u64 << 30);
    assert_eq!(run.berth("", "show profile:stud").code, Some(1));
    // What is done to it is done to its sessions, and no others.
    let sessions = [
        "user-4000001/sessions/12",
        "user-4000001/sessions/14",
        "pool-cs101/user-4000002/sessions/9",
    ];
    let frozen = sessions.map(|session| {
        run.cgroups
            .join("berth")
            .join(session)
            .join("cgroup.freeze")
    });
    for path in &frozen {
        std::fs::write(path, "1").unwrap();
    }
    assert_eq!(run.berth("", "thaw profile:student").code, Some(0));
    assert_eq!(
        frozen.map(|path| std::fs::read_to_string(path).unwrap()),
        ["0", "0", "1"]
    );
}

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
    assert!(loaded("show 12").contains("    Stale: opened under an older policy"));
    assert!(loaded("top -b -d 0.1").contains(" S\n"));
    // Without a policy in force nothing is older.
    assert!(
        run.berth("", "list --stale")
            .out
            .ends_with("0 sessions, 0 users.\n")
    );
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
    let object: Value = serde_json::from_str(&ran.out).unwrap();
    let sessions = object["sessions"].as_array().unwrap();
    let stale = sessions.iter().map(|one| one["stale"].as_bool().unwrap());
    stale.collect()
}

#[test]
fn under_systemd_figures_are_those_of_slices_and_scopes() {
    let run = Run::new();
    let slice = "user.slice/user-4000001.slice";
    let pool = "user.slice/user-pool_cs101.slice";
    let in_pool = format!("{pool}/user-pool_cs101-4000002.slice");
    for (path, tasks) in [
        ("user.slice", 99),
        (slice, 34),
        (&format!("{slice}/session-3.scope"), 4),
        (&format!("{slice}/berth-14.scope"), 5),
        (pool, 61),
        (&in_pool, 60),
        (&format!("{in_pool}/berth-9.scope"), 59),
    ] {
        let figures = files(1_000_000, 1 << 30, tasks);
        let figures: Vec<_> = figures
            .iter()
            .map(|(name, text)| (*name, text.as_str()))
            .collect();
        run.cgroup(path, &figures);
    }
    for (id, user, uid, cgroup) in [
        (12, "alice", 4_000_001, format!("{slice}/session-3.scope")),
        (14, "alice", 4_000_001, format!("{slice}/berth-14.scope")),
        (9, "bob", 4_000_002, format!("{in_pool}/berth-9.scope")),
    ] {
        let mut record = record(id, user, uid, 245);
        record["cgroup"] = cgroup.into();
        if user == "bob" {
            record["pool"] = "cs101".into();
        }
        run.write(id, &record);
    }
    let berth = |before: &str, arguments: &str| {
        let script =
            format!("mkdir -p /run/systemd/system; exec {before} /run/berth-program {arguments}");
        let output = run.shell(&script).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let column = |text: &str, number: usize| -> Vec<String> {
        let lines = text.lines().skip(1).filter(|line| line.contains('%'));
        lines
            .filter_map(|line| Some(line.split_whitespace().nth(number)?.to_owned()))
            .collect()
    };
    assert_eq!(column(&berth("", "list"), 6), ["59", "4", "5"]);
    assert_eq!(column(&berth("", "list --users"), 6), ["34", "60"]);
    assert_eq!(column(&berth("", "list --pools"), 4), ["61"]);
    let page = berth("", "show alice");
    assert!(
        page.contains("   Cgroup: /user.slice/user-4000001.slice\n"),
        "{page}"
    );
    assert!(
        page.contains("    Tasks: |...............     34 of 512 "),
        "{page}"
    );
    let top = berth("", "top -b -d 0.1");
    assert!(
        top.contains("\nalice    student -       34/512 ")
            && top.contains("\nbob      student cs101   60/512 "),
        "{top}"
    );
    // Who is not root has no record that tells Berth's number of a scope of logind's.
    let alice = "setpriv --reuid=4000001 --regid=4000001 --clear-groups";
    assert_eq!(column(&berth(alice, "list"), 0), ["session-3", "14"]);
}

#[test]
fn a_record_that_cannot_be_understood_is_told_and_the_rest_is_listed() {
    let run = three();
    std::fs::write(run.sessions.join("13"), "{}").unwrap();
    let ran = run.berth("", "list");
    assert!(ran.out.contains("3 sessions, 2 users."), "{ran:?}");
    assert!(
        ran.err
            .contains("the session record /run/berth/sessions/13"),
        "{ran:?}"
    );
    assert_eq!(ran.code, Some(5));
}

#[test]
fn show_of_a_user_has_a_line_for_each_session() {
    let run = three();
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
            " Sessions: 12  sshd from 10.1.4.22, 2h 14min\n           14  cron on cron, 4min, linger\n"
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

#[test]
fn show_of_a_session_lets_no_escape_sequence_through() {
    let run = three();
    let ran = run.berth("", "status 9");
    assert!(
        ran.out
            .contains("    State: dead\n    Login: sshd from evil\u{fffd}[2J\n"),
        "{ran:?}"
    );
    let object: Value = serde_json::from_str(&run.berth("", "show 9 --json").out).unwrap();
    assert_eq!(
        (&object["version"], &object["state"]),
        (&json!(1), &json!("dead"))
    );
    assert_eq!(object["rhost"], "evil\u{1b}[2J");
}

#[test]
fn what_is_not_there_is_1_and_what_makes_no_sense_is_2() {
    let run = three();
    std::fs::write(run.sessions.join(".policy"), "version = 1\n").unwrap();
    for (arguments, code, said) in [
        ("show 99", 1, "berth: there is no session 99\n"),
        ("show carol", 1, "berth: user \"carol\" has no session\n"),
        ("kill 99 --yes", 1, "berth: there is no session 99\n"),
        ("enter 99", 1, "berth: there is no session 99\n"),
        ("enter alice", 2, "invalid value 'alice' for '<SESSION>'"),
        (
            "try --user no-such-user --policy /run/berth/sessions/.policy true",
            1,
            "berth: user \"no-such-user\" is not known here",
        ),
        ("show pool:x", 1, "berth: pool \"x\" has no session\n"),
        ("show group:x", 2, "name a session, as in 12, a user"),
        (
            "kill 12",
            2,
            "berth: nobody can be asked here (no terminal): say --yes\n",
        ),
        ("kill 12 --signal NONE --yes", 2, "name a signal, as in HUP"),
        (
            "kill 12 --grace 5 --yes",
            2,
            "write a number and one of s, min, h",
        ),
        (
            "try --user root --service ../x true",
            2,
            "a service is a name",
        ),
    ] {
        let ran = run.berth("", arguments);
        assert_eq!(ran.code, Some(code), "{arguments}: {ran:?}");
        assert!(ran.err.contains(said), "{arguments}: {ran:?}");
    }
    for verb in [
        "list", "show", "kill", "freeze", "thaw", "enter", "log", "try",
    ] {
        let ran = run.berth("", &format!("{verb} --help"));
        assert!(ran.out.contains("Exit status: "), "{verb}");
        let longest = ran.out.lines().map(str::len).max();
        assert!(longest < Some(100), "{verb}: {longest:?}");
    }
}

#[test]
fn every_option_is_in_the_document() {
    let run = Run::new();
    let document = include_str!("../../docs/commands.md");
    for verb in ["list", "show", "kill", "enter", "try"] {
        let section = document.split("\n## ").find(|section| {
            section.starts_with(&format!("`berth {verb} "))
                || section.starts_with(&format!("`berth {verb}`"))
        });
        let section = section.unwrap_or_else(|| panic!("no section on {verb}"));
        let help = run.berth("", &format!("{verb} --help")).out;
        let options = help
            .split_whitespace()
            .filter(|word| word.starts_with("--") && word.len() > 3);
        for option in options.filter(|option| *option != "--help") {
            let option = option.trim_matches(|c: char| !c.is_ascii_alphabetic() && c != '-');
            assert!(section.contains(option), "{verb} {option}");
        }
    }
}

#[test]
fn explain_of_a_session_is_about_the_login_that_opened_it() {
    let run = Run::new();
    let mut login = record(12, "nobody", 65_534, 3600);
    login["service"] = "login".into();
    login["tty"] = "tty1".into();
    login["pool"] = "labs".into();
    run.write(12, &login);
    let policy = run.sessions.with_extension("toml");
    let text = "version = 1\n[exempt]\nuids = [1]\n[profile.student]\n[profile.console]\n[pool.labs]\n\
                memory_max = \"1G\"\n[[rule]]\ntty = \"tty1\"\nrhost = \"10.1.4.0/24\"\nprofile = \"PROFILE\"\n\
                [[rule]]\nprofile = \"student\"\npool = \"labs\"\n";
    let explained = |profile: &str, more: &str| {
        std::fs::write(&policy, text.replace("PROFILE", profile)).unwrap();
        let policy = policy.display();
        run.berth("", &format!("explain {more} --policy {policy}"))
    };
    let ran = explained("student", "12");
    assert!(
        ran.out
            .contains(", groups nogroup; service login from 10.1.4.22; "),
        "{ran:?}"
    );
    assert!(
        ran.out
            .contains("\nsession 12, opened with profile student, pool labs, rule cs101\n"),
        "{ran:?}"
    );
    let ran = explained("console", "12");
    assert!(
        ran.out
            .contains(", rule cs101; such a login gets what is below now\n"),
        "{ran:?}"
    );
    assert!(ran.out.contains("\nTHIS LOGIN   console"), "{ran:?}");
    // What is said on the command line wins.
    let ran = explained("console", "12 --tty tty2 --json");
    let object: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(object["outcome"]["profile"], "student");
    assert_eq!(object["session"]["differs"], false);
    let at = &object["login"]["at"];
    let now = &object["now"];
    assert_ne!(
        at["hour"].to_string(),
        now.to_string()[12..14].trim_start_matches('0')
    );
    let ran = explained("console", "13");
    std::fs::remove_file(&policy).unwrap();
    assert_eq!(
        (ran.code, ran.err.as_str()),
        (Some(1), "berth: there is no session 13\n")
    );
}
