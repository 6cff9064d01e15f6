//! Logins where SELinux is enforcing.

use berth_tests::{Booted, Policy};

use super::BootedCase;

pub const CASES: &[BootedCase] = cases! {
    without_the_policy_module_users_are_refused_and_root_is_not
    with_the_policy_module_enforcing_logins_have_their_berths
};

/// Permissive again with this.
struct Enforcing<'a>(&'a Booted);

impl<'a> Enforcing<'a> {
    fn on(machine: &'a Booted) -> Enforcing<'a> {
        machine
            .host("restorecon -R /etc /root /home; setenforce 1")
            .ok();
        Enforcing(machine)
    }
}

impl Drop for Enforcing<'_> {
    fn drop(&mut self) {
        self.0.host("setenforce 0");
    }
}

fn policy(namespaces: &str) -> Policy {
    Policy {
        profile: "user = { memory_max = \"200M\" }\nlogout = { grace = \"1s\" }".into(),
        ..Policy::with_namespaces(&format!(
            "pid = true, ipc = true, mount = true, {namespaces}"
        ))
    }
}

fn without_the_policy_module_users_are_refused_and_root_is_not(machine: &Booted) {
    machine.host("semodule --remove berth; restorecon -R /usr/libexec /run/berth /var/lib/berth");
    machine.berth("sshd", &policy("user = \"identity\""));
    let _enforcing = Enforcing::on(machine);
    assert!(!machine.ssh("alice", "true").success());
    machine.logged("the login is refused (on_error = deny)");
    assert!(machine.ssh("root", "true").success());
    let doctor = machine.host("berth doctor").stdout;
    assert!(
        doctor.contains("SELinux is enforcing and Berth's policy module is not in"),
        "{doctor}"
    );
}

fn with_the_policy_module_enforcing_logins_have_their_berths(machine: &Booted) {
    let install = "semodule --install /host/berth.pp && \
                   restorecon -RF /usr/libexec/berth-helper /run/berth* /var/lib/berth";
    machine.host(install).ok();
    machine.berth("sshd", &policy(""));
    let before = machine.settled();
    let enforcing = Enforcing::on(machine);
    let contexts = "id -Z; for file in /proc/1 /tmp /var/tmp; do ls -dZ $file; done; touch /tmp/new && ls -Z /tmp/new";
    for with_account in [true, false] {
        if !with_account {
            // Then the session's line starts the helper, after pam_selinux's.
            machine
                .host("sed -i '/^account.*pam_berth/d' /etc/pam.d/sshd")
                .ok();
        }
        for namespaces in [
            "private_tmp = \"disk\"",
            "user = \"identity\", private_tmp = \"disk\"",
            "user = \"identity\", private_tmp = \"16M\", user_manager = \"hidden\"",
        ] {
            machine.policy(&policy(namespaces));
            let said = machine.ssh("alice", contexts).ok();
            let types: Vec<_> = said
                .lines()
                .filter_map(|line| line.split(':').nth(2))
                .collect();
            let expected = [
                "unconfined_t",
                "berth_helper_t",
                "tmp_t",
                "tmp_t",
                "user_tmp_t",
            ];
            assert_eq!(types, expected, "{namespaces}: {said}");
        }
    }
    // An upgrade of the policy module leaves the files of who is logged in alone.
    machine.policy(&policy("private_tmp = \"disk\""));
    let command = "touch /tmp/new; exec sleep 1000";
    let (login, sleep) = machine.background("alice", command, "sleep");
    machine.host(install).ok();
    let look = format!("ls -dZ /proc/{0}/root/tmp /proc/{0}/root/tmp/new", sleep.0);
    let look = machine.host(&look).ok();
    assert!(
        look.contains(":tmp_t:") && look.contains(":user_tmp_t:"),
        "{look}"
    );
    login.end();
    drop(enforcing);
    machine.assert_nothing_left(&before);
}
