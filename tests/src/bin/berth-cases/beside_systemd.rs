//! Logins on a machine that systemd runs: where logind puts them, with Berth last in the stack and without.

use berth_tests::{Booted, Policy, Process, eventually};

use super::BootedCase;

pub const CASES: &[BootedCase] = &[
    ("a_login_by_ssh_is_in_a_scope_of_its_user", scope),
    ("a_berth_is_in_the_scope_that_logind_made", berth),
];

const NAMESPACES: [&str; 4] = ["user", "pid", "ipc", "mnt"];

fn scope(machine: &Booted) {
    let before = machine.settled();
    for user in ["alice", "root"] {
        let cgroup = machine.ssh(user, "cat /proc/self/cgroup").ok();
        assert_is_scope(machine, user, &cgroup);
    }
    machine.assert_nothing_left(&before);
}

fn berth(machine: &Booted) {
    machine.berth(
        "sshd",
        &Policy::with_profile("cgroup = \"keep\"\nlogout = { grace = \"1s\" }"),
    );
    let before = machine.settled();
    let host = Process(1);

    let (login, sleep) = machine.stay("alice");
    for kind in NAMESPACES {
        assert_ne!(sleep.namespace(kind), host.namespace(kind), "{kind}");
    }
    assert_is_scope(machine, "alice", &sleep.file("cgroup"));
    let sees = machine
        .ssh("alice", "cat /proc/1/comm; ls -d /proc/[0-9]* | wc -l")
        .ok();
    let (first, processes) = sees.split_once('\n').expect("two lines");
    assert_eq!(first, "berth-init");
    assert!(processes.parse::<u32>().expect("a number") < 10, "{sees}");

    let (root_login, root) = machine.stay("root");
    for kind in NAMESPACES {
        assert_eq!(root.namespace(kind), host.namespace(kind), "{kind}");
    }
    assert_is_scope(machine, "root", &root.file("cgroup"));

    assert!(eventually(|| machine.sessions().len() == 2));
    // Without a berth a command outlives its connection.
    root.kill();
    root_login.end();
    login.end();
    let closed = eventually(|| machine.sessions().is_empty());
    assert!(closed, "open: {:?}", machine.sessions());
    machine.assert_nothing_left(&before);
}

/// Fails unless this is the one line of a cgroup file that says that logind has this login.
#[track_caller]
fn assert_is_scope(machine: &Booted, user: &str, cgroup: &str) {
    let slice = format!("0::/user.slice/user-{}.slice/session-", machine.uid(user));
    let rest = cgroup.trim_end().strip_prefix(&slice);
    let number = rest.and_then(|rest| rest.strip_suffix(".scope"));
    let is_number = number.is_some_and(|number| number.parse::<u32>().is_ok());
    assert!(is_number, "{user} is in {cgroup}");
}
