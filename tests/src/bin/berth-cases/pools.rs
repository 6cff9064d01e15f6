//! Caps of several users together, felt: pools, and everyone.

use std::fs;

use berth_tests::{Background, Machine, Process, eventually};

use super::Case;

pub const CASES: &[Case] = cases! {
    two_users_of_a_pool_are_held_together
    two_users_of_a_pool_share_its_quota
    a_pool_at_its_tasks_max_refuses_tasks
    everyone_is_held_together_and_the_keepers_are_not
};

/// alice and bob are in the pool, carol is not.
fn policy(machine: &Machine, tables: &str) {
    machine.policy_text(&format!(
        "version = 1\n{tables}\n\
         [profile.pooled]\npool = \"p\"\nlogout = {{ grace = \"1s\" }}\n\
         [profile.alone]\nlogout = {{ grace = \"1s\" }}\n\
         [[rule]]\nuser = [\"alice\", \"bob\"]\nprofile = \"pooled\"\n\
         [[rule]]\nprofile = \"alone\"\n"
    ));
}

/// Holds 40 MB, until the end.
fn hold(machine: &mut Machine, user: &str) -> Background {
    let uid = machine.uid(user);
    let login = machine.ssh_background(user, &machine.probe("hold 40"));
    let holds = || {
        Process::running("berth-probe hold 40")
            .iter()
            .any(|one| one.uid() == Some(uid))
    };
    assert!(eventually(holds), "{user} does not hold");
    let full = || machine.cgroups().number(uid, "memory.current") >= 40 << 20;
    assert!(eventually(full), "{user} holds too little");
    login
}

fn number(machine: &Machine, file: &str, key: &str) -> u64 {
    // Before the first login it is not there.
    let text = fs::read_to_string(machine.cgroups().root().join(file)).unwrap_or_default();
    let value = text.lines().find_map(|line| line.strip_prefix(key));
    value
        .and_then(|value| value.trim().parse().ok())
        .unwrap_or(0)
}

fn two_users_of_a_pool_are_held_together(machine: &mut Machine) {
    let before = machine.settled();
    policy(
        machine,
        "[pool.p]\nmemory_max = \"64M\"\nmemory_swap_max = 0",
    );
    // Whomever the kernel kills, this login keeps the pool's cgroup, so that its events can be read.
    let (stays, _) = machine.stay("bob");
    let alice = hold(machine, "alice");
    // Neither has a cap of their own, and each alone fits.
    let eaten = machine.su("carol", &machine.probe("eat 40"));
    assert_eq!(eaten.ok(), "ate 40 MB", "who is not in the pool");
    let eaten = machine.ssh("bob", &machine.probe("eat 40"));
    let killed = number(machine, "berth/pool-p/memory.events", "oom_kill ");
    assert!(killed >= 1, "{eaten:?}");
    alice.end();
    assert_eq!(
        machine.ssh("bob", &machine.probe("eat 40")).ok(),
        "ate 40 MB"
    );
    stays.end();
    machine.assert_nothing_left(&before);
    assert!(eventually(|| !machine
        .cgroups()
        .root()
        .join("berth")
        .exists()));
}

fn two_users_of_a_pool_share_its_quota(machine: &mut Machine) {
    let before = machine.settled();
    policy(machine, "[pool.p]\ncpu_quota = \"50%\"");
    let burn = machine.probe("burn 4");
    let used = |text: String| text.trim().parse::<u64>().unwrap();
    let alice = machine.ssh_background("alice", &burn);
    let bob = used(machine.ssh("bob", &burn).ok());
    let alice = used(alice.wait().ok());
    // They do not start at the same moment.
    assert!(
        alice + bob <= 3500,
        "{alice} and {bob} ms of 4 s at 50% for both"
    );
    let carol = used(machine.su("carol", &burn).ok());
    assert!(carol > 3000, "{carol} ms of 4 s, who is not in the pool");
    machine.assert_nothing_left(&before);
}

fn a_pool_at_its_tasks_max_refuses_tasks(machine: &mut Machine) {
    let before = machine.settled();
    policy(machine, "[pool.p]\ntasks_max = 24");
    let spawn = "for i in $(seq 16); do sleep 20 & done 2>&1; wait";
    let alice = machine.ssh_background("alice", spawn);
    let current = || number(machine, "berth/pool-p/pids.current", "");
    assert!(eventually(|| current() >= 17));
    // Linux before 6.11 counts a refusal in the cgroup of who was refused, so the shell's word counts.
    let bob = machine.ssh("bob", "(for i in $(seq 16); do sleep 1 & done; wait) 2>&1");
    assert!(bob.stdout.contains("fork"), "{bob:?}");
    let carol = machine.su(
        "carol",
        "for i in $(seq 30); do sleep 0.1 & done; wait; echo ok",
    );
    assert_eq!(carol.ok(), "ok", "who is not in the pool");
    alice.end();
    machine.assert_nothing_left(&before);
}

fn everyone_is_held_together_and_the_keepers_are_not(machine: &mut Machine) {
    let before = machine.settled();
    policy(
        machine,
        "[everyone]\nmemory_max = \"100M\"\nmemory_swap_max = 0\n[pool.p]\n",
    );
    let (alice, bob) = (hold(machine, "alice"), hold(machine, "bob"));
    let eaten = machine.su("carol", &machine.probe("eat 60"));
    let killed = number(machine, "berth/memory.events", "oom_kill ");
    assert!(killed >= 1, "{eaten:?}");
    let helpers = Process::named("berth-helper");
    // Of those whom the kernel has spared.
    assert!(helpers.len() >= 2, "{helpers:?}");
    for helper in helpers {
        assert_eq!(helper.cgroup().unwrap(), "/berth-keepers");
    }
    assert_eq!(
        machine.ssh("root", &machine.probe("eat 120")).ok(),
        "ate 120 MB"
    );
    alice.end();
    bob.end();
    // Whomever it killed, their keepers were not among them.
    machine.assert_nothing_left(&before);
}
