//! Berths without a user namespace, and caps without any namespace.

use berth_tests::{Door, Machine, Policy, Stack, eventually};

#[test]
fn caps_alone_leave_every_namespace_as_it_was() {
    Machine::run(|machine| {
        machine.policy(&Policy::with_namespaces("user = \"off\""));
        let look = "for kind in user pid ipc mnt; do readlink /proc/self/ns/$kind; done";
        let outside = machine.host(look).ok();
        for door in Door::ALL {
            assert_eq!(machine.through(door, "alice", look), outside, "{door:?}");
            let cgroup = machine.through(door, "alice", "grep ^0:: /proc/self/cgroup");
            assert!(cgroup.contains("/berth/user-"), "{door:?}: {cgroup}");
        }
    });
}

/// The module twice, as pam_selinux stands: first to close, last to open.
fn around(inner: &str) -> Stack {
    let stack = Stack::default();
    Stack {
        before: format!("session required {} close\n{inner}", stack.module()),
        arguments: "open".into(),
        ..stack
    }
}

#[test]
fn no_setuid_program_works_in_a_private_tmp() {
    Machine::run(|machine| {
        machine.stack(&around(""));
        let uid = machine.uid("alice");
        for tmp in ["64M", "disk"] {
            machine.policy(&Policy::with_namespaces(&format!(
                "pid = true, ipc = true, mount = true, private_tmp = \"{tmp}\""
            )));
            let (login, inside) = machine.stay("alice");
            // Where one does work, so that this would see it.
            for (place, euid) in [("/home", 0), ("/tmp", uid), ("/var/tmp", uid)] {
                let there = format!("/proc/{}/root{place}/as-root", inside.0);
                let run = format!(
                    "cp /berth/berth-probe {there} && chmod 4755 {there} && \
                     nsenter -t {} -m setpriv --reuid={uid} --regid={uid} --clear-groups \
                     {place}/as-root who",
                    inside.0
                );
                let said = machine.host(&run).ok();
                assert_eq!(
                    said,
                    format!("uid {uid} euid {euid} egid {uid}"),
                    "{tmp}, {place}"
                );
            }
            login.end();
        }
    });
}

#[test]
fn setuid_programs_work_without_a_user_namespace() {
    Machine::run(|machine| {
        machine.policy(&Policy::with_namespaces(
            "pid = true, ipc = true, mount = true, private_tmp = \"16M\"",
        ));
        machine.stack(&around(""));
        machine
            .host("cp /berth/berth-probe /berth/as-root && chmod 4755 /berth/as-root")
            .ok();
        let uid = machine.uid("alice");
        for door in Door::ALL {
            let said = machine.through(door, "alice", "/berth/as-root who; cat /proc/1/comm");
            assert_eq!(
                said,
                format!("uid {uid} euid 0 egid {uid}\nberth-init"),
                "{door:?}"
            );
        }
    });
}

/// Not even where its setuid bit works: who may use it has to be exempt to get out.
#[test]
fn sudo_stays_in_the_berth() {
    Machine::run(|machine| {
        machine.policy(&Policy::with_namespaces(
            "pid = true, ipc = true, mount = true, private_tmp = \"16M\"",
        ));
        machine
            .host("echo 'alice ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers && chmod 440 /etc/sudoers")
            .ok();
        let look = "for kind in pid ipc mnt; do readlink /proc/self/ns/$kind; done; \
                    sed -n s/^0:://p /proc/self/cgroup";
        let said = machine.ssh(
            "alice",
            &format!("{look}; sudo -n sh -c '{look}'; sudo -n id -u"),
        );
        let said = said.ok();
        let lines: Vec<&str> = said.lines().collect();
        assert_eq!(lines.len(), 9, "{said}");
        assert_eq!(lines[8], "0");
        assert_eq!(lines[..4], lines[4..8]);
        let outside = machine.host(look).ok();
        let is_outside = |line: &&str| outside.contains(*line);
        assert!(!lines[..8].iter().any(is_outside), "{said}");
    });
}

#[test]
fn other_modules_clean_up_on_the_host_when_the_module_closes_first() {
    Machine::run(|machine| {
        machine.policy(&Policy::with_namespaces(
            "pid = true, ipc = true, mount = true",
        ));
        // As pam_mount does: a mount of the login's, undone at its end.
        std::fs::write(
            "/root/mounter",
            "#!/bin/sh\ncase $PAM_TYPE in\nopen_session) mount -t tmpfs none /mnt;;\n\
             close_session) umount /mnt; readlink /proc/self/ns/mnt >/root/closed-in;;\nesac\n",
        )
        .unwrap();
        machine.host("chmod 755 /root/mounter").ok();
        machine.stack(&around("session required pam_exec.so /root/mounter"));
        let before = machine.settled();
        let host = machine.host("readlink /proc/self/ns/mnt").ok();
        for door in [Door::Ssh, Door::Su, Door::SuLogin, Door::Login] {
            let inside = machine.through(
                door,
                "alice",
                "readlink /proc/self/ns/mnt; mountpoint -q /mnt && echo mounted",
            );
            assert!(
                inside.ends_with("mounted") && !inside.contains(&host),
                "{door:?}: {inside}"
            );
            let closed = || std::fs::read_to_string("/root/closed-in").unwrap_or_default();
            assert!(
                eventually(|| closed().trim() == host),
                "{door:?}: {}",
                closed()
            );
            machine.assert_nothing_left(&before);
            machine.host("rm /root/closed-in").ok();
        }
    });
}
