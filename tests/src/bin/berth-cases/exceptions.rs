//! What an admin or the clock changes for a while: exceptions, and windows of time.

use berth_tests::{Machine, Policy, eventually};

use super::Case;

pub const CASES: &[Case] = cases! {
    an_exception_counts_at_once_and_ends_by_itself
    a_damaged_file_of_exceptions_is_named_and_keeps_nobody_out
    caps_follow_a_window_of_time
};

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
        rules: "[[rule]]\nname = \"exam\"\ntime = \"exam\"\nprofile = \"exam\"\n\n".into(),
        ..Policy::with_user_caps("tasks_max = 64")
    });
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
