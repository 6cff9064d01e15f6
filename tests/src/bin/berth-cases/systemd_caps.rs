//! Caps on a machine that systemd runs, felt and read from the kernel.

use berth_tests::{Booted, Policy, Process, eventually};

use super::BootedCase;

pub const CASES: &[BootedCase] = &[(
    "past_memory_max_a_user_is_killed_and_another_is_not",
    memory_max,
)];

const QUICK: &str = "logout = { grace = \"1s\" }";

fn user_caps(caps: &str) -> Policy {
    Policy::with_profile(&format!("user = {{ {caps} }}\n{QUICK}"))
}

/// How often the OOM killer came to a user.
fn oom_kills(machine: &Booted, user: &str) -> u64 {
    let events = machine.of_user(user, "memory.events");
    let mut lines = events.lines();
    let kills = lines.find_map(|line| line.strip_prefix("oom_kill "));
    kills.expect("memory.events").parse().expect("a number")
}

fn memory_max(machine: &Booted) {
    machine.berth(
        "sshd",
        &user_caps("memory_max = \"64M\", memory_swap_max = 0"),
    );
    let before = machine.settled();
    // Other logins keep the users' slices, so that their events can be read.
    let (alice, _) = machine.stay("alice");
    let (bob, held) = machine.stay("bob");
    assert_eq!(machine.of_user("alice", "memory.max"), "67108864");
    assert_eq!(machine.of_user("alice", "memory.swap.max"), "0");
    assert_eq!(
        machine.drop_ins("alice"),
        ["50-MemoryMax.conf", "50-MemorySwapMax.conf"]
    );
    assert_eq!(machine.ssh("alice", "berth-probe eat 30").ok(), "ate 30 MB");
    assert_eq!(oom_kills(machine, "alice"), 0);
    let hog = machine.ssh("alice", "berth-probe eat 100").refused();
    assert!(!hog.stdout.contains("ate"), "{hog:?}");
    assert!(oom_kills(machine, "alice") >= 1);
    assert_eq!(oom_kills(machine, "bob"), 0);
    assert!(held.exists(), "bob's is alive");
    assert_eq!(
        machine.ssh("root", "berth-probe eat 100").ok(),
        "ate 100 MB"
    );
    assert!(
        !machine.cgroups().slice(0).join("memory.max").exists()
            || machine.of_user("root", "memory.max") == "max"
    );

    let keepers = Process::named("berth-helper");
    assert!(!keepers.is_empty());
    for keeper in keepers {
        let cgroup = keeper.cgroup().expect("a cgroup");
        assert_eq!(cgroup, "/berth.slice/berth.service/keepers");
    }
    alice.end();
    bob.end();
    let closed = eventually(|| machine.sessions().is_empty());
    assert!(closed, "open: {:?}", machine.sessions());
    machine.assert_nothing_left(&before);
    for user in ["alice", "bob"] {
        assert_eq!(machine.drop_ins(user), [""; 0]);
    }
}
