//! `berth apply` on who is logged in, where systemd has the caps.

use berth_tests::{Booted, Policy, becomes, eventually};

use super::BootedCase;

pub const CASES: &[BootedCase] = cases! {
    apply_brings_the_caps_of_sessions_under_systemd
    apply_has_systemd_change_caps
    a_login_leaves_memory_in_use_under_systemd
    a_timer_ends_an_exception_under_systemd
};

/// In logind's scope, and in one of Berth's.
fn apply_brings_the_caps_of_sessions_under_systemd(machine: &Booted) {
    for (pool, scope) in [("", "session-"), ("pool = \"p\"\n", "berth-")] {
        let before = machine.settled();
        let policy = |caps: &str| Policy {
            rest: "[pool.p]\n".into(),
            ..Policy::with_profile(&format!(
                "{pool}session = {{ {caps} }}\nlogout = {{ grace = \"1s\" }}"
            ))
        };
        machine.berth(
            "sshd",
            &policy("memory_max = \"64M\", tasks_max = 64, cpu_quota = \"50%\""),
        );
        let (login, _) = machine.stay("alice");
        let field = "berth list --json | grep -m1 '\"cgroup\"' | cut -d '\"' -f 4";
        let cgroup = machine.host(field).ok();
        assert!(
            cgroup.rsplit('/').next().unwrap().starts_with(scope),
            "{cgroup}"
        );
        let has = |file: &str, value: &str| machine.of_cgroup(&cgroup, file) == value;
        assert!(has("memory.max", "67108864") && has("pids.max", "64"));
        assert_eq!(machine.host("berth apply").ok(), "0 users changed");

        machine.berth("sshd", &policy("memory_max = \"128M\", cpu_weight = 50"));
        let look = machine.host("berth apply --dry-run").ok();
        assert!(look.contains("  memory_max 64M -> 128M\n"), "{look}");
        assert!(has("memory.max", "67108864"), "it was only a look");
        let told = machine.host("berth apply").ok();
        for change in [
            "memory_max 64M -> 128M",
            "cpu_weight 100 -> 50",
            "tasks_max 64 -> infinity",
            "cpu_quota 50% -> infinity",
        ] {
            assert!(told.contains(&format!("  {change}\n")), "{change}: {told}");
        }
        assert!(told.ends_with("0 users and 1 session changed"), "{told}");
        // What the policy no longer says is gone, and does not come back.
        let is_so = || {
            let unset = has("pids.max", "max") && has("cpu.max", "max 100000");
            unset && has("memory.max", "134217728") && has("cpu.weight", "50")
        };
        assert!(eventually(is_so), "{told}");
        machine.host("systemctl daemon-reload").ok();
        assert_eq!(machine.host("berth apply").ok(), "0 users changed");
        assert!(is_so());
        login.end();
        machine.assert_nothing_left(&before);
    }
}

fn apply_has_systemd_change_caps(machine: &Booted) {
    let before = machine.settled();
    machine.berth(
        "sshd",
        &Policy::with_user_caps("memory_max = \"256M\", cpu_weight = 50, tasks_max = 64"),
    );
    let apply = || machine.host("berth apply --helper /usr/libexec/berth-helper");
    let (login, _) = machine.stay("alice");
    assert_eq!(apply().ok(), "0 users changed");
    machine.berth(
        "sshd",
        &Policy::with_user_caps("memory_max = \"512M\", cpu_quota = \"50%\""),
    );
    let told = apply().ok();
    assert!(told.contains("memory_max 256M -> 512M"), "{told}");
    assert_eq!(machine.of_user("alice", "memory.max"), "536870912");
    assert_eq!(machine.of_user("alice", "cpu.max"), "50000 100000");
    // What the policy no longer says is as it was before the login.
    becomes(|| machine.of_user("alice", "cpu.weight"), "100");
    assert_eq!(
        machine.drop_ins("alice"),
        ["50-CPUQuota.conf", "50-MemoryMax.conf"]
    );
    machine.host("systemctl daemon-reload").ok();
    assert_eq!(machine.of_user("alice", "memory.max"), "536870912");
    assert_eq!(apply().ok(), "0 users changed");
    login.end();
    machine.assert_nothing_left(&before);
}

fn a_login_leaves_memory_in_use_under_systemd(machine: &Booted) {
    let before = machine.settled();
    let caps =
        |max: &str| Policy::with_user_caps(&format!("memory_max = \"{max}\", memory_swap_max = 0"));
    machine.berth("sshd", &caps("256M"));
    let (holder, held) = machine.background("alice", "berth-probe hold 60", "berth-probe");
    let full = || {
        let now = machine.of_user("alice", "memory.current");
        now.parse().is_ok_and(|now: u64| now >= 60 << 20)
    };
    assert!(eventually(full));
    machine.berth("sshd", &caps("32M"));
    let (login, _) = machine.stay("alice");
    assert_eq!(machine.of_user("alice", "memory.max"), "268435456");
    assert!(held.exists());
    holder.end();
    login.end();
    machine.assert_nothing_left(&before);
    // What was read from files is no use.
    machine.berth("sshd", &caps("256M"));
    let (login, _) = machine.stay("alice");
    let read = "dd if=/dev/zero of=file bs=1M count=60 && sync && cat file >/dev/null";
    machine.ssh("alice", read).ok();
    assert!(full());
    machine.berth("sshd", &caps("32M"));
    assert_eq!(machine.ssh("alice", "rm file; echo in").ok(), "in");
    assert_eq!(machine.of_user("alice", "memory.max"), "33554432");
    assert_eq!(machine.oom_kills(&machine.slice("alice")), 0);
    login.end();
    machine.assert_nothing_left(&before);
    // Where nothing is in use, it comes.
    let (login, _) = machine.stay("alice");
    assert_eq!(machine.of_user("alice", "memory.max"), "33554432");
    login.end();
    machine.assert_nothing_left(&before);
}

/// In a pool, whose slices are Berth's.
fn a_timer_ends_an_exception_under_systemd(machine: &Booted) {
    let before = machine.settled();
    let mut policy = Policy::with_user_caps("memory_max = \"256M\"");
    policy.profile += "\npool = \"p\"";
    policy.rest = "[pool.p]\nmemory_max = \"1G\"".into();
    machine.berth("sshd", &policy);
    let (login, _) = machine.stay("alice");
    let uid = machine.uid("alice");
    let slice = format!("/user.slice/user-pool_p.slice/user-pool_p-{uid}.slice");
    let max = || machine.of_cgroup(&slice, "memory.max");
    assert_eq!(max(), "268435456");
    let set = "berth set alice memory_max=512M tasks_max=99 --for";
    machine.host(&format!("{set} 1h")).ok();
    assert_eq!(max(), "536870912");
    assert_eq!(machine.of_user("alice", "memory.max"), "536870912");
    assert_eq!(machine.of_cgroup(&slice, "pids.max"), "99");
    // Each minute, from the boot on. What it then starts is started here, so that nobody waits for it.
    let next = "systemctl show --property=ActiveState,NextElapseUSecRealtime berth-due.timer";
    let next = machine.host(next).ok();
    assert!(
        next.contains("ActiveState=active") && !next.ends_with('='),
        "{next}"
    );
    machine.host(&format!("{set} 1s")).ok();
    std::thread::sleep(std::time::Duration::from_secs(2));
    machine.host("systemctl start berth-due.service").ok();
    let said = machine.host("systemctl status berth-due.service");
    assert_eq!(max(), "268435456", "{said:?}");
    becomes(|| machine.of_cgroup(&slice, "pids.max"), "max");
    becomes(|| machine.of_user("alice", "memory.max"), "268435456");
    login.end();
    machine.assert_nothing_left(&before);
}
