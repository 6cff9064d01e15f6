//! Freezing and thawing where systemd manages the cgroups.

use berth_tests::ticking::{COUNT, assert_goes_on, assert_stands};
use berth_tests::{Booted, Policy, becomes};

use super::BootedCase;

pub const CASES: &[BootedCase] = cases! {
    a_frozen_user_stands_and_goes_on_under_systemd
    a_frozen_pool_stands_and_can_be_killed_under_systemd
    what_waits_for_a_disk_is_named_and_thawed_under_systemd
    a_session_goes_on_when_its_frozen_user_does_under_systemd
};

fn a_frozen_user_stands_and_goes_on_under_systemd(machine: &Booted) {
    let capped = "user = { memory_max = \"200M\" }\nlogout = { grace = \"1s\" }";
    // Nothing is started in a slice that is frozen, so nobody can stand there (257); nor is one let in without a berth.
    machine.berth(
        "sshd",
        &Policy {
            defaults: "frozen_login = \"freeze\"\non_error = \"allow\"".into(),
            ..Policy::with_profile(capped)
        },
    );
    let before = machine.settled();
    let (alice, _) = machine.background("alice", COUNT, "sh");
    assert_goes_on("alice");
    let id = machine
        .host("berth list | awk '$2 == \"alice\" { print $1 }'")
        .ok();
    // One session alone: its user gets in.
    machine.host(&format!("berth freeze {id}")).ok();
    assert_stands("alice");
    machine.ssh("alice", "true").ok();
    machine.host(&format!("berth thaw {id}")).ok();

    // That login's keeper has a moment's work after it.
    let sessions = "berth list | awk '$2 == \"alice\"' | wc -l";
    becomes(|| machine.host(sessions).ok(), "1");
    let said = machine.host("berth freeze alice").ok();
    assert_eq!(said, "frozen user \"alice\": 1 session");
    let list = machine.host("berth list").ok();
    assert!(list.contains("  frozen\n"), "{list}");
    // Root looks into it, from outside.
    let look = format!("berth enter {id} sh -c 'cat /proc/1/comm /proc/self/cgroup'");
    let look = machine.host(&look).ok();
    assert!(look.starts_with("berth-init\n"), "{look}");
    assert!(!look.contains(&machine.slice("alice")), "{look}");
    // systemd knows of it, and changes nothing.
    machine.host("systemctl daemon-reload").ok();
    machine.host("systemctl daemon-reexec").ok();
    assert_stands("alice");
    assert_eq!(
        machine.of_user("alice", "memory.max"),
        (200 << 20).to_string()
    );
    machine.ssh("alice", "true").refused();
    machine.ssh("root", "true").ok();
    assert_eq!(
        machine.host("berth thaw alice").ok(),
        "thawed user \"alice\": 1 session"
    );
    assert_goes_on("alice");
    let log = machine.host("berth log alice --since 5min").ok();
    assert!(
        log.contains("  freeze    root froze alice\n") && log.contains("  refused "),
        "{log}"
    );
    assert!(log.contains("Your sessions are frozen"), "{log}");

    // Killed while it stands it leaves nothing, and the user gets in again.
    machine.host("berth freeze alice").ok();
    machine.host("berth kill alice --yes").ok();
    alice.end();
    machine.assert_nothing_left(&before);
    machine.ssh("alice", "true").ok();
}

/// Who writes while the file system takes nothing cannot be stopped until it does.
fn what_waits_for_a_disk_is_named_and_thawed_under_systemd(machine: &Booted) {
    machine.berth("sshd", &Policy::with_profile("logout = { grace = \"1s\" }"));
    let before = machine.settled();
    let (alice, _) = machine.background("alice", COUNT, "sh");
    assert_goes_on("alice");
    let said = machine.host(
        "sync; fsfreeze --freeze /; sleep 1
         berth freeze alice; echo $?; berth thaw alice; echo $?
         fsfreeze --unfreeze /",
    );
    assert!(
        said.stderr.contains("may be waiting for a device"),
        "{said:?}"
    );
    assert_eq!(said.stdout, "5\nthawed user \"alice\": 1 session\n0");
    assert_goes_on("alice");
    alice.end();
    machine.assert_nothing_left(&before);
}

/// What is thawed below what is frozen stands on, and systemd waits for nothing that does not come.
fn a_session_goes_on_when_its_frozen_user_does_under_systemd(machine: &Booted) {
    machine.berth("sshd", &Policy::with_profile("logout = { grace = \"1s\" }"));
    let before = machine.settled();
    let (alice, _) = machine.background("alice", COUNT, "sh");
    assert_goes_on("alice");
    let id = machine
        .host("berth list | awk '$2 == \"alice\" { print $1 }'")
        .ok();
    machine.host("berth freeze alice").ok();
    let said = machine.host(&format!("berth thaw {id}")).ok();
    assert!(
        said.contains(&format!("session {id} is still frozen")),
        "{said}"
    );
    assert_stands("alice");
    machine.host("berth thaw alice").ok();
    assert_goes_on("alice");
    // Frozen by itself and with its user.
    machine
        .host(&format!("berth freeze {id}; berth freeze alice"))
        .ok();
    machine.host("berth thaw alice").ok();
    machine.host(&format!("berth thaw {id}")).ok();
    assert_goes_on("alice");
    alice.end();
    machine.assert_nothing_left(&before);
}

fn a_frozen_pool_stands_and_can_be_killed_under_systemd(machine: &Booted) {
    machine.berth(
        "sshd",
        &Policy {
            profile: "pool = \"cs-101\"\nlogout = { grace = \"1s\" }".into(),
            ..Policy::with_rest("[pool.cs-101]\nmemory_max = \"200M\"\n")
        },
    );
    let before = machine.settled();
    let (alice, _) = machine.background("alice", COUNT, "sh");
    let (bob, _) = machine.background("bob", COUNT, "sh");
    assert_goes_on("alice");
    assert_goes_on("bob");
    let said = machine.host("berth freeze pool:cs-101").ok();
    assert_eq!(said, "frozen pool \"cs-101\": 2 sessions");
    assert_stands("alice");
    assert_stands("bob");
    machine.ssh("alice", "true").refused();
    machine.host("berth thaw pool:cs-101").ok();
    assert_goes_on("bob");
    // A user of the pool, whose service manager is outside of it.
    machine.host("berth freeze alice").ok();
    assert_stands("alice");
    assert_goes_on("bob");
    machine.host("berth kill pool:cs-101 --yes").ok();
    alice.end();
    bob.end();
    machine.assert_nothing_left(&before);
}
