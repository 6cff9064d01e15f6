//! CPU time and disk bandwidth, felt; and what happens where a controller is missing.

use berth_tests::{Machine, Policy};

use super::Case;

pub const CASES: &[Case] = cases! {
    a_quota_of_half_a_cpu_is_half_a_cpu
    two_logins_share_one_quota
    io_max_slows_a_write_of_the_users_only
    a_cap_of_a_session_is_in_its_own_cgroup
    a_missing_controller_refuses_or_warns_as_the_policy_says
};

fn milliseconds(text: &str) -> u64 {
    text.trim()
        .parse()
        .unwrap_or_else(|_| panic!("not a number: {text}"))
}

fn quota(machine: &Machine) {
    machine.policy(&Policy::with_profile("user = { cpu_quota = \"50%\" }"));
}

fn a_quota_of_half_a_cpu_is_half_a_cpu(machine: &mut Machine) {
    quota(machine);
    let burn = machine.probe("burn 4");
    let free = milliseconds(&machine.host(&burn).ok());
    let used = milliseconds(&machine.ssh("alice", &burn).ok());
    assert!(
        free > 3000,
        "the machine is too busy to tell: {free} ms of 4 s"
    );
    assert!((1200..=2500).contains(&used), "{used} ms of 4 s at 50%");
}

fn two_logins_share_one_quota(machine: &mut Machine) {
    quota(machine);
    let burn = machine.probe("burn 4");
    let first = machine.ssh_background("alice", &burn);
    let second = milliseconds(&machine.ssh("alice", &burn).ok());
    let first = milliseconds(&first.wait().ok());
    let both = first + second;
    // They do not start at the same moment: 4 s of one and the rest of the other.
    assert!(
        both <= 3500,
        "{first} and {second} ms of 4 s at 50% for both"
    );
}

fn io_max_slows_a_write_of_the_users_only(machine: &mut Machine) {
    machine.policy(&Policy::with_profile(
        "user = { io_write_bandwidth_max = { \"/disk\" = \"1M\" } }",
    ));
    let write =
        |name: &str| format!("dd if=/dev/zero of=/disk/{name} bs=64k count=64 oflag=direct 2>&1");
    let free = dd_seconds(&machine.host(&write("root")).ok());
    let slowed = dd_seconds(&machine.ssh("alice", &write("alice")).ok());
    assert!(
        slowed > 3.0 && slowed > 2.0 * free,
        "4 MiB at 1 MB/s took {slowed} s, and {free} s without a cap"
    );
}

/// How long a dd took by its own word: a login beside it would count on a busy machine.
pub fn dd_seconds(said: &str) -> f64 {
    let seconds = said.rsplit(", ").nth(1);
    let seconds = seconds.and_then(|time| time.strip_suffix(" s")?.parse().ok());
    seconds.unwrap_or_else(|| panic!("{said}"))
}

fn a_cap_of_a_session_is_in_its_own_cgroup(machine: &mut Machine) {
    machine.policy(&Policy::with_profile(
        "user = { tasks_max = 100 }\nsession = { tasks_max = 20 }",
    ));
    let session = machine
        .ssh("alice", "sed -n 's/^0:://p' /proc/self/cgroup")
        .ok();
    assert!(session.contains("berth"), "{session}");
    // The login does not wait for the bomb, which ends with it.
    let bomb = machine.probe("fork-bomb");
    let counts = format!("({bomb} </dev/null 2>/dev/null &) | head -1");
    let said = machine.ssh("alice", &counts).ok();
    let count: u32 = said
        .split(' ')
        .next()
        .unwrap()
        .parse()
        .unwrap_or_else(|_| panic!("{said}"));
    assert!((8..=20).contains(&count), "{said}");
}

fn a_missing_controller_refuses_or_warns_as_the_policy_says(machine: &mut Machine) {
    assert!(
        !machine.cgroups().offers("cpuset"),
        "user-mode Linux has no cpuset"
    );
    let profile = "user = { allowed_cpus = \"0\" }";
    machine.policy(&Policy::with_profile(profile));
    machine.ssh("alice", "echo in").refused();
    assert!(machine.logged("cpuset").contains("berth"));
    machine.policy(&Policy {
        defaults: "missing_controller = \"warn\"".into(),
        ..Policy::with_profile(profile)
    });
    assert_eq!(machine.ssh("alice", "echo in").ok(), "in");
    assert_eq!(machine.ssh("root", "echo in").ok(), "in");
}
