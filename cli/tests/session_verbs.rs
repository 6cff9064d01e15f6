//! The verbs about sessions, by their output and exit codes, on records that the test writes. Real sessions
//! are looked at by the crate of tests on real logins.

mod pretend;

use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

use berth_config::{Exception, ExceptionFile, LocalTime, Places, Standings};
use serde_json::{Value, json};

use pretend::ran::somebody;
use pretend::{Ran, Run, files, record, three, with_figures};

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
fn a_list_that_is_longer_than_the_terminal_is_shown_by_a_pager() {
    let run = three();
    // In a terminal of its own (script(1)), which is so high.
    let list = |rows: u32, arguments: &str| {
        let shown = run
            .shell(&format!(
                "exec script -qec 'stty rows {rows} cols 80; PAGER=\"sed s/^/paged:/\" /run/berth-program {arguments}' /dev/null"
            ))
            .output()
            .unwrap();
        String::from_utf8(shown.stdout).unwrap()
    };
    for (arguments, first) in [("list", "SESSION"), ("list --users", "USER")] {
        let shown = list(3, arguments);
        let title = shown.lines().find(|line| line.contains(first)).unwrap();
        assert!(
            title.contains("paged:")
                && shown.contains("paged:3 sessions") | shown.contains("paged:2 users"),
            "{shown}"
        );
        let shown = list(40, arguments);
        assert!(
            !shown.contains("paged:") && shown.contains(first),
            "{shown}"
        );
    }
    let policy = run.sessions.with_extension("toml");
    std::fs::write(&policy, "version = 1\n").unwrap();
    let with_policy = |verb: &str| format!("{verb} {}", policy.display());
    for arguments in [
        "show alice".to_owned(),
        "doctor".to_owned(),
        with_policy("explain root --policy"),
        with_policy("check --users"),
        with_policy(&with_policy("diff")),
    ] {
        // What is one line fits.
        let shown = list(2, &arguments);
        let lines = shown.lines().count();
        assert_eq!(shown.contains("paged:"), lines > 1, "{arguments}: {shown}");
    }
    std::fs::remove_file(&policy).unwrap();
}

#[test]
fn ctrl_c_is_the_pagers_and_for_another_the_pager_is_less_alone() {
    let run = three();
    let folder = run.sessions.with_extension("bin");
    std::fs::create_dir_all(&folder).unwrap();
    let less = folder.join("less");
    let says = "#!/bin/sh\necho less $LESSSECURE:$LESSSECURE_ALLOW\ncat\n";
    std::fs::write(&less, says).unwrap();
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&less, executable).unwrap();
    let list = |before: &str| {
        let shown = run
            .shell(&format!(
                "exec script -qec 'stty rows 3 cols 80; export PATH={}:$PATH LESSSECURE_ALLOW=shell \
                 PAGER=\"kill -INT \\$PPID; sed s/^/paged:/\"; {before} /run/berth-program list; echo code $?' /dev/null",
                folder.display()
            ))
            .output()
            .unwrap();
        String::from_utf8(shown.stdout).unwrap()
    };
    let shown = list("");
    assert!(
        shown.contains("paged:3 sessions") && shown.contains("code 0"),
        "{shown}"
    );
    for another in ["SUDO_UID=1000", "DOAS_USER=alice"] {
        let shown = list(another);
        assert!(
            shown.starts_with("less 1:\r\n") && !shown.contains("paged:"),
            "{shown}"
        );
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn what_takes_long_is_told_on_a_terminal_until_it_is_done() {
    let run = Run::new();
    run.session(12, "alice", 4_000_001, &files(0, 0, 1));
    let helper = run.sessions.with_file_name("helper");
    let write_helper = |waits: &str| {
        std::fs::write(&helper, format!("#!/bin/sh\n{waits}\necho '[]'\n")).unwrap();
        let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&helper, executable).unwrap();
    };
    write_helper("until test -e /run/go; do sleep 0.02; done");
    let apply = format!("apply --helper {}", helper.display());
    let record = json!({
        "session": 99, "user": "eve", "uid": 4_000_009, "service": "sshd", "tty": "", "rhost": "", "profile": "p",
        "pool": null, "start": "2026-11-24T10:00:00+01:00", "end": "2026-11-24T10:00:00+01:00", "seconds": 0
    });
    // Each ends by what is done once it has told how far it is, or it has a slow file.
    for (command, told, ends, last) in [
        (
            format!("/run/berth-program {apply}").as_str(),
            "bringing caps up to date: ",
            "touch /run/go",
            "0 users changed",
        ),
        (
            "strace -f -qq -o /dev/null -P $mount/cgroup.freeze -e inject=write:delay_enter=3000000 \
             /run/berth-program freeze 12",
            "0 of 1 cgroup frozen",
            "echo 'frozen 1' >$mount/cgroup.events",
            "frozen session 12: 1 session",
        ),
        (
            "strace -f -qq -o /dev/null -P /run/ended -e inject=read:delay_enter=3000000:when=2 \
             /run/berth-program report --file /run/ended",
            "1 record read",
            "true",
            "eve",
        ),
        (
            "/run/berth-program kill 12 --yes --grace 60s",
            "0 of 1 session ended",
            "rm /run/berth/sessions/12; echo 'populated 0' >$mount/cgroup.events",
            "ended session 12 of alice",
        ),
    ] {
        let shown = Ran::of(&mut run.shell(&format!(
            "echo '{record}' >/run/ended; touch /run/shown; \
             export mount=$(awk '/ - cgroup2 /{{print $5; exit}}' /proc/self/mountinfo)/berth/user-4000001/sessions/12; \
             {{ i=0; until grep -q '{told}' /run/shown || test $i = 1000; do i=$((i + 1)); sleep 0.02; done; {ends}; }} & \
             script -qefc '{command}' /run/shown"
        )));
        assert_eq!(shown.code, Some(0), "{command}: {shown:?}");
        let parts = shown.out.rsplit_once("\r\u{1b}[K");
        let (progress, rest) = parts.unwrap_or_else(|| panic!("{command}: {shown:?}"));
        assert!(
            progress.contains(&format!("\r{told}")),
            "{command}: {shown:?}"
        );
        assert!(
            rest.contains(last) && !rest.contains(told),
            "{command}: {shown:?}"
        );
    }
    // A terminal that somebody has stopped holds up nothing.
    write_helper("sleep 2");
    let stopped = Ran::of(&mut run.shell(&format!(
        "stop() {{ printf '\\023'; i=0; until test -s /run/applied || test $i = 1000; do i=$((i + 1)); sleep 0.02; done; \
         test -s /run/applied && echo applied >/run/in-time; printf '\\021'; }}; \
         stop | timeout 60 script -qefc '/run/berth-program {apply} --json >/run/applied' /dev/null >/dev/null; cat /run/in-time"
    )));
    assert_eq!(stopped.code, Some(0), "{stopped:?}");
    write_helper("sleep 1.3");
    let ran = run.berth("", &apply);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{ran:?}");
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
    let object = run.berth("", "list --json").json();
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
    let object = run.berth("", "list --users --json").json();
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
        let object = run.berth("", &format!("{verb} --json")).json();
        let user = object.get("users").map_or(&object, |users| &users[0]);
        assert_eq!(
            user["tasks"],
            json!({ "count": 3, "max": 512, "peak": 99, "refused": 4 }),
            "{verb}"
        );
    }
    let metrics = run.berth("", "metrics").out;
    let max = "berth_user_tasks_max{user=\"alice\",uid=\"4000001\"} 512\n";
    assert!(metrics.contains(max), "{metrics}");
    let object = run.berth("", "list --pools --json").json();
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
    let object = run.berth("", "show profile:batch --json").json();
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
fn under_systemd_figures_are_those_of_slices_and_scopes() {
    let run = Run::new();
    let slice = "user.slice/user-4000001.slice";
    let pool = "user.slice/user-pool_cs101.slice";
    let in_pool = format!("{pool}/user-pool_cs101-4000002.slice");
    // Where bob's service manager stays. It is a session, too, and the first.
    let outside = "user.slice/user-4000002.slice";
    for (path, tasks) in [
        ("user.slice", 99),
        (slice, 34),
        (&format!("{slice}/session-3.scope"), 4),
        (&format!("{slice}/berth-14.scope"), 5),
        (pool, 61),
        (&in_pool, 60),
        (&format!("{in_pool}/berth-9.scope"), 59),
        (outside, 2),
        (&format!("{outside}/user@4000002.service"), 2),
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
        (
            8,
            "bob",
            4_000_002,
            format!("{outside}/user@4000002.service"),
        ),
        (9, "bob", 4_000_002, format!("{in_pool}/berth-9.scope")),
    ] {
        let mut record = record(id, user, uid, 245);
        record["cgroup"] = cgroup.into();
        if id == 9 {
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
    assert_eq!(column(&berth("", "list"), 6), ["2", "59", "4", "5"]);
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
    let page = berth("", "show bob");
    assert!(page.contains(&format!("   Cgroup: /{in_pool}\n")), "{page}");
    let top = berth("", "top -b -d 0.1");
    assert!(
        top.contains("\nalice    student -       34/512 ")
            && top.contains("\nbob      student cs101   60/512 "),
        "{top}"
    );
    // Who is not root has no record that tells Berth's number of a scope of logind's.
    let alice = somebody(4_000_001);
    assert_eq!(column(&berth(&alice, "list"), 0), ["session-3", "14"]);
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
fn what_is_not_there_is_1_and_what_makes_no_sense_is_2() {
    let run = three();
    std::fs::write(run.sessions.join(".policy"), "version = 1\n").unwrap();
    for (arguments, code, said) in [
        ("show 99", 1, "berth: there is no session 99\n"),
        ("show carol", 1, "berth: user \"carol\" has no session\n"),
        ("kill 99 --yes", 1, "berth: there is no session 99\n"),
        ("enter 99", 1, "berth: there is no session 99\n"),
        (
            "enter alice",
            2,
            "invalid value 'alice' for '<SESSION>': write its number, as in 12",
        ),
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
        "check", "edit", "reload", "diff", "explain", "list", "show", "top", "log", "report",
        "metrics", "apply", "set", "unset", "kill", "freeze", "thaw", "enter", "try", "doctor",
    ] {
        let ran = run.berth("", &format!("{verb} --help"));
        assert!(ran.out.contains("Exit status: "), "{verb}");
        let longest = ran.out.lines().map(str::len).max();
        assert!(longest <= Some(100), "{verb}: {longest:?}");
    }
}

#[test]
fn what_cannot_be_shown_stops_nothing() {
    let run = three();
    for (arguments, code) in [
        ("list --pools >/dev/full", 0),
        ("top --batch --delay 0.1 >/dev/full", 0),
        ("show 99 2>/dev/full", 1),
    ] {
        let ran = run.berth("", arguments);
        assert_eq!(
            (ran.code, ran.err.as_str()),
            (Some(code), ""),
            "{arguments}"
        );
    }
    // Said at once when all is done, and by another macro.
    let windows = "version = 1\n[exempt]\nuids = [1]\n[time.night]\nhours = \"22:00-23:00\"\n\
                   [[rule]]\nuser = \"nobody\"\ntime = \"night\"\naction = \"deny\"\n";
    let ran = run.under(windows, "apply --due --helper /bin/false 2>/dev/full");
    assert_eq!((ran.code, ran.err.as_str()), (Some(1), ""), "{ran:?}");
}

#[test]
fn an_object_that_is_cut_is_not_so() {
    let run = with_figures();
    let policy = run.sessions.with_extension("toml");
    std::fs::write(&policy, "version = 1\n").unwrap();
    let policy = policy.display();
    for verb in [
        "list",
        "list --users",
        "list --pools",
        "show 12",
        "show alice",
        "top --delay 0.1",
        "freeze 12",
        "thaw 12",
        "kill 12 --yes --signal CONT",
        &format!("check {policy}"),
        &format!("diff {policy} {policy}"),
        &format!("explain nobody --policy {policy}"),
    ] {
        let ran = run.berth("", &format!("{verb} --json >/dev/full"));
        assert_eq!(ran.code, Some(1), "{verb}: {ran:?}");
        assert!(ran.err.contains("No space left on device"), "{ran:?}");
    }
}

#[test]
fn what_has_no_cgroup_is_not_said_to_be_frozen() {
    let run = Run::new();
    let mut figures = files(0, 0, 1);
    let stands = ("cgroup.events", "populated 1\nfrozen 1\n".into());
    figures.retain(|(name, _)| *name != stands.0);
    figures.push(stands);
    run.session(12, "alice", 4_000_001, &figures);
    run.write(14, &record(14, "alice", 4_000_001, 9));
    let ran = run.berth("", "freeze alice --json");
    let why = "session 14 is in no cgroup that was frozen, and goes on";
    let object = ran.json();
    assert_eq!((ran.code, ran.err), (Some(5), format!("berth: {why}\n")));
    assert_eq!(object["frozen"], json!([12]));
    assert_eq!(object["failed"], json!([why]));
    let ran = run.berth("", "thaw alice");
    assert_eq!(ran.out, "thawed user \"alice\": 1 session\n", "{ran:?}");
}

/// An account that was made anew while a session of its old UID lingers, and another name of the new one's.
#[test]
fn a_user_is_all_uids_that_have_the_name_with_all_sessions_of_these() {
    let run = Run::new();
    let mut frozen = files(5_000_000, 1 << 30, 34);
    for (name, text) in &mut frozen {
        if *name == "cgroup.events" {
            *text = "populated 1\nfrozen 1\n".into();
        }
    }
    run.session(12, "alice", 4_000_001, &frozen);
    run.session(57, "alice", 4_000_002, &frozen);
    run.session(58, "alicia", 4_000_002, &frozen);
    run.session(59, "bob", 4_000_003, &frozen);
    let ran = run.berth("", "freeze alice --json");
    let object = ran.json();
    assert_eq!(object["frozen"], json!([12, 57, 58]));
    for (uid, told) in [(4_000_001, "1"), (4_000_002, "1"), (4_000_003, "0")] {
        let file = run.cgroups.join(format!("berth/user-{uid}/cgroup.freeze"));
        assert_eq!(std::fs::read_to_string(file).unwrap().trim(), told, "{uid}");
    }
    let ran = run.berth("", "show alice --json");
    let object = ran.json();
    assert_eq!(object["memory"]["bytes"], 2_u64 << 30);
    assert_eq!(object["sessions"].as_array().unwrap().len(), 3);
    let shown = run.berth("", "show alicia").out;
    assert!(shown.starts_with("alicia (4000002)  "), "{shown}");
    assert!(
        shown.contains("Tasks:") && shown.contains("34 of 512"),
        "{shown}"
    );
}

/// As `berth set` and penalties have it, which are about the new UID.
#[test]
fn what_a_user_has_by_their_new_uid_is_shown_while_a_session_of_the_old_one_lingers() {
    let run = Run::new();
    run.write(12, &record(12, "alice", 4_000_001, 8045));
    run.write(57, &record(57, "alice", 4_000_002, 60));
    let places = Places::under(&run.sessions.with_file_name("root"));
    let exception = Exception {
        user: Some("alice".into()),
        key: "tasks_max".into(),
        value: "512".into(),
        until: 4_000_000_000,
        by: "root".into(),
        reason: None,
        is_taken_back: false,
    };
    let written = ExceptionFile::of(&places, 4_000_002).write(&[exception]);
    written.unwrap();
    let standing = pretend::standing();
    let users = BTreeMap::from([(4_000_002, standing)]);
    Standings { users }.write(&places).unwrap();
    let ran = run.under("version = 1\n", "show alice --json");
    let object = ran.json();
    assert_eq!(object["exceptions"][0]["key"], "tasks_max");
    assert_eq!(object["penalty"]["penalty"], "hog");
    let shown = run.under("version = 1\n", "show alice").out;
    assert!(shown.contains("\n  Penalty: hog"), "{shown}");
    assert!(
        shown.contains("\nException: of 4000002: tasks_max 512 "),
        "{shown}"
    );
}

#[test]
fn explain_of_a_session_is_about_the_login_that_opened_it() {
    let run = Run::new();
    let mut login = record(12, "nobody", 65_534, 3600);
    login["service"] = "login".into();
    login["tty"] = "tty1".into();
    login["ruser"] = "carol".into();
    login["pool"] = "labs".into();
    run.write(12, &login);
    let policy = run.sessions.with_extension("toml");
    let text = "version = 1\n[exempt]\nuids = [1]\n[profile.student]\n[profile.console]\n[pool.labs]\n\
                memory_max = \"1G\"\n[[rule]]\ntty = \"tty1\"\nrhost = \"10.1.4.0/24\"\nruser = \"carol\"\nprofile = \"PROFILE\"\n\
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
    let mut object = Value::Null;
    for other in ["--ruser dave", "--tty tty2"] {
        let ran = explained("console", &format!("12 {other} --json"));
        object = ran.json();
        assert_eq!(object["berth"]["profile"], "student", "{other}");
    }
    assert_eq!(object["session"]["differs"], false);
    let at = &object["login"]["at"];
    let opened = UNIX_EPOCH + Duration::from_secs(login["opened"].as_u64().unwrap());
    assert_eq!(*at, json!(LocalTime::rfc3339(opened)));
    login["rhost"] = "evil\u{1b}[2J".into();
    run.write(12, &login);
    let ran = explained("console", "12");
    assert!(ran.out.contains(" from evil\u{fffd}[2J; "), "{ran:?}");
    assert!(
        ran.out.contains("  rhost: evil\u{fffd}[2J is not "),
        "{ran:?}"
    );
    assert!(!ran.out.contains('\u{1b}'), "{ran:?}");
    let ran = explained("console", "13");
    std::fs::remove_file(&policy).unwrap();
    assert_eq!(
        (ran.code, ran.err.as_str()),
        (Some(1), "berth: there is no session 13\n")
    );
}

#[test]
fn explain_that_is_typed_in_a_session_is_about_it() {
    let run = Run::new();
    for (id, user, uid) in [(14, "root", 0), (15, "nobody", 65_534)] {
        let mut login = record(id, user, uid, 3600);
        login["service"] = "login".into();
        run.write(id, &login);
    }
    let policy = run.sessions.with_extension("toml");
    std::fs::write(&policy, "version = 1\n").unwrap();
    let service = |session: &str, more: &str| {
        let before = format!("env BERTH_SESSION={session}");
        let policy = policy.display();
        let ran = run.berth(&before, &format!("explain {more} --policy {policy} --json"));
        let object = ran.json();
        (
            object["session"]["session"].clone(),
            object["login"]["service"].as_str().unwrap().to_owned(),
        )
    };
    assert_eq!(service("14", ""), (json!(14), "login".into()));
    // What is asked about another login is not about this one, nor is a session of somebody else's one's own.
    for (session, more) in [
        ("14", "root"),
        ("14", "--service sshd"),
        ("14", "--rhost 192.0.2.1"),
        ("14", "--ruser carol"),
        ("15", ""),
        ("99", ""),
        ("../14", ""),
    ] {
        assert_eq!(
            service(session, more),
            (Value::Null, "sshd".into()),
            "{session} {more}"
        );
    }
    std::fs::remove_file(&policy).unwrap();
}

#[test]
fn nothing_of_the_dead_is_removed_where_nobody_can_look_for_their_cgroups() {
    let run = three();
    let blind = "strace -f -qq -o /dev/null -P /proc/self/mountinfo -e inject=openat:error=EMFILE";
    for verb in [
        "kill 9 --yes",
        "doctor --fix",
        "list",
        "show bob",
        "top --batch",
    ] {
        let command =
            format!("mount -t tmpfs none /var/lib; exec {blind} /run/berth-program {verb}");
        let ran = Ran::of(&mut run.shell(&command));
        let said = ran.out + &ran.err;
        assert_eq!(ran.code, Some(1), "{verb}: {said}");
        let why = "cannot read /proc/self/mountinfo: Too many open files";
        assert!(said.contains(why), "{verb}: {said}");
        assert!(run.sessions.join("9").exists(), "{verb}: {said}");
    }
    let ran = run.berth(blind, "metrics");
    assert_eq!(ran.code, Some(5), "{ran:?}");
    assert!(ran.out.contains("berth_sessions"), "{ran:?}");
}

#[test]
fn doctor_says_that_it_could_not_look_for_leftovers() {
    let run = Run::new();
    let doctor = "touch /run/berth/users; exec /run/berth-program doctor";
    let ran = Ran::of(&mut run.shell(doctor));
    let told = "FAIL  sessions   cannot list /run/berth/users: Not a directory";
    assert!(ran.out.contains(told), "{ran:?}");
}

/// With PIDs of its own, so that no other test meets this keeper.
#[test]
fn an_unknown_keeper_is_looked_for_once_however_much_is_left() {
    let run = Run::new();
    let looks = |left: u32| {
        for id in 0..left {
            std::fs::write(run.sessions.join(format!(".{id}")), "").unwrap();
        }
        let looks = run.sessions.with_file_name("looks");
        let ran = Ran::of(&mut run.shell(&format!(
            "mount -t tmpfs none /var/lib; cp /bin/sh /run/berth-helper; exec unshare --mount --pid --fork --mount-proc sh -ec \" \
             /run/berth-helper -c 'echo; sleep 60; true' >/run/told & \
             until test -s /run/told; do sleep 0.02; done; \
             strace -f -qq -o {} -e trace=openat /run/berth-program doctor --fix\"",
            looks.display()
        )));
        let refused = ran.out.matches("no record says of which session").count();
        assert_eq!(refused, left as usize, "{ran:?}");
        let looks = std::fs::read_to_string(looks).unwrap();
        looks.matches("\"/proc\", ").count()
    };
    assert_eq!(looks(1), looks(5));
}
