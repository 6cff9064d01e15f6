//! The cap on tasks, felt.

use berth_tests::{Machine, Policy, Process, eventually};

use super::Case;

pub const CASES: &[Case] = &[
    (
        "a_fork_bomb_stops_at_tasks_max_and_everybody_can_log_in",
        fork_bomb,
    ),
    ("a_fork_bomb_is_over_when_its_login_is", bomb_ends),
];

fn capped(machine: &Machine) {
    machine.policy(&Policy::with_profile(
        "user = { tasks_max = 32 }\nlogout = { grace = \"1s\" }",
    ));
}

fn children() -> usize {
    Process::named("berth-probe").len()
}

fn fork_bomb(machine: &mut Machine) {
    capped(machine);
    let bomb = machine.ssh_background("alice", &machine.probe("fork-bomb"));
    let current = machine
        .cgroups()
        .user(machine.uid("alice"))
        .join("pids.current");
    let full = || {
        let tasks: u32 = std::fs::read_to_string(&current)
            .ok()
            .and_then(|text| text.trim().parse().ok())
            .unwrap_or_default();
        tasks >= 32
    };
    assert!(eventually(full), "{} in all", children());
    assert!(children() <= 32, "{} of the bomb", children());
    assert_eq!(machine.ssh("root", "echo in").ok(), "in");
    assert_eq!(machine.ssh("bob", "echo in").ok(), "in");
    // The user too, to clean up.
    assert_eq!(machine.ssh("alice", "echo in").ok(), "in");
    bomb.end();
}

fn bomb_ends(machine: &mut Machine) {
    capped(machine);
    let before = machine.settled();
    let bomb = machine.ssh_background("alice", &machine.probe("fork-bomb"));
    assert!(eventually(|| children() > 10));
    bomb.end();
    machine.assert_nothing_left(&before);
}
