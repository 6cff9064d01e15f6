//! CPU pinning, felt, and pressure. What user-mode Linux lacks: two CPUs, the controller cpuset, PSI.

use std::fs;
use std::io::Write;

use berth_tests::{Background, Booted, Machine, Policy, eventually};

use super::{BootedCase, Case};

pub const CASES: &[Case] = cases! {
    allowed_cpus_pins_a_user
    after_its_session_an_application_has_all_cpus_again
};

pub const CASES_UNDER_SYSTEMD: &[BootedCase] = cases! {
    allowed_cpus_pins_a_user_under_systemd
    the_pressure_of_a_user_is_told
};

fn allowed_cpus_pins_a_user(machine: &mut Machine) {
    assert!(machine.cgroups().offers("cpuset"));
    assert_eq!(machine.host("nproc").ok(), "2");
    machine.policy(&Policy::with_profile("user = { allowed_cpus = \"1\" }"));
    let look = "nproc; grep Cpus_allowed_list /proc/self/status | cut -f2; \
        taskset -pc 0 $$ >/dev/null 2>&1 && echo moved || echo held";
    assert_eq!(machine.ssh("alice", look).ok(), "1\n1\nheld");
    // A cpuset says what memory it has, too; the one node that there is can be had by itself.
    for caps in ["allowed_cpus = \"1\"", "allowed_memory_nodes = \"0\""] {
        machine.policy(&Policy::with_profile(&format!("user = {{ {caps} }}")));
        let (login, _) = machine.stay("alice");
        let user = machine.cgroups().user(machine.uid("alice"));
        let nodes = fs::read_to_string(user.join("cpuset.mems")).expect("cpuset.mems");
        assert_eq!(nodes, "0\n", "{caps}");
        login.end();
    }
    machine.policy(&Policy::with_profile("user = { allowed_cpus = \"1\" }"));
    assert_eq!(machine.ssh("bob", "nproc").ok(), "1");
    assert_eq!(machine.ssh("root", "nproc").ok(), "2");
    // Of CPUs that a larger machine has, those that this one has count.
    machine.policy(&Policy::with_profile("user = { allowed_cpus = \"1-7\" }"));
    assert_eq!(machine.ssh("alice", "nproc").ok(), "1");
    // Where the policy says nothing of CPUs, all are there.
    machine.policy(&Policy::default());
    assert_eq!(machine.ssh("alice", "nproc").ok(), "2");
}

fn after_its_session_an_application_has_all_cpus_again(machine: &mut Machine) {
    machine.policy(&Policy {
        namespaces: "user = \"off\"".into(),
        ..Policy::with_profile("user = { allowed_cpus = \"1\" }")
    });
    let before = machine.settled();
    let mut application = Background::talking(&machine.probe("open-close-stay login alice"));
    let process = application.process();
    let cpus = || process.status("Cpus_allowed_list").unwrap_or_default();
    assert_eq!(application.line(), "open");
    assert_eq!(cpus(), "1");
    let stdin = application.0.stdin.as_mut().unwrap();
    stdin.write_all(b"\n").unwrap();
    assert_eq!(application.line(), "closed");
    assert!(eventually(|| cpus() == "0-1"), "{:?}", process.cgroup());
    assert!(!process.cgroup().unwrap().contains("/user-"));
    application.end();
    machine.assert_nothing_left(&before);
}

fn allowed_cpus_pins_a_user_under_systemd(machine: &Booted) {
    assert_eq!(machine.host("nproc").ok(), "2");
    let mut policy = Policy::with_namespaces("");
    policy.profile =
        "user = { allowed_cpus = \"1\", cpu_quota = \"150%\" }\nlogout = { grace = \"1s\" }".into();
    machine.berth("sshd", &policy);
    let before = machine.settled();
    let (login, sleep) = machine.stay("alice");
    assert_eq!(sleep.status("Cpus_allowed_list").as_deref(), Some("1"));
    assert_eq!(machine.of_user("alice", "cpuset.cpus"), "1");
    assert_eq!(machine.of_user("alice", "cpu.max"), "150000 100000");
    let moved = machine.ssh("alice", "taskset -pc 0 $$ 2>&1; nproc");
    assert!(moved.stdout.ends_with("\n1"), "{moved:?}");
    machine.host("systemctl daemon-reload").ok();
    assert_eq!(machine.of_user("alice", "cpuset.cpus"), "1");
    assert_eq!(machine.ssh("root", "nproc").ok(), "2");
    login.end();
    machine.assert_nothing_left(&before);
}

fn the_pressure_of_a_user_is_told(machine: &Booted) {
    let quota = "user = { cpu_quota = \"20%\" }\nlogout = { grace = \"1s\" }";
    machine.berth("sshd", &Policy::with_profile(quota));
    let before = machine.settled();
    let (login, _) = machine.background("alice", "exec sha256sum /dev/zero", "sha256sum");
    // Who has used up their quota waits for a CPU.
    let show = || machine.host("berth show alice").ok();
    let waits = || {
        let shown = show();
        let share = shown.split("Pressure: cpu ").nth(1)?.split('%').next()?;
        share.parse::<f32>().ok()
    };
    assert!(eventually(|| waits() >= Some(5.0)), "{}", show());
    login.end();
    machine.assert_nothing_left(&before);
}
