//! Days on which a machine that systemd runs is short of something. Root and exempt users get in, others get what
//! `on_error` says, with a line in the log that says why.

use std::fs;

use berth_tests::{Booted, Policy};

use super::BootedCase;

pub const CASES: &[BootedCase] = cases! {
    with_the_disk_full_a_private_tmp_is_in_memory
    with_namespaces_forbidden_on_error_decides_under_systemd
    with_no_bus_and_no_logind_everybody_gets_what_the_policy_says
};

pub const CASES_WITHOUT_CONTROLLERS: &[BootedCase] = cases! {
    with_no_memory_for_the_helper_on_error_decides
};

const BERTH: &str = "user = \"identity\", pid = true, ipc = true, mount = true";

/// bob is exempt.
fn policy(namespaces: &str, answer: &str) -> Policy {
    Policy {
        rest: "[exempt]\nusers = [\"bob\"]".into(),
        ..Policy::with_namespaces(namespaces)
    }
    .on_error(answer)
}

/// Logs everybody in under both answers, while something is wrong. `why` is what the log has to say.
#[track_caller]
fn assert_as_on_error_says(machine: &Booted, namespaces: &str, why: &str) {
    for answer in ["deny", "allow"] {
        machine.policy(&policy(namespaces, answer));
        let login = machine.ssh("alice", "cat /proc/1/comm");
        // Where a login is refused sshd shows the message of the day all the same.
        let is_in = login.stdout.ends_with("systemd");
        assert_eq!(is_in, (answer == "allow"), "{login:?}");
        let log = machine.log();
        let mut lines = log.lines();
        let last = lines.rfind(|line| line.contains("user=alice"));
        let last = last.unwrap_or_default();
        assert!(
            last.contains("result=error") && last.contains(why),
            "{answer}: {last}"
        );
    }
    machine.policy(&policy(namespaces, "deny"));
    for user in ["root", "bob"] {
        let login = machine.ssh(user, "cat /proc/1/comm");
        assert_eq!(login.ok(), "systemd", "{user}");
    }
}

fn with_the_disk_full_a_private_tmp_is_in_memory(machine: &Booted) {
    let on_disk = format!("{BERTH}, private_tmp = \"disk\"");
    machine.berth("sshd", &policy(&on_disk, "deny"));
    let before = machine.settled();
    // The policies of this case come when there is no room for them.
    machine
        .host("mount -t tmpfs -o size=1M policy /etc/berth")
        .ok();
    machine.policy(&policy(&on_disk, "deny"));
    // The package made the folder; what is below it takes a block.
    machine.host("for size in 64M 1M 4k; do i=0; while fallocate -l $size /full-$size-$i; do i=$((i+1)); done; done").ok();
    assert!(
        !machine.host("mkdir /var/lib/berth/more").success(),
        "it is not full"
    );
    let login = machine.ssh("alice", "cat /proc/1/comm; echo x >/tmp/x && cat /tmp/x");
    assert_eq!(login.ok(), "berth-init\nx");
    machine.logged("not_enforced=\"private_tmp is 16M of memory, and not the disk: cannot create");
    machine.host("rm /full-*; umount /etc/berth").ok();
    machine.assert_nothing_left(&before);
}

fn with_no_memory_for_the_helper_on_error_decides(machine: &Booted) {
    machine.berth("sshd", &policy(BERTH, "deny"));
    let helper = machine.helper("ulimit -v 2000\nexec /usr/libexec/berth-helper \"$@\"");
    let before = machine.settled();
    let set = |answer: &str| {
        let edit = format!("s/ on_error=[a-z]*//; s/pam_berth.so/& on_error={answer}/");
        machine
            .host(&format!("sed -i '{edit}' /etc/pam.d/sshd"))
            .ok();
    };
    let is_in = |user: &str| {
        let login = machine.ssh(user, "cat /proc/1/comm");
        login.stdout.ends_with("systemd")
    };
    set("deny");
    // Whom a policy that stands on the line exempts only the helper knows.
    assert_eq!(["alice", "bob", "root"].map(is_in), [false, false, true]);
    set("allow");
    assert!(is_in("alice"));
    let log = machine.log();
    let told = |line: &&str| line.contains(helper) && line.contains("on_error = deny");
    assert!(log.lines().any(|line| told(&line)), "{log}");
    machine.assert_nothing_left(&before);
}

fn with_namespaces_forbidden_on_error_decides_under_systemd(machine: &Booted) {
    machine.berth("sshd", &policy(BERTH, "deny"));
    let before = machine.settled();
    let setting = "/proc/sys/user/max_user_namespaces";
    let old = fs::read_to_string(setting).expect("a limit");
    fs::write(setting, "0").expect("a limit");
    assert_as_on_error_says(machine, BERTH, "user.max_user_namespaces");
    fs::write(setting, old).expect("a limit");
    machine.assert_nothing_left(&before);
    machine.policy(&policy(BERTH, "deny"));
    assert_eq!(machine.ssh("alice", "cat /proc/1/comm").ok(), "berth-init");
}

/// What emergency.target leaves of a machine, but for its shell, in which PAM has no part. sshd is there to get in by.
fn with_no_bus_and_no_logind_everybody_gets_what_the_policy_says(machine: &Booted) {
    let mut capped = policy(BERTH, "deny");
    capped.profile = "user = { memory_max = \"100M\" }\nlogout = { grace = \"1s\" }".into();
    machine.berth("sshd", &capped);
    machine.settled();
    machine
        .host("systemctl stop systemd-logind.service dbus.socket dbus.service")
        .ok();
    let before = machine.settled();
    assert!(!machine.host("busctl status").success(), "the bus is there");
    let (login, sleeping) = machine.stay("alice");
    assert_ne!(
        sleeping.namespace("pid"),
        berth_tests::Process(1).namespace("pid")
    );
    let cgroup = sleeping.cgroup().expect("a cgroup");
    assert!(
        cgroup.starts_with(&format!("{}/berth-", machine.slice("alice"))),
        "{cgroup}"
    );
    assert_eq!(machine.of_user("alice", "memory.max"), "104857600");
    for user in ["root", "bob"] {
        assert_eq!(
            machine.ssh(user, "cat /proc/1/comm").ok(),
            "systemd",
            "{user}"
        );
    }
    login.end();
    machine.assert_nothing_left(&before);
    machine
        .host("systemctl start dbus.socket dbus.service systemd-logind.service")
        .ok();
}
