//! `berth apply` on who is logged in: caps that follow the policy.

use berth_tests::{Booted, Machine, Policy, eventually};

use super::{BootedCase, Case};

pub const CASES: &[Case] = cases! {
    apply_brings_a_live_users_caps_to_the_policy_and_then_has_nothing_to_do
    apply_reaches_the_caps_of_sessions
    memory_in_use_is_not_taken_without_force
    what_was_read_from_files_is_taken
    an_exception_that_protects_counts_above_its_user
    who_is_denied_by_now_keeps_the_caps_they_have
    a_session_on_trial_lifts_nobodys_caps
    apply_reaches_pools_and_everyone
    a_login_that_a_reload_overtakes_has_the_new_caps
    an_exception_counts_at_once_and_ends_by_itself
    a_damaged_file_of_exceptions_is_named_and_keeps_nobody_out
    apply_is_no_error_for_who_logs_out_in_the_middle
    caps_follow_a_window_of_time
};

pub const CASES_UNDER_SYSTEMD: &[BootedCase] = cases! {
    apply_brings_the_caps_of_sessions_under_systemd
    apply_has_systemd_change_caps
    a_login_leaves_memory_in_use_under_systemd
    a_timer_ends_an_exception_under_systemd
};

fn apply_brings_a_live_users_caps_to_the_policy_and_then_has_nothing_to_do(machine: &mut Machine) {
    let before = machine.settled();
    machine.policy(&Policy::with_user_caps(
        "memory_max = \"2G\", memory_low = \"8M\", cpu_quota = \"200%\", tasks_max = 64",
    ));
    let (login, _) = machine.stay("alice");
    assert_eq!(machine.berth_with_helper("apply").ok(), "0 users changed");

    machine.policy(&Policy::with_user_caps(
        "memory_max = \"3G\", memory_low = \"4M\", cpu_quota = \"50%\", cpu_weight = 300, tasks_max = 32",
    ));
    let dry = machine.berth_with_helper("apply --dry-run").ok();
    assert!(dry.contains("alice     memory_max 2G -> 3G"), "{dry}");
    assert!(dry.ends_with("1 user would change"), "{dry}");
    assert_eq!(machine.of_user("alice", "memory.max"), "2147483648");
    let told = machine.berth_with_helper("apply").ok();
    for line in [
        "alice     memory_max 2G -> 3G",
        "alice     memory_low 8M -> 4M",
        "alice     cpu_quota 200% -> 50%",
        "alice     cpu_weight 100 -> 300",
        "alice     tasks_max 64 -> 32",
        "1 user changed",
    ] {
        assert!(told.contains(line), "{line:?} in {told}");
    }
    for (file, value) in [
        ("memory.max", "3221225472"),
        ("memory.low", "4194304"),
        ("sessions/memory.low", "4194304"),
        ("../memory.low", "4194304"),
        ("cpu.max", "50000 100000"),
        ("cpu.weight", "300"),
        ("pids.max", "48"),
        ("sessions/pids.max", "32"),
    ] {
        assert_eq!(machine.of_user("alice", file), value, "{file}");
    }
    let logged = machine.logged("apply user=alice");
    assert!(logged.contains("by=root"), "{logged}");
    assert_eq!(machine.berth_with_helper("apply").ok(), "0 users changed");

    // What the policy no longer says is lifted.
    machine.policy(&Policy::with_user_caps("cpu_weight = \"idle\""));
    let json = machine.berth_with_helper("apply --json").ok();
    assert!(json.contains("\"key\": \"memory_max\""), "{json}");
    for (file, value) in [
        ("memory.max", "max"),
        ("memory.low", "0"),
        ("../memory.low", "0"),
        ("cpu.max", "max 100000"),
        ("cpu.idle", "1"),
        ("pids.max", "max"),
        ("sessions/pids.max", "max"),
    ] {
        assert_eq!(machine.of_user("alice", file), value, "{file}");
    }
    machine.policy(&Policy::with_user_caps("cpu_weight = 200"));
    machine.berth_with_helper("apply").ok();
    assert_eq!(machine.of_user("alice", "cpu.weight"), "200");
    assert_eq!(machine.berth_with_helper("apply").ok(), "0 users changed");
    login.end();
    machine.assert_nothing_left(&before);
    assert_eq!(machine.berth_with_helper("apply").ok(), "0 users changed");
}

fn apply_reaches_the_caps_of_sessions(machine: &mut Machine) {
    let before = machine.settled();
    let policy = |user: &str, session: &str| {
        Policy::with_profile(&format!(
            "user = {{ {user} }}\nsession = {{ {session} }}\nlogout = {{ grace = \"1s\" }}"
        ))
    };
    machine.policy(&policy(
        "memory_low = \"8M\"",
        "memory_max = \"64M\", memory_low = \"4M\", tasks_max = 64",
    ));
    let (login, _) = machine.stay("alice");
    let session = || {
        let sessions = machine
            .cgroups()
            .user(machine.uid("alice"))
            .join("sessions");
        let mut entries = std::fs::read_dir(sessions).unwrap().flatten();
        let is_group = |entry: &std::fs::DirEntry| entry.path().is_dir();
        entries.find(is_group).unwrap().path()
    };
    let of_session = |file: &str| {
        let text = std::fs::read_to_string(session().join(file)).unwrap();
        text.trim().to_owned()
    };
    let id = session().file_name().unwrap().to_str().unwrap().to_owned();
    assert_eq!(machine.berth_with_helper("apply").ok(), "0 users changed");

    machine.policy(&policy(
        "memory_low = \"8M\"",
        "memory_max = \"128M\", cpu_quota = \"50%\"",
    ));
    let dry = machine.berth_with_helper("apply --dry-run").ok();
    assert!(dry.contains("memory_max 64M -> 128M"), "{dry}");
    assert_eq!(of_session("memory.max"), "67108864");
    let told = machine.berth_with_helper("apply").ok();
    for line in [
        "memory_max 64M -> 128M",
        "cpu_quota infinity -> 50%",
        "tasks_max 64 -> infinity",
        "memory_low 4M -> 8M",
    ] {
        let of = told.lines().find(|told| told.ends_with(line));
        assert!(
            of.is_some_and(|told| told.starts_with(&id)),
            "{line:?} in {told}"
        );
    }
    assert!(told.ends_with("0 users and 1 session changed"), "{told}");
    for (file, value) in [
        ("memory.max", "134217728"),
        ("cpu.max", "50000 100000"),
        ("pids.max", "max"),
        ("memory.low", "8388608"),
    ] {
        assert_eq!(of_session(file), value, "{file}");
    }
    machine.logged(&format!("apply session={id} user=alice by=root"));
    assert_eq!(machine.berth_with_helper("apply").ok(), "0 users changed");
    let json = machine.berth_with_helper("apply --json").ok();
    assert!(!json.contains("\"session\": 1"), "{json}");
    login.end();
    machine.assert_nothing_left(&before);
}

fn memory_in_use_is_not_taken_without_force(machine: &mut Machine) {
    machine.policy(&Policy::with_user_caps(
        "memory_max = \"128M\", memory_swap_max = 0",
    ));
    let holder = machine.ssh_background("alice", &machine.probe("hold 60"));
    let uid = machine.uid("alice");
    let full = || machine.cgroups().number(uid, "memory.current") >= 60 << 20;
    assert!(eventually(full));
    machine.policy(&Policy::with_user_caps(
        "memory_max = \"32M\", memory_swap_max = 0",
    ));
    let part = machine.berth_with_helper("apply");
    assert_eq!(part.status.code(), Some(5), "{part:?}");
    assert!(part.stderr.contains("left alice's memory_max"), "{part:?}");
    assert_eq!(machine.of_user("alice", "memory.max"), "134217728");
    let kills = |machine: &Machine| machine.cgroups().keyed(uid, "memory.events", "oom_kill");
    assert_eq!(kills(machine), 0);
    // A login does not take it either, and says so.
    let (stays, _) = machine.stay("alice");
    assert_eq!(machine.of_user("alice", "memory.max"), "134217728");
    assert_eq!(kills(machine), 0);
    let left = format!("cannot set memory_max of user {uid}: ");
    let logged = machine.logged(&left);
    assert!(
        logged.contains("are in use, and 32M would be the most"),
        "{logged}"
    );
    let told = machine.berth_with_helper("apply --force").ok();
    assert!(told.contains("alice     memory_max 128M -> 32M"), "{told}");
    // The kernel may kill all that is theirs, and then their cgroup is gone.
    let path = machine.cgroups().user(uid).join("memory.max");
    let max = std::fs::read_to_string(path).ok();
    assert!(
        max.as_deref().is_none_or(|max| max == "33554432\n"),
        "{max:?}"
    );
    let closed = machine.logged("close session=1");
    assert!(!closed.contains("oom_kills=0"), "{closed}");
    stays.end();
    drop(holder);
}

fn what_was_read_from_files_is_taken(machine: &mut Machine) {
    machine.policy(&Policy::with_user_caps("memory_max = \"128M\""));
    let (login, _) = machine.stay("alice");
    let read = "find /usr/lib -type f -exec cat {} + 2>/dev/null | head -c 80M >/dev/null";
    machine.ssh("alice", read).ok();
    let uid = machine.uid("alice");
    let used = machine.cgroups().number(uid, "memory.current");
    assert!(used >= 60 << 20, "{used}");
    machine.policy(&Policy::with_user_caps("memory_max = \"32M\""));
    let told = machine.berth_with_helper("apply").ok();
    assert!(told.contains("alice     memory_max 128M -> 32M"), "{told}");
    assert_eq!(machine.of_user("alice", "memory.max"), "33554432");
    assert!(machine.cgroups().number(uid, "memory.current") <= 32 << 20);
    let kills = machine.cgroups().keyed(uid, "memory.events", "oom_kill");
    assert_eq!(kills, 0);
    login.end();
}

/// What a user has of it comes to nothing where what they are in has less.
fn an_exception_that_protects_counts_above_its_user(machine: &mut Machine) {
    for pool in ["", "\npool = \"p\""] {
        let mut policy = Policy::with_user_caps("memory_low = \"1M\"");
        policy.profile += pool;
        policy.rest = "[pool.p]\n".into();
        machine.policy(&policy);
        let (alice, _) = machine.stay("alice");
        let (bob, _) = machine.stay("bob");
        let above = || machine.of_user("alice", "../memory.low");
        assert_eq!(above(), "2097152");
        machine
            .berth_with_helper("set alice memory_low=4M --for 1h")
            .ok();
        assert_eq!(machine.of_user("alice", "memory.low"), "4194304");
        assert_eq!(above(), "5242880");
        if !pool.is_empty() {
            assert_eq!(machine.of_user("alice", "../../memory.low"), "5242880");
        }
        machine.berth_with_helper("unset alice memory_low").ok();
        assert_eq!(above(), "2097152");
        bob.end();
        assert!(eventually(|| above() == "1048576"));
        alice.end();
        assert!(eventually(|| {
            let user = machine.cgroups().user(machine.uid("alice"));
            !user.exists()
        }));
    }
}

fn who_is_denied_by_now_keeps_the_caps_they_have(machine: &mut Machine) {
    machine.policy(&Policy::with_user_caps("cpu_quota = \"200%\""));
    let (login, _) = machine.stay("alice");
    machine.policy_text("version = 1\n[[rule]]\naction = \"deny\"\n");
    let told = machine.berth_with_helper("apply").ok();
    assert!(told.contains("alice     the policy denies them"), "{told}");
    assert_eq!(machine.of_user("alice", "cpu.max"), "200000 100000");
    machine.policy_text("version = 1\n[[rule]]\naction = \"exempt\"\n");
    machine.berth_with_helper("apply").ok();
    assert_eq!(machine.of_user("alice", "cpu.max"), "max 100000");
    login.end();
}

fn a_session_on_trial_lifts_nobodys_caps(machine: &mut Machine) {
    let before = machine.settled();
    machine.policy_text(
        "version = 1\n[profile.real]\nuser = { cpu_quota = \"200%\" }\nlogout = { grace = \"1s\" }\n\
         [profile.trial]\nenforce = false\n[[rule]]\nservice = \"su-l\"\nprofile = \"trial\"\n\
         [[rule]]\nprofile = \"real\"\n",
    );
    // One before and one after, whatever the order is in which they are found.
    let mut earlier = machine.su_terminal("alice");
    earlier.run("true");
    let (login, _) = machine.stay("alice");
    let mut later = machine.su_terminal("alice");
    later.run("true");
    assert_eq!(machine.berth_with_helper("apply").ok(), "0 users changed");
    assert_eq!(machine.of_user("alice", "cpu.max"), "200000 100000");
    login.end();
    assert!(eventually(|| {
        machine.berth_with_helper("apply").ok();
        machine.of_user("alice", "cpu.max") == "max 100000"
    }));
    for mut terminal in [earlier, later] {
        terminal.send("exit");
        terminal.wait();
    }
    machine.assert_nothing_left(&before);
}

fn apply_reaches_pools_and_everyone(machine: &mut Machine) {
    let before = machine.settled();
    let policy = |machine: &Machine, pool: &str, everyone: &str, of: &str| {
        machine.policy_text(&format!(
            "version = 1\n[everyone]\n{everyone}\n[pool.p]\n{pool}\n[pool.q]\n\
             [profile.pooled]\npool = \"{of}\"\nlogout = {{ grace = \"1s\" }}\n\
             [[rule]]\nprofile = \"pooled\"\n"
        ));
    };
    policy(machine, "memory_max = \"1G\"", "cpu_quota = \"300%\"", "p");
    let (login, _) = machine.stay("alice");
    policy(
        machine,
        "memory_max = \"2G\"\ntasks_max = 99",
        "cpu_quota = \"400%\"",
        "q",
    );
    let told = machine.berth_with_helper("apply").ok();
    for line in [
        "pool:p    memory_max 1G -> 2G",
        "pool:p    tasks_max infinity -> 99",
        "everyone  cpu_quota 300% -> 400%",
    ] {
        assert!(told.contains(line), "{line:?} in {told}");
    }
    // Who is logged in stays in their pool.
    assert_eq!(machine.of_user("alice", "../memory.max"), "2147483648");
    assert_eq!(machine.of_user("alice", "../pids.max"), "99");
    assert_eq!(machine.of_user("alice", "../../cpu.max"), "400000 100000");
    let again = machine.berth_with_helper("apply").ok();
    assert!(!again.contains("->"), "{again}");
    login.end();
    machine.assert_nothing_left(&before);
}

/// The login decides, and waits for its user's lock; the policy changes, and nobody applies it afterwards.
fn a_login_that_a_reload_overtakes_has_the_new_caps(machine: &mut Machine) {
    let policy = |user: &str, session: &str| {
        Policy::with_profile(&format!(
            "user = {{ cpu_quota = \"{user}\" }}\nsession = {{ cpu_quota = \"{session}\" }}\n\
             logout = {{ grace = \"1s\" }}"
        ))
    };
    machine.policy(&policy("200%", "100%"));
    // The folder of users is there from here on.
    machine.su("alice", "true").ok();
    machine.settled();
    let locks = |line: &str| {
        let locks = std::fs::read_to_string("/proc/locks").unwrap_or_default();
        locks.contains(line)
    };
    let folder = format!("/run/berth/users/{}", machine.uid("alice"));
    let hold = format!("mkdir -m 700 {folder} && exec flock {folder} cat");
    let mut holder = std::process::Command::new("sh")
        .args(["-c", &hold])
        .stdin(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    assert!(eventually(|| locks(": FLOCK")));
    let id = machine.next_session();
    let login = machine.ssh_background("alice", "sleep 30");
    // It has read the policy, and waits for the user's turn.
    assert!(eventually(|| locks("-> FLOCK")));
    machine.policy(&policy("50%", "25%"));
    drop(holder.stdin.take());
    holder.wait().unwrap();
    let user = machine.cgroups().user(machine.uid("alice"));
    let own = user.join(format!("sessions/{id}"));
    for (group, expected) in [(user, "50000 100000\n"), (own, "25000 100000\n")] {
        let quota = || std::fs::read_to_string(group.join("cpu.max")).unwrap_or_default();
        assert!(eventually(|| quota() == expected), "{}", quota());
    }
    assert!(machine.logged("apply user=alice").contains("by=login"));
    login.end();
}

fn apply_is_no_error_for_who_logs_out_in_the_middle(machine: &mut Machine) {
    let before = machine.settled();
    for round in 0..4 {
        machine.policy(&Policy::with_user_caps(&format!(
            "cpu_quota = \"{}%\"",
            100 + round
        )));
        let (login, _) = machine.stay("alice");
        let ends = std::thread::spawn(move || login.end());
        for _ in 0..10 {
            machine.berth_with_helper("apply").ok();
        }
        ends.join().unwrap();
    }
    machine.assert_nothing_left(&before);
}

fn an_exception_counts_at_once_and_ends_by_itself(machine: &mut Machine) {
    machine.policy(&Policy::with_user_caps(
        "memory_max = \"64M\", cpu_quota = \"200%\"",
    ));
    let (login, _) = machine.stay("alice");
    let set = "set alice memory_max=128M cpu_quota=50% --for";
    let told = machine
        .berth_with_helper(&format!("{set} 1h --reason 'thesis, ticket 4711'"))
        .ok();
    assert!(told.contains("alice  memory_max 64M -> 128M"), "{told}");
    assert_eq!(machine.of_user("alice", "memory.max"), "134217728");
    assert_eq!(machine.of_user("alice", "cpu.max"), "50000 100000");
    let logged = machine.logged("set uid=");
    assert!(
        logged.contains("by=root reason=\"thesis, ticket 4711\""),
        "{logged}"
    );
    // Neither apply nor another login takes it back.
    assert_eq!(machine.berth_with_helper("apply").ok(), "0 users changed");
    machine.ssh("alice", "true").ok();
    assert_eq!(machine.of_user("alice", "memory.max"), "134217728");
    let explained = machine.berth("explain alice").ok();
    let mut lines = explained
        .lines()
        .skip_while(|line| !line.starts_with("  memory_max"));
    let (line, was) = (lines.next().unwrap(), lines.next().unwrap());
    assert!(
        line.contains("128M") && line.contains("exception until "),
        "{explained}"
    );
    assert!(line.ends_with(", by root"), "{explained}");
    assert!(
        was.contains("was 64M") && was.contains("policy.toml:"),
        "{explained}"
    );
    let shown = machine.berth("show alice").ok();
    assert!(
        shown.contains("Exception: memory_max 128M until "),
        "{shown}"
    );
    assert!(
        shown.contains("by root: \"thesis, ticket 4711\""),
        "{shown}"
    );

    // One key back, and the other by the clock.
    machine.berth_with_helper("unset alice cpu_quota").ok();
    assert_eq!(machine.of_user("alice", "cpu.max"), "200000 100000");
    assert_eq!(machine.of_user("alice", "memory.max"), "134217728");
    assert_eq!(
        machine
            .berth_with_helper("unset alice cpu_quota")
            .status
            .code(),
        Some(1)
    );
    machine
        .berth_with_helper("set alice memory_max=256M --for 1h")
        .ok();
    assert_eq!(machine.of_user("alice", "memory.max"), "268435456");
    assert_eq!(machine.berth_with_helper("apply --due").ok(), "");
    assert_eq!(machine.of_user("alice", "memory.max"), "268435456");
    machine
        .berth_with_helper("set alice memory_max=256M --for 5s")
        .ok();
    let ended = || machine.berth_with_helper("apply --due").ok();
    assert!(eventually(
        || ended().contains("alice  memory_max 256M -> 64M")
    ));
    assert_eq!(machine.of_user("alice", "memory.max"), "67108864");
    let file = format!("/var/lib/berth/exceptions/{}", machine.uid("alice"));
    assert!(!std::path::Path::new(&file).exists());
    login.end();
    // A login counts one that is over as none, whatever the timer does.
    machine
        .berth_with_helper("set alice memory_max=256M --for 2s")
        .ok();
    std::thread::sleep(std::time::Duration::from_secs(3));
    let (login, _) = machine.stay("alice");
    assert_eq!(machine.of_user("alice", "memory.max"), "67108864");
    login.end();
    machine.berth_with_helper("apply --due").ok();
}

fn a_damaged_file_of_exceptions_is_named_and_keeps_nobody_out(machine: &mut Machine) {
    machine.policy(&Policy::with_user_caps("memory_max = \"64M\""));
    let told = machine
        .berth_with_helper("set alice memory_max=128M --for 1h")
        .ok();
    assert!(told.contains("alice is not logged in"), "{told}");
    let file = format!("/var/lib/berth/exceptions/{}", machine.uid("alice"));
    let (login, _) = machine.stay("alice");
    assert_eq!(machine.of_user("alice", "memory.max"), "134217728");
    login.end();
    std::fs::write(&file, "{\"format\":1,").unwrap();
    let (login, _) = machine.stay("alice");
    assert_eq!(machine.of_user("alice", "memory.max"), "67108864");
    let logged = machine.logged("exceptions uid=");
    assert!(logged.contains(&format!("{file} is damaged")), "{logged}");
    for (verb, code) in [
        ("apply", 5),
        ("apply --due", 1),
        ("set alice memory_max=1G --for 1h", 1),
    ] {
        let said = machine.berth_with_helper(verb);
        assert!(
            said.stderr.contains(&format!("{file} is damaged")),
            "{said:?}"
        );
        assert_eq!(said.status.code(), Some(code), "{verb}");
    }
    // It keeps nobody from theirs, and none of it from being told.
    let (of_bob, _) = machine.stay("bob");
    machine
        .berth_with_helper("set bob memory_max=256M --for 1h")
        .ok();
    assert_eq!(machine.of_user("bob", "memory.max"), "268435456");
    machine
        .berth_with_helper("set bob memory_max=256M --for 5s")
        .ok();
    let ended = || {
        let said = machine.berth_with_helper("apply --due");
        assert_eq!((said.status.code(), said.stderr.as_str()), (Some(1), ""));
        said.stdout.contains("bob  memory_max 256M -> 64M")
    };
    assert!(eventually(ended));
    of_bob.end();
    machine.berth_with_helper("unset alice").ok();
    assert_eq!(machine.berth_with_helper("apply").ok(), "0 users changed");
    login.end();
}

fn caps_follow_a_window_of_time(machine: &mut Machine) {
    let set_clock = |machine: &Machine, time: &str| {
        machine.host(&format!("date -s '2026-12-14 {time}'")).ok();
    };
    machine.policy(&Policy {
        rest: "[time.exam]\nhours = \"08:00-09:30\"\n\n[profile.exam]\ninherits = \"test\"\n\
               user = { tasks_max = 32 }\n"
            .into(),
        ..Policy::with_user_caps("tasks_max = 64")
    });
    let path = "/etc/berth/policy.toml";
    let text = std::fs::read_to_string(path).unwrap();
    let exam = "[[rule]]\nname = \"exam\"\ntime = \"exam\"\nprofile = \"exam\"\n\n[[rule]]\nname = \"all\"";
    let text = text.replacen("[[rule]]\nname = \"all\"", exam, 1);
    std::fs::write(path, text).unwrap();
    set_clock(machine, "07:59:30");
    machine.berth("reload").ok();
    // So that something is started each minute.
    assert!(std::path::Path::new("/var/lib/berth/due").exists());
    let (login, _) = machine.stay("alice");
    let tasks = |machine: &Machine| machine.of_user("alice", "sessions/pids.max");
    assert_eq!(tasks(machine), "64");
    assert_eq!(machine.berth_with_helper("apply --due").ok(), "");
    set_clock(machine, "08:00:01");
    let explained = machine.berth("explain alice").ok();
    assert!(explained.contains("BOTH   exam"), "{explained}");
    let said = machine.berth_with_helper("apply --due").ok();
    assert!(said.contains("alice  tasks_max 64 -> 32"), "{said}");
    assert_eq!(tasks(machine), "32");
    assert_eq!(machine.berth_with_helper("apply --due").ok(), "");
    machine.ssh("alice", "true").ok();
    assert_eq!(tasks(machine), "32");
    set_clock(machine, "09:30:00");
    let said = machine.berth_with_helper("apply --due").ok();
    assert!(said.contains("alice  tasks_max 32 -> 64"), "{said}");
    assert_eq!(tasks(machine), "64");
    login.end();
    // A policy without windows asks for nothing each minute.
    machine.policy(&Policy::with_user_caps("tasks_max = 64"));
    machine.berth("reload").ok();
    assert!(!std::path::Path::new("/var/lib/berth/due").exists());
}

fn apply_has_systemd_change_caps(machine: &Booted) {
    let before = machine.settled();
    machine.berth(
        "sshd",
        &Policy::with_user_caps("memory_max = \"256M\", cpu_weight = 50, tasks_max = 64"),
    );
    let apply = || machine.host("berth apply --helper /usr/libexec/berth-helper");
    let (login, _) = machine.stay("alice");
    assert_eq!(apply().ok(), "0 users changed");
    machine.berth(
        "sshd",
        &Policy::with_user_caps("memory_max = \"512M\", cpu_quota = \"50%\""),
    );
    let told = apply().ok();
    assert!(told.contains("memory_max 256M -> 512M"), "{told}");
    assert_eq!(machine.of_user("alice", "memory.max"), "536870912");
    assert_eq!(machine.of_user("alice", "cpu.max"), "50000 100000");
    // What the policy no longer says is as it was before the login.
    let weight = || machine.of_user("alice", "cpu.weight") == "100";
    assert!(eventually(weight), "{told}");
    assert_eq!(
        machine.drop_ins("alice"),
        ["50-CPUQuota.conf", "50-MemoryMax.conf"]
    );
    machine.host("systemctl daemon-reload").ok();
    assert_eq!(machine.of_user("alice", "memory.max"), "536870912");
    assert_eq!(apply().ok(), "0 users changed");
    login.end();
    machine.assert_nothing_left(&before);
    assert_eq!(machine.drop_ins("alice"), [""; 0]);
}

/// In logind's scope, and in one of Berth's.
fn apply_brings_the_caps_of_sessions_under_systemd(machine: &Booted) {
    for (pool, scope) in [("", "session-"), ("pool = \"p\"\n", "berth-")] {
        let before = machine.settled();
        let policy = |caps: &str| Policy {
            rest: "[pool.p]\n".into(),
            ..Policy::with_profile(&format!(
                "{pool}session = {{ {caps} }}\nlogout = {{ grace = \"1s\" }}"
            ))
        };
        machine.berth(
            "sshd",
            &policy("memory_max = \"64M\", tasks_max = 64, cpu_quota = \"50%\""),
        );
        let (login, _) = machine.stay("alice");
        let field = "berth list --json | grep -m1 '\"cgroup\"' | cut -d '\"' -f 4";
        let cgroup = machine.host(field).ok();
        assert!(
            cgroup.rsplit('/').next().unwrap().starts_with(scope),
            "{cgroup}"
        );
        let has = |file: &str, value: &str| machine.of_cgroup(&cgroup, file) == value;
        assert!(has("memory.max", "67108864") && has("pids.max", "64"));
        assert_eq!(machine.host("berth apply").ok(), "0 users changed");

        machine.berth("sshd", &policy("memory_max = \"128M\", cpu_weight = 50"));
        let look = machine.host("berth apply --dry-run").ok();
        assert!(look.contains("  memory_max 64M -> 128M\n"), "{look}");
        assert!(has("memory.max", "67108864"), "it was only a look");
        let told = machine.host("berth apply").ok();
        for change in [
            "memory_max 64M -> 128M",
            "cpu_weight 100 -> 50",
            "tasks_max 64 -> infinity",
            "cpu_quota 50% -> infinity",
        ] {
            assert!(told.contains(&format!("  {change}\n")), "{change}: {told}");
        }
        assert!(told.ends_with("0 users and 1 session changed"), "{told}");
        // What the policy no longer says is gone, and does not come back.
        let is_so = || {
            let unset = has("pids.max", "max") && has("cpu.max", "max 100000");
            unset && has("memory.max", "134217728") && has("cpu.weight", "50")
        };
        assert!(eventually(is_so), "{told}");
        machine.host("systemctl daemon-reload").ok();
        assert_eq!(machine.host("berth apply").ok(), "0 users changed");
        assert!(is_so());
        login.end();
        machine.assert_nothing_left(&before);
    }
}

fn a_login_leaves_memory_in_use_under_systemd(machine: &Booted) {
    let before = machine.settled();
    let caps =
        |max: &str| Policy::with_user_caps(&format!("memory_max = \"{max}\", memory_swap_max = 0"));
    machine.berth("sshd", &caps("256M"));
    let (holder, held) = machine.background("alice", "berth-probe hold 60", "berth-probe");
    let full = || {
        let now = machine.of_user("alice", "memory.current");
        now.parse().is_ok_and(|now: u64| now >= 60 << 20)
    };
    assert!(eventually(full));
    machine.berth("sshd", &caps("32M"));
    let (login, _) = machine.stay("alice");
    assert_eq!(machine.of_user("alice", "memory.max"), "268435456");
    assert!(held.exists());
    holder.end();
    login.end();
    machine.assert_nothing_left(&before);
    // What was read from files is no use.
    machine.berth("sshd", &caps("256M"));
    let (login, _) = machine.stay("alice");
    let read = "dd if=/dev/zero of=file bs=1M count=60 && sync && cat file >/dev/null";
    machine.ssh("alice", read).ok();
    assert!(full());
    machine.berth("sshd", &caps("32M"));
    assert_eq!(machine.ssh("alice", "rm file; echo in").ok(), "in");
    assert_eq!(machine.of_user("alice", "memory.max"), "33554432");
    assert_eq!(machine.oom_kills(&machine.slice("alice")), 0);
    login.end();
    machine.assert_nothing_left(&before);
    // Where nothing is in use, it comes.
    let (login, _) = machine.stay("alice");
    assert_eq!(machine.of_user("alice", "memory.max"), "33554432");
    login.end();
    machine.assert_nothing_left(&before);
}

/// In a pool, whose slices are Berth's.
fn a_timer_ends_an_exception_under_systemd(machine: &Booted) {
    let before = machine.settled();
    let mut policy = Policy::with_user_caps("memory_max = \"256M\"");
    policy.profile += "\npool = \"p\"";
    policy.rest = "[pool.p]\nmemory_max = \"1G\"".into();
    machine.berth("sshd", &policy);
    let (login, _) = machine.stay("alice");
    let uid = machine.uid("alice");
    let slice = format!("/user.slice/user-pool_p.slice/user-pool_p-{uid}.slice");
    let max = || machine.of_cgroup(&slice, "memory.max");
    assert_eq!(max(), "268435456");
    let set = "berth set alice memory_max=512M tasks_max=99 --for";
    machine.host(&format!("{set} 1h")).ok();
    assert_eq!(max(), "536870912");
    assert_eq!(machine.of_user("alice", "memory.max"), "536870912");
    assert_eq!(machine.of_cgroup(&slice, "pids.max"), "99");
    // Each minute, from the boot on. What it then starts is started here, so that nobody waits for it.
    let next = "systemctl show --property=ActiveState,NextElapseUSecRealtime berth-due.timer";
    let next = machine.host(next).ok();
    assert!(
        next.contains("ActiveState=active") && !next.ends_with('='),
        "{next}"
    );
    machine.host(&format!("{set} 1s")).ok();
    std::thread::sleep(std::time::Duration::from_secs(2));
    machine.host("systemctl start berth-due.service").ok();
    let said = machine.host("systemctl status berth-due.service");
    assert_eq!(max(), "268435456", "{said:?}");
    assert!(eventually(|| machine.of_cgroup(&slice, "pids.max") == "max"));
    assert!(eventually(
        || machine.of_user("alice", "memory.max") == "268435456"
    ));
    login.end();
    machine.assert_nothing_left(&before);
}
