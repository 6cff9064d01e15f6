//! A reboot, with everything on the machine that a session has.

use berth_tests::{Booted, Policy, Process};

use super::BootedCase;

pub const CASES: &[BootedCase] = cases! {
    a_reboot_ends_sessions_and_leaves_what_an_admin_has_set
};

/// The last case of its machine: the first half sets things up and reboots, the second one looks.
fn a_reboot_ends_sessions_and_leaves_what_an_admin_has_set(machine: &Booted) {
    match Booted::is_rebooted() {
        false => before(machine),
        true => after(machine),
    }
}

fn before(machine: &Booted) -> ! {
    machine
        .host("mkdir -p /var/log/journal && journalctl --flush; logger the reboot begins")
        .ok();
    let mut policy = Policy::with_namespaces(
        "scope = \"user\", user = \"identity\", pid = true, mount = true, private_tmp = \"disk\"",
    );
    policy.profile = "user = { tasks_max = 60 }\nlogout = { linger = \"infinity\" }".into();
    machine.policy(&policy);
    machine
        .host("berth reload && berth pam enable --yes sshd")
        .ok();
    machine
        .host("berth set alice tasks_max=70 --for 1d --reason thesis")
        .ok();
    machine
        .ssh(
            "alice",
            "echo x >/tmp/x; setsid nohup sleep 1000 >/dev/null 2>&1 &",
        )
        .ok();
    let (_login, _) = machine.stay("bob");
    let folders = machine.host("ls /var/lib/berth/tmp").ok();
    assert_eq!(folders.lines().count(), 2, "{folders}");
    machine.reboot();
}

fn after(machine: &Booted) {
    // What systemd had to kill, it says.
    let log = machine
        .host("journalctl --boot=-1 --no-pager --output=cat | sed '1,/the reboot begins/d'")
        .ok();
    assert!(
        log.contains("open session=") && log.contains("Stopped ssh.service"),
        "{log}"
    );
    let killed: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("timed out"))
        .collect();
    assert!(killed.is_empty(), "{killed:?}");
    assert!(Process::named("berth-helper").is_empty());
    let listed = machine.host("berth list").ok();
    assert!(listed.ends_with("\n0 sessions, 0 users."), "{listed}");
    let folders = || machine.host("ls /var/lib/berth/tmp").ok();
    assert_eq!(folders(), "");
    // The first logins since. Ids begin anew, and what had them before is gone.
    let leave = "ls /tmp; cat /proc/1/comm; setsid sleep 1000 >/dev/null 2>&1 &";
    assert_eq!(machine.ssh("alice", leave).ok(), "berth-init");
    assert_eq!(folders(), "1");
    assert_eq!(machine.of_user("alice", "pids.max"), "70");
    let shown = machine.host("berth show alice").ok();
    assert!(
        shown.contains("\nException: tasks_max 70 until "),
        "{shown}"
    );
    let (login, _) = machine.stay("bob");
    assert_eq!(machine.of_user("bob", "pids.max"), "60");
    login.end();
}
