//! Pools where systemd manages the cgroups: slices of Berth's own, with the sessions' scopes in them.

use std::path::Path;

use berth_tests::{Booted, Policy, Process, becomes, eventually};

use super::BootedCase;

pub const CASES: &[BootedCase] = cases! {
    two_users_of_a_pool_are_held_together_under_systemd
    a_pools_tasks_and_cpu_are_shared_and_commands_know_it
};

pub const CASES_WITHOUT_CONTROLLERS: &[BootedCase] = cases! {
    all_logins_of_a_pools_user_are_in_it_and_what_is_killed_leaves_nothing
    who_is_logged_in_stays_out_of_a_new_pool
    a_manager_that_restarts_beside_its_users_pool_is_said_to_be_in_none
};

/// As systemd names a pool with a dash in its name.
const POOL: &str = "/user.slice/user-pool_cs\\x2d101.slice";

fn policy(pool: &str) -> Policy {
    let caps = "[pool.cs-101]\nmemory_max = \"64M\"\nmemory_swap_max = 0\n";
    Policy {
        defaults: "missing_controller = \"warn\"".into(),
        profile: format!(
            "{pool}\nuser = {{ memory_max = \"60M\" }}\nlogout = {{ grace = \"1s\" }}"
        ),
        ..Policy::with_rest(caps)
    }
}

fn user_slice(machine: &Booted, user: &str) -> String {
    let pool = POOL.trim_end_matches(".slice");
    let (_, name) = pool.rsplit_once('/').expect("a path");
    format!("{POOL}/{name}-{}.slice", machine.uid(user))
}

/// What systemd has of pools: their cgroups, and what it wrote down.
fn left(machine: &Booted) -> String {
    machine
        .host("ls -d /sys/fs/cgroup/user.slice/user-pool* /run/systemd/transient/user-pool* /run/systemd/system.control/* 2>/dev/null; systemctl list-units --all --no-legend 'user-pool*'")
        .stdout
}

#[track_caller]
fn assert_in_pool(machine: &Booted, user: &str, process: Process) {
    let cgroup = process.cgroup().expect("a cgroup");
    let scope = format!("{}/berth-", user_slice(machine, user));
    assert!(
        cgroup.starts_with(&scope) && cgroup.ends_with(".scope"),
        "{cgroup}"
    );
}

fn two_users_of_a_pool_are_held_together_under_systemd(machine: &Booted) {
    machine.berth("sshd", &policy("pool = \"cs-101\""));
    let before = machine.settled();
    assert_eq!(left(machine), "");
    // Whomever the kernel kills, this login keeps the pool, so that its events can be read.
    let (stays, sleep) = machine.stay("bob");
    assert_in_pool(machine, "bob", sleep);
    becomes(|| machine.sessions(), ["bob"]);
    let bob = user_slice(machine, "bob");
    let caps = || {
        [
            machine.of_cgroup(POOL, "memory.max"),
            machine.of_cgroup(POOL, "pids.max"),
            machine.of_cgroup(&bob, "memory.max"),
            machine.of_user("bob", "memory.max"),
        ]
    };
    let wanted = ["67108864", "max", "62914560", "62914560"];
    assert_eq!(caps(), wanted);
    let hold = "exec berth-probe hold 40";
    let (alice, holding) = machine.background("alice", hold, "berth-probe");
    assert_in_pool(machine, "alice", holding);
    let full = || {
        machine
            .of_cgroup(POOL, "memory.current")
            .parse::<u64>()
            .is_ok_and(|now| now >= 40 << 20)
    };
    assert!(eventually(full));
    // Each alone fits.
    let eaten = machine.ssh("bob", "berth-probe eat 40");
    assert!(machine.oom_kills(POOL) >= 1, "{eaten:?}");
    assert_eq!(machine.ssh("root", "berth-probe eat 80").ok(), "ate 80 MB");
    alice.end();
    assert_eq!(machine.ssh("bob", "berth-probe eat 40").ok(), "ate 40 MB");
    machine.host("systemctl daemon-reload").ok();
    assert_eq!(caps(), wanted, "after a reload");
    let list = machine.host("berth list").ok();
    assert!(list.contains("bob") && list.contains("cs-101"), "{list}");
    let sessions = machine.host("loginctl --no-legend list-sessions").ok();
    assert!(sessions.contains("bob"), "{sessions}");
    stays.end();
    machine.assert_nothing_left(&before);
    assert_eq!(left(machine), "");
}

fn all_logins_of_a_pools_user_are_in_it_and_what_is_killed_leaves_nothing(machine: &Booted) {
    machine.berth("sshd", &policy("pool = \"cs-101\""));
    let before = machine.settled();
    // All at once are in one user's slice.
    let find = "sed -n s/^0:://p /proc/self/cgroup; sleep 3";
    let logins = std::thread::scope(|scope| {
        let login = || scope.spawn(|| machine.ssh("alice", find).ok());
        [login(), login(), login()].map(|login| login.join().expect("a login"))
    });
    for cgroup in logins {
        let slice = user_slice(machine, "alice");
        assert!(cgroup.starts_with(&slice), "{cgroup}");
    }
    for killed in ["berth-helper", "sshd"] {
        let (first, process) = machine.stay("alice");
        let (second, other) = machine.stay("alice");
        assert_in_pool(machine, "alice", process);
        assert_in_pool(machine, "alice", other);
        assert_ne!(process.cgroup(), other.cgroup());
        let mut parts = match killed {
            "sshd" => vec![process.parent().expect("sshd")],
            name => Process::named(name),
        };
        parts.truncate(1);
        parts[0].kill();
        first.end();
        second.end();
        machine.assert_nothing_left(&before);
        assert_eq!(left(machine), "", "{killed}");
    }
}

fn who_is_logged_in_stays_out_of_a_new_pool(machine: &Booted) {
    machine.berth("sshd", &policy(""));
    let before = machine.settled();
    let (first, _) = machine.stay("alice");
    machine.policy(&policy("pool = \"cs-101\""));
    let (second, process) = machine.stay("alice");
    let cgroup = process.cgroup().expect("a cgroup");
    assert!(!cgroup.contains("pool"), "{cgroup}");
    machine.logged("earlier sessions are in no pool");
    // As where a slice has gone between a login's look at it and what that asked for.
    let slices = [POOL, &user_slice(machine, "bob")].map(|path| {
        let (_, slice) = path.rsplit_once('/').expect("a path");
        format!("'{slice}'")
    });
    for slice in &slices {
        let set = format!("systemctl set-property --runtime {slice} MemoryHigh=1G");
        machine.host(&set).ok();
    }
    let session = format!("systemd-run --scope --slice={} true", slices[1]);
    machine.host(&session).ok();
    let cgroup = format!("/sys/fs/cgroup{POOL}");
    assert!(eventually(|| !Path::new(&cgroup).exists()));
    let (bob, process) = machine.stay("bob");
    assert_in_pool(machine, "bob", process);
    for slice in slices {
        let high = machine.host(&format!("systemctl show --value -p MemoryHigh {slice}"));
        assert_eq!(high.ok(), "infinity", "{slice}");
    }
    for login in [first, second, bob] {
        login.end();
    }
    machine.assert_nothing_left(&before);
    assert_eq!(left(machine), "");
}

fn a_manager_that_restarts_beside_its_users_pool_is_said_to_be_in_none(machine: &Booted) {
    // It is Berth that starts it, for the sake of other profiles.
    let namespaces = "scope = \"user\", pid = true, mount = true, user_manager = \"isolated\"";
    machine.berth("sshd", &Policy::with_namespaces(namespaces));
    machine.enable_managers();
    machine.policy(&policy("pool = \"cs-101\""));
    let before = machine.settled();
    let (login, process) = machine.stay("alice");
    assert_in_pool(machine, "alice", process);
    let unit = format!("user@{}.service", machine.uid("alice"));
    machine.host(&format!("systemctl restart {unit}")).ok();
    let list = machine.host("berth list").ok();
    let mut rows = list
        .lines()
        .map(|row| row.split_whitespace().collect::<Vec<_>>());
    let manager = rows.find(|row| row.get(2) == Some(&"systemd-user"));
    assert_eq!(manager.expect("a row")[4], "-", "its pool: {list}");
    login.end();
    machine.assert_nothing_left(&before);
    machine
        .host("berth pam disable --yes --user alice systemd-user && rm -r /var/lib/berth/pam.d")
        .ok();
}

fn a_pools_tasks_and_cpu_are_shared_and_commands_know_it(machine: &Booted) {
    let mut policy = policy("pool = \"cs-101\"");
    policy.rest = "[pool.cs-101]\ntasks_max = 24\ncpu_quota = \"20%\"\n".into();
    machine.berth("sshd", &policy);
    let before = machine.settled();
    let many = "for i in $(seq 12); do sleep 1 & done; wait";
    machine.ssh("bob", many).ok();
    let spin =
        "timeout 2 sh -c 'while :; do :; done'; for i in $(seq 12); do sleep 1000 & done; wait";
    let (alice, process) = machine.background("alice", spin, "sleep");
    assert_in_pool(machine, "alice", process);
    // What she has left is not enough for as many of bob's.
    let bob = machine.ssh("bob", many).refused();
    assert!(bob.stderr.contains("Cannot fork"), "{bob:?}");
    let stat = machine.of_cgroup(POOL, "cpu.stat");
    let throttled = stat
        .lines()
        .find_map(|line| line.strip_prefix("nr_throttled "));
    assert_ne!(throttled.unwrap_or("0"), "0", "{stat}");

    let show = machine.host("berth show alice").ok();
    assert!(
        show.contains("pool cs-101") && show.contains(&user_slice(machine, "alice")),
        "{show}"
    );
    let explain = machine.host("berth explain alice").ok();
    assert!(explain.contains("POOL CAPS    cs-101"), "{explain}");
    machine.host("berth kill --yes alice").ok();
    assert!(!process.exists());
    alice.end();
    machine.assert_nothing_left(&before);
    assert_eq!(left(machine), "");
}
