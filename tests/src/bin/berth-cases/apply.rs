//! `berth apply` on who is logged in: caps that follow the policy.

use berth_tests::{Machine, Policy, becomes, eventually};

use super::Case;

pub const CASES: &[Case] = cases! {
    apply_brings_a_live_users_caps_to_the_policy_and_then_has_nothing_to_do
    apply_reaches_the_caps_of_sessions
    memory_in_use_is_not_taken_without_force
    what_was_read_from_files_is_taken
    memory_high_is_lowered_below_what_the_kernel_cannot_take
    an_exception_that_protects_counts_above_its_user
    who_is_denied_by_now_keeps_the_caps_they_have
    a_session_on_trial_lifts_nobodys_caps
    a_job_beside_a_trial_caps_nobody
    apply_reaches_pools_and_everyone
    a_login_that_a_reload_overtakes_has_the_new_caps
    apply_is_no_error_for_who_logs_out_in_the_middle
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
    let json = machine.berth_with_helper("apply --json").json();
    let changes = json["applied"][0]["changes"].as_array().unwrap();
    assert!(
        changes.iter().any(|one| one["key"] == "memory_max"),
        "{json}"
    );
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
    let json = machine.berth_with_helper("apply --json").json();
    let applied = json["applied"].as_array().unwrap();
    assert!(applied.iter().all(|one| one["session"].is_null()), "{json}");
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
    for key in ["memory_max", "memory_high"] {
        machine.policy(&Policy::with_user_caps(&format!("{key} = \"128M\"")));
        let (login, _) = machine.stay("alice");
        let read = "find /usr/lib -type f -exec cat {} + 2>/dev/null | head -c 80M >/dev/null";
        machine.ssh("alice", read).ok();
        let uid = machine.uid("alice");
        let used = machine.cgroups().number(uid, "memory.current");
        assert!(used >= 60 << 20, "{used}");
        machine.policy(&Policy::with_user_caps(&format!("{key} = \"32M\"")));
        let told = machine.berth_with_helper("apply").ok();
        assert!(
            told.contains(&format!("alice     {key} 128M -> 32M")),
            "{told}"
        );
        assert_eq!(machine.of_user("alice", &key.replace('_', ".")), "33554432");
        assert!(machine.cgroups().number(uid, "memory.current") <= 32 << 20);
        let kills = machine.cgroups().keyed(uid, "memory.events", "oom_kill");
        assert_eq!(kills, 0);
        login.end();
        machine.host("echo 3 >/proc/sys/vm/drop_caches").ok();
    }
}

/// Nobody is killed for it.
fn memory_high_is_lowered_below_what_the_kernel_cannot_take(machine: &mut Machine) {
    machine.policy(&Policy::with_user_caps(
        "memory_high = \"128M\", memory_swap_max = 0",
    ));
    let holder = machine.ssh_background("alice", &machine.probe("hold 60"));
    let uid = machine.uid("alice");
    let full = || machine.cgroups().number(uid, "memory.current") >= 60 << 20;
    assert!(eventually(full));
    machine.policy(&Policy::with_user_caps(
        "memory_high = \"32M\", memory_swap_max = 0",
    ));
    let told = machine.berth_with_helper("apply").ok();
    assert!(told.contains("alice     memory_high 128M -> 32M"), "{told}");
    assert_eq!(machine.of_user("alice", "memory.high"), "33554432");
    assert!(full());
    drop(holder);
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
        becomes(above, "1048576");
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
    let after = || {
        machine.berth_with_helper("apply").ok();
        machine.of_user("alice", "cpu.max")
    };
    becomes(after, "max 100000");
    for mut terminal in [earlier, later] {
        terminal.send("exit");
        terminal.wait();
    }
    machine.assert_nothing_left(&before);
}

fn a_job_beside_a_trial_caps_nobody(machine: &mut Machine) {
    let before = machine.settled();
    machine.policy_text(
        "version = 1\n[pool.p]\nmemory_max = \"512M\"\n[profile.trial]\nenforce = false\npool = \"p\"\n\
         user = { cpu_quota = \"200%\" }\n\
         [profile.job]\nsession = { cpu_quota = \"50% of user\" }\nlogout = { grace = \"1s\" }\n\
         [[rule]]\nservice = \"su-l\"\nprofile = \"job\"\n[[rule]]\nprofile = \"trial\"\n",
    );
    let mut login = machine.ssh_terminal("alice");
    login.run("true");
    let mut job = machine.su_terminal("alice");
    // What is of the job alone it has.
    let own = "cat /sys/fs/cgroup$(cut -d: -f3 /proc/self/cgroup)/cpu.max";
    assert_eq!(job.run(own), "100000 100000");
    assert_eq!(machine.of_user("alice", "cpu.max"), "max 100000");
    assert!(!machine.berth("list").ok().contains(" p "));
    assert_eq!(machine.berth_with_helper("apply").ok(), "0 users changed");
    for mut terminal in [job, login] {
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
    let folder = format!("/run/berth/users/{}", machine.uid("alice"));
    let hold = format!("mkdir -m 700 {folder} && exec flock {folder} cat");
    let mut holder = std::process::Command::new("sh")
        .args(["-c", &hold])
        .stdin(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let is_held = || {
        let locks = std::fs::read_to_string("/proc/locks").unwrap_or_default();
        locks.contains(": FLOCK")
    };
    assert!(eventually(is_held));
    let id = machine.next_session();
    let login = machine.ssh_background("alice", "sleep 30");
    // It has read the policy, and waits for the user's turn.
    assert!(eventually(|| machine.is_at_the_lock_of("alice")));
    machine.policy(&policy("50%", "25%"));
    drop(holder.stdin.take());
    holder.wait().unwrap();
    let user = machine.cgroups().user(machine.uid("alice"));
    let own = user.join(format!("sessions/{id}"));
    for (group, expected) in [(user, "50000 100000\n"), (own, "25000 100000\n")] {
        let quota = || std::fs::read_to_string(group.join("cpu.max")).unwrap_or_default();
        becomes(quota, expected);
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
