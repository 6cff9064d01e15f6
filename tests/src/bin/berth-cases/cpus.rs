//! CPU pinning, felt. Needs two CPUs and the controller cpuset.

use berth_tests::{Machine, Policy};

use super::Case;

pub const CASES: &[Case] = &[("allowed_cpus_pins_a_user", pinned)];

fn pinned(machine: &mut Machine) {
    assert!(machine.cgroups().offers("cpuset"));
    assert_eq!(machine.host("nproc").ok(), "2");
    machine.policy(&Policy::with_profile("user = { allowed_cpus = \"1\" }"));
    let look = "nproc; grep Cpus_allowed_list /proc/self/status | cut -f2; \
        taskset -pc 0 $$ >/dev/null 2>&1 && echo moved || echo held";
    assert_eq!(machine.ssh("alice", look).ok(), "1\n1\nheld");
    assert_eq!(machine.ssh("bob", "nproc").ok(), "1");
    assert_eq!(machine.ssh("root", "nproc").ok(), "2");
    // Where the policy says nothing of CPUs, all are there.
    machine.policy(&Policy::default());
    assert_eq!(machine.ssh("alice", "nproc").ok(), "2");
}
