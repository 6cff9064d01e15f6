//! What users are told of their caps, on their terminals.

use std::time::Duration;

use berth_tests::{Machine, Policy, within};

use super::Case;

pub const CASES: &[Case] = cases! {
    a_user_is_told_which_cap_killed_what
    a_user_is_told_that_caps_come_close_and_what_they_refuse
    a_user_is_told_what_slows_them_down
};

fn policy(profile: &str) -> Policy {
    Policy {
        profile: format!("{profile}\nlogout = {{ grace = \"1s\" }}"),
        defaults: "contact = \"help@example.org\"".into(),
        ..Policy::default()
    }
}

const CAPPED: &str = "user = { memory_max = \"64M\", memory_swap_max = 0, tasks_max = 40 }";

fn a_user_is_told_which_cap_killed_what(machine: &mut Machine) {
    machine.host("mknod /dev/kmsg c 1 11").ok();
    machine.policy(&policy(CAPPED));
    let mut alice = machine.ssh_terminal("alice");
    let mut bob = machine.ssh_terminal("bob");
    assert_eq!(alice.run("cat /proc/1/comm"), "berth-init");
    bob.run("true");
    let eat = machine.probe("eat 100");
    alice.send(&eat);
    alice.expect("\nberth: killed berth-probe: memory_max 64M reached. Help: help@example.org\n");
    let line = machine.logged("cap session=");
    for told in ["user=alice", "cap=memory_max", "killed=berth-probe"] {
        assert!(line.contains(told), "{line}");
    }
    // What a program prints is its own, also where another session of its user has a terminal.
    let said = machine.ssh("alice", &eat).refused();
    assert!(!format!("{said:?}").contains("berth:"), "{said:?}");

    // Whom nobody may write to, or whose policy says so.
    let mut deaf = machine.ssh_terminal("alice");
    deaf.run("mesg n");
    machine.policy(&policy(&format!("{CAPPED}\nnotify = false")));
    let mut untold = machine.ssh_terminal("alice");
    for terminal in [&mut untold, &mut deaf] {
        terminal.run(&eat);
    }
    // The log is told first, and whoever is told at once after it.
    for terminal in [&mut untold, &mut deaf] {
        let session = terminal.run("echo $BERTH_SESSION");
        machine.logged(&format!("cap session={session} "));
    }
    std::thread::sleep(Duration::from_millis(500));
    for terminal in [&bob, &deaf, &untold] {
        assert!(!terminal.shown().contains("berth:"), "{}", terminal.shown());
    }
    let told = alice.shown().matches("berth: killed").count();
    assert_eq!(told, 1, "{}", alice.shown());
    for mut terminal in [alice, bob, deaf, untold] {
        terminal.send("exit");
        terminal.wait();
    }
}

fn a_user_is_told_that_caps_come_close_and_what_they_refuse(machine: &mut Machine) {
    machine.policy(&policy(CAPPED));
    let mut alice = machine.ssh_terminal("alice");
    alice.run("true");
    let hold = machine.probe("hold 59");
    alice.send(&format!("{hold} &"));
    alice.expect("of memory_max 64M in use. Help: help@example.org\n");
    alice.run("kill -KILL %1; wait");
    alice.send("for i in 1 2 3 4 5 6 7 8 9 0; do sleep 20 & sleep 20 & sleep 20 & sleep 20 & done");
    alice.expect("berth: refused to start a task: tasks_max 40 reached. Help: help@example.org\n");
    let uid = machine.uid("alice");
    alice.expect("of tasks_max 40 in use");
    let kills = machine.cgroups().keyed(uid, "memory.events", "oom_kill");
    assert_eq!(kills, 0, "{}", alice.shown());
    // Without a fork.
    alice.send("exec true");
    alice.wait();
}

fn a_user_is_told_what_slows_them_down(machine: &mut Machine) {
    machine.policy(&policy(
        "user = { memory_high = \"32M\", cpu_quota = \"20%\" }",
    ));
    let mut alice = machine.ssh_terminal("alice");
    // Of each of its minutes it works in nearly every period, and is held back in most of these.
    let burn = machine.probe("burn 1000");
    alice.send(&format!("{burn} &"));
    let hold = machine.probe("hold 100");
    alice.send(&format!("{hold} &"));
    for cap in ["memory_high 32M", "cpu_quota 20%"] {
        let told = format!("\nberth: slowed down: {cap} reached. Help: help@example.org\n");
        // The quota is looked at once a minute.
        let is_told = within(Duration::from_secs(180), || alice.shown().contains(&told));
        assert!(is_told, "{cap}: {}", alice.shown());
        let (cap, _) = cap.split_once(' ').expect("a cap");
        let line = machine.logged(&format!("cap={cap}"));
        assert!(line.contains("user=alice"), "{line}");
    }
    alice.send("kill %1 %2; exit");
    alice.wait();
}
