//! Every cap that the policy knows, of a user and of a session, in the kernel's file for it.

use std::fs;
use std::path::Path;

use berth_tests::{Booted, Cgroups, Machine, Policy, Process};

use super::{BootedCase, Case};

pub const CASES: &[Case] = cases! {
    every_cap_is_in_its_file
};

pub const CASES_UNDER_SYSTEMD: &[BootedCase] = cases! {
    every_cap_is_in_its_file_under_systemd
};

/// A value in the policy, the file, and what is there then.
type Value = (&'static str, &'static str, &'static str);

/// Each cap with two values: the user has the one, and the session the other.
const CAPS: [(&str, [Value; 2]); 15] = [
    (
        "memory_min",
        [
            ("\"2M\"", "memory.min", "2097152"),
            ("\"1M\"", "memory.min", "1048576"),
        ],
    ),
    (
        "memory_low",
        [
            ("\"4M\"", "memory.low", "4194304"),
            ("\"3M\"", "memory.low", "3145728"),
        ],
    ),
    (
        "memory_high",
        [
            ("\"200M\"", "memory.high", "209715200"),
            ("\"100M\"", "memory.high", "104857600"),
        ],
    ),
    (
        "memory_max",
        [
            ("\"300M\"", "memory.max", "314572800"),
            ("\"150M\"", "memory.max", "157286400"),
        ],
    ),
    (
        "memory_swap_max",
        [
            ("\"7M\"", "memory.swap.max", "7340032"),
            ("\"6M\"", "memory.swap.max", "6291456"),
        ],
    ),
    (
        "cpu_weight",
        [("50", "cpu.weight", "50"), ("\"idle\"", "cpu.idle", "1")],
    ),
    (
        "cpu_quota",
        [
            ("\"150%\"", "cpu.max", "150000 100000"),
            ("\"90%\"", "cpu.max", "90000 100000"),
        ],
    ),
    (
        "allowed_cpus",
        [
            ("\"0-1\"", "cpuset.cpus", "0-1"),
            ("\"1\"", "cpuset.cpus", "1"),
        ],
    ),
    (
        "allowed_memory_nodes",
        [("\"0\"", "cpuset.mems", "0"), ("\"0\"", "cpuset.mems", "0")],
    ),
    (
        "tasks_max",
        [("99", "pids.max", "99"), ("88", "pids.max", "88")],
    ),
    (
        "io_weight",
        [
            ("300", "io.weight", "default 300"),
            ("200", "io.weight", "default 200"),
        ],
    ),
    (
        "io_read_bandwidth_max",
        [
            ("{ DISK = \"8M\" }", "io.max", "rbps=8000000"),
            ("{ DISK = \"7M\" }", "io.max", "rbps=7000000"),
        ],
    ),
    (
        "io_write_bandwidth_max",
        [
            ("{ DISK = \"6M\" }", "io.max", "wbps=6000000"),
            ("{ DISK = \"5M\" }", "io.max", "wbps=5000000"),
        ],
    ),
    (
        "io_read_iops_max",
        [
            ("{ DISK = 800 }", "io.max", "riops=800"),
            ("{ DISK = 700 }", "io.max", "riops=700"),
        ],
    ),
    (
        "io_write_iops_max",
        [
            ("{ DISK = 600 }", "io.max", "wiops=600"),
            ("{ DISK = 500 }", "io.max", "wiops=500"),
        ],
    ),
];

/// What user-mode Linux has no file for, and a whole PC has.
const OF_A_PC: [&str; 3] = ["allowed_cpus", "allowed_memory_nodes", "io_weight"];

/// The caps that there are on this machine.
fn caps(cgroups: &Cgroups) -> impl Iterator<Item = (&'static str, [Value; 2])> {
    let tables = berth_config::known_keys();
    let known = tables.iter().find(|(table, _)| *table == "caps");
    let known = known.map(|(_, keys)| keys.iter().copied());
    assert!(known.expect("caps").eq(CAPS.map(|(key, _)| key)));
    let is_pc = cgroups.offers("cpuset");
    let caps = CAPS.into_iter();
    caps.filter(move |(key, _)| is_pc || !OF_A_PC.contains(key))
}

/// The policy with them: the user has each cap's value of this number, and the session the other.
fn policy(cgroups: &Cgroups, users: usize, disk: &str) -> Policy {
    let table = |which: usize| {
        let caps = caps(cgroups).map(|(key, values)| format!("{key} = {}", values[which].0));
        caps.collect::<Vec<_>>().join(", ").replace("DISK", disk)
    };
    let (user, session) = (table(users), table(1 - users));
    Policy::with_profile(&format!(
        "user = {{ {user} }}\nsession = {{ {session} }}\nlogout = {{ grace = \"1s\" }}"
    ))
}

/// Fails unless a user and their session have these values.
#[track_caller]
fn assert_in_force(cgroups: &Cgroups, users: usize, user: &Path, session: &Process) {
    let session = session.cgroup().expect("a cgroup");
    let session = cgroups.root().join(session.trim_start_matches('/'));
    for (key, values) in caps(cgroups) {
        for (level, (_, file, wanted)) in [(user, values[users]), (&session, values[1 - users])] {
            // Without systemd all tasks of a user's have a reserve besides.
            let sessions = level.join("sessions").join(file);
            let path = match file == "pids.max" && sessions.exists() {
                true => sessions,
                false => level.join(file),
            };
            let text = fs::read_to_string(&path).expect(key);
            let is_there = text.trim() == wanted || text.split_whitespace().any(|it| it == wanted);
            assert!(is_there, "{key}: no {wanted} in {}: {text}", path.display());
        }
    }
}

fn every_cap_is_in_its_file(machine: &mut Machine) {
    let before = machine.settled();
    for users in [0, 1] {
        machine.policy(&policy(machine.cgroups(), users, "\"/disk\""));
        let (login, sleep) = machine.stay("alice");
        let user = machine.cgroups().user(machine.uid("alice"));
        assert_in_force(machine.cgroups(), users, &user, &sleep);
        login.end();
        machine.assert_nothing_left(&before);
    }
    // What the policy does not set is left alone. Another cap of the controller's, or there would be no such file.
    machine.policy(&Policy::with_profile("user = { memory_high = \"200M\" }"));
    let (other, _) = machine.stay("bob");
    for (file, value) in [("memory.high", "209715200"), ("memory.max", "max")] {
        assert_eq!(machine.of_user("bob", file), value, "{file}");
    }
    other.end();
}

fn every_cap_is_in_its_file_under_systemd(machine: &Booted) {
    machine.berth("sshd", &Policy::default());
    let before = machine.settled();
    for users in [0, 1] {
        machine.policy(&policy(machine.cgroups(), users, "\"/\""));
        let (login, sleep) = machine.stay("alice");
        let user = machine.cgroups().slice(machine.uid("alice"));
        assert_in_force(machine.cgroups(), users, &user, &sleep);
        login.end();
        machine.assert_nothing_left(&before);
    }
}
