//! CPU pinning, felt. Needs two CPUs and the controller cpuset.

use berth_tests::{Machine, Policy};

use super::Case;

pub const CASES: &[Case] = &[("allowed_cpus_pins_a_user", pinned)];

fn pinned(machine: &mut Machine) {
    assert!(machine.cgroups().offers("cpuset"));
    assert_eq!(machine.host("nproc").ok(), "2");
    machine.policy(&Policy::with_profile("user = { allowed_cpus = \"1\" }"));
    let look = "nproc; grep Cpus_allowed_list /proc/self/status | cut -f2; taskset -pc 0 $$ 2>&1 | tail -1";
    let said = machine.ssh("alice", look).ok();
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[..2], ["1", "1"], "{said}");
    assert!(lines[2].contains("Invalid argument"), "{said}");
    assert_eq!(machine.ssh("bob", "nproc").ok(), "1");
    assert_eq!(machine.ssh("root", "nproc").ok(), "2");
    // Where the policy says nothing of CPUs, all are there.
    machine.policy(&Policy::default());
    assert_eq!(machine.ssh("alice", "nproc").ok(), "2");
}
