//! What one session cannot see of the host, nor of another session of the same user.

use berth_tests::{Door, Machine, Policy, Stack, eventually};

#[test]
fn system_v_objects_of_the_host_and_of_another_login_are_invisible() {
    Machine::run(|machine| {
        machine.host("ipcmk -M 4096; ipcmk -S 1; ipcmk -Q").ok();
        let count =
            "cat /proc/sysvipc/shm /proc/sysvipc/sem /proc/sysvipc/msg | grep -vc key; true";
        assert_eq!(machine.host(count).ok(), "3", "outside there are three");
        let mut other = machine.ssh_terminal("alice");
        other.run("ipcmk -M 4096; ipcmk -S 1; ipcmk -Q");
        assert_eq!(other.run(count), "3", "its own");
        for door in Door::ALL {
            assert_eq!(machine.through(door, "alice", count), "0", "{door:?}");
        }
        assert_eq!(machine.host(count).ok(), "3", "the host's are still there");
    });
}

#[test]
fn message_queues_of_the_host_and_of_another_login_are_invisible() {
    Machine::run(|machine| {
        machine
            .host("touch /dev/mqueue/of-the-host; chmod 666 /dev/mqueue/of-the-host")
            .ok();
        let look = machine.probe("queue-exists /of-the-host");
        assert_eq!(machine.host(&look).ok(), "done", "outside it is there");
        let mut other = machine.ssh_terminal("alice");
        other.run("touch /dev/mqueue/of-a-login");
        assert_eq!(other.run("ls /dev/mqueue"), "of-a-login");
        for door in Door::ALL {
            assert_eq!(machine.through(door, "alice", &look), "ENOENT", "{door:?}");
            let look = machine.probe("queue-exists /of-a-login");
            assert_eq!(machine.through(door, "alice", &look), "ENOENT", "{door:?}");
            assert_eq!(
                machine.through(door, "alice", "ls -A /dev/mqueue"),
                "",
                "{door:?}"
            );
        }
    });
}

#[test]
fn private_directories_are_empty_and_stay_inside() {
    Machine::run(|machine| {
        for directory in ["/tmp", "/var/tmp", "/dev/shm"] {
            std::fs::write(format!("{directory}/of-the-host"), "").unwrap();
            for door in Door::ALL {
                let command = format!(
                    "ls -A {directory}; echo x >{directory}/of-alice; stat -c %a {directory}"
                );
                let said = machine.through(door, "alice", &command);
                assert_eq!(said, "1777", "{door:?} {directory}");
            }
            let there = machine.host(&format!("ls -A {directory}")).ok();
            assert_eq!(there, "of-the-host");
        }
    });
}

#[test]
fn a_private_tmp_and_shm_have_the_sizes_that_the_policy_says() {
    Machine::run(|machine| {
        machine.policy(&Policy::with_namespaces(
            r#"user = "identity", pid = true, mount = true, private_tmp = "16M", private_shm = "8M""#,
        ));
        let fill = "dd if=/dev/zero of=/tmp/full bs=1M count=100 2>/dev/null; stat -c %s /tmp/full";
        let size: u64 = machine.ssh("alice", fill).ok().parse().unwrap();
        assert!((15 << 20..=16 << 20).contains(&size), "{size}");
        let fill_shm = fill.replace("/tmp", "/dev/shm");
        let size: u64 = machine.ssh("alice", &fill_shm).ok().parse().unwrap();
        assert!((7 << 20..=8 << 20).contains(&size), "{size}");
        machine.policy(&Policy::with_namespaces(
            r#"user = "identity", pid = true, mount = true, private_tmp = "disk""#,
        ));
        let size: u64 = machine.ssh("alice", fill).ok().parse().unwrap();
        assert_eq!(size, 100 << 20);
        let kept = || machine.host("find /var/lib/berth -name full").ok();
        assert!(eventually(|| kept().is_empty()), "{}", kept());
    });
}

/// An extended attribute is all there is to see of it on a kernel without SELinux.
#[test]
fn what_covers_a_folder_of_the_host_has_its_selinux_context() {
    Machine::run(|machine| {
        machine.host("mkdir -p /run/user").ok();
        let folders = ["/tmp", "/var/tmp", "/run/user"];
        let look = folders.map(|folder| {
            let context = format!("system_u:object_r:type_of{}:s0", folder.replace('/', "_"));
            let name = "security.selinux";
            machine
                .host(&format!("setfattr -n {name} -v {context} {folder}"))
                .ok();
            format!("getfattr --only-values --absolute-names -n {name} {folder}; echo; ")
        });
        let look = look.concat();
        let on_the_host = machine.host(&look).ok();
        for private_tmp in ["16M", "disk"] {
            machine.policy(&Policy::with_namespaces(&format!(
                r#"user = "identity", pid = true, mount = true, user_manager = "hidden", private_tmp = "{private_tmp}""#
            )));
            assert_eq!(
                machine.ssh("alice", &look).ok(),
                on_the_host,
                "{private_tmp}"
            );
        }
    });
}

#[test]
fn a_runtime_folder_beside_a_hidden_manager_holds_a_tenth_of_the_memory_at_most() {
    Machine::run(|machine| {
        machine.host("mkdir -p /run/user").ok();
        machine.policy(&Policy::with_namespaces(
            r#"user = "identity", pid = true, mount = true, user_manager = "hidden""#,
        ));
        let uid = machine.uid("alice");
        let look = format!("stat -f -c '%T %b %S' /run/user /run/user/{uid}");
        let said = machine.ssh("alice", &look).ok();
        let sizes: Vec<u64> = said
            .lines()
            .map(|line| {
                let fields = line.strip_prefix("tmpfs ").expect(line);
                let (blocks, size) = fields.split_once(' ').expect(line);
                blocks.parse::<u64>().unwrap() * size.parse::<u64>().unwrap()
            })
            .collect();
        let memory = machine.host("sed -n 's/^MemTotal: *\\([0-9]*\\) kB/\\1/p' /proc/meminfo");
        let tenth = memory.ok().parse::<u64>().unwrap() * 1024 / 10;
        assert!(sizes[0] <= 16 << 10, "{said}");
        assert!((tenth / 2..=tenth + 4096).contains(&sizes[1]), "{said}");
    });
}

#[test]
fn names_that_the_policy_keeps_are_the_hosts() {
    Machine::run(|machine| {
        machine.policy(&Policy::with_namespaces(
            r#"user = "identity", pid = true, mount = true, private_tmp = "16M", tmp_keep = [".X11-unix"]"#,
        ));
        machine
            .host("mkdir -m 1777 /tmp/.X11-unix; touch /tmp/.X11-unix/X0 /tmp/other")
            .ok();
        assert_eq!(
            machine.ssh("alice", "find /tmp -type f").ok(),
            "/tmp/.X11-unix/X0"
        );
    });
}

#[test]
fn the_proc_of_a_berth_runs_no_program_and_has_no_devices() {
    Machine::run(|machine| {
        for door in Door::ALL {
            let said =
                machine.through(door, "alice", "findmnt --noheadings --output OPTIONS /proc");
            for option in ["nosuid", "nodev", "noexec"] {
                assert!(said.contains(option), "{door:?}: {said}");
            }
        }
    });
}

#[test]
fn what_the_host_mounts_later_appears_inside_and_nothing_the_other_way() {
    Machine::run(|machine| {
        let mounts = machine.host("cat /proc/self/mountinfo").ok();
        let mut login = machine.ssh_terminal("alice");
        assert_eq!(login.run("ls /mnt"), "");
        assert_eq!(machine.host("cat /proc/self/mountinfo").ok(), mounts);
        machine
            .host("mount -t tmpfs none /mnt && touch /mnt/late")
            .ok();
        assert_eq!(login.run("ls /mnt"), "late");
        machine.host("umount /mnt").ok();
        assert_eq!(login.run("ls /mnt"), "");
    });
}

/// A chroot's, say. With slave propagation it comes in like every other mount of the host's.
#[test]
fn a_proc_that_the_host_mounts_later_stays_out_with_private_propagation() {
    Machine::run(|machine| {
        machine.host("mkdir -p /srv/chroot/proc").ok();
        for (propagation, comes_in) in [("slave", true), ("private", false)] {
            machine.policy(&Policy::with_namespaces(&format!(
                r#"user = "identity", pid = true, mount = true, propagation = "{propagation}""#
            )));
            machine
                .host("mount -t tmpfs none /mnt && touch /mnt/early")
                .ok();
            let mut login = machine.ssh_terminal("alice");
            assert_eq!(login.run("ls /srv/chroot/proc"), "");
            // Nor does what the host unmounts go.
            machine.host("umount /mnt").ok();
            let early = if comes_in { "" } else { "early" };
            assert_eq!(login.run("ls /mnt"), early, "{propagation}");
            machine.host("mount -t proc proc /srv/chroot/proc").ok();
            let seen = login.run("cat /srv/chroot/proc/1/comm 2>/dev/null");
            assert_eq!(seen == "login-machine", comes_in, "{propagation}: {seen}");
            // What comes in shows processes, and leads to none: not even to the user's own outside.
            let (other, process) = machine.stay("alice");
            let there = format!("/srv/chroot/proc/{}", process.0);
            let reach = format!(
                "ls {there}/root/ {there}/cwd/; cat {there}/exe {there}/environ {there}/fd/*"
            );
            assert_eq!(login.run(&format!("({reach}) 2>/dev/null | wc -c")), "0");
            other.end();
            machine.host("umount /srv/chroot/proc").ok();
            login.send("exit");
            login.wait();
        }
    });
}

#[test]
fn another_login_of_the_same_user_cannot_be_signalled_or_traced() {
    Machine::run(|machine| {
        let (login, victim) = machine.stay("alice");
        let count = machine.processes_of("alice").len();
        // By every number that a process could have, on the host or in its own namespace.
        let victim = victim.0;
        let kill = format!(
            "for pid in $(seq 1 40) {victim}; do [ $pid = $$ ] || kill -TERM $pid; done 2>/dev/null; strace -p {victim} 2>&1; true"
        );
        let said = machine.su("alice", &kill).ok();
        assert!(said.contains("No such process"), "{said}");
        assert_eq!(machine.processes_of("alice").len(), count);
        login.end();
    });
}

#[test]
fn a_secret_in_the_keyring_of_before_is_out_of_reach() {
    Machine::run(|machine| {
        // pam_keyinit makes a session keyring, which the login would go on to have.
        std::fs::write(
            "/root/secret",
            "#!/bin/sh\nkeyctl add user secret of-the-host @s\n",
        )
        .unwrap();
        machine.host("chmod 755 /root/secret").ok();
        let read = "keyctl print %user:secret 2>&1; keyctl show @s 2>&1";
        // Some distributions have it after Berth's line, where it links the user's keyring.
        let uid = machine.uid("alice");
        let outside = format!("setpriv --reuid={uid} --regid={uid} --clear-groups keyctl");
        machine
            .host(&format!("{outside} add user outside of-the-user @u"))
            .ok();
        for after in ["", "session required pam_keyinit.so force revoke"] {
            machine.stack(&Stack {
                before: "session required pam_keyinit.so force\nsession required pam_exec.so /root/secret"
                    .into(),
                after: after.into(),
                ..Stack::default()
            });
            for door in Door::ALL {
                let read = format!("{read}; keyctl print %user:outside 2>&1; true");
                let said = machine.through(door, "alice", &read);
                let is_in_reach = ["of-the-host", "secret\n", "of-the-user"]
                    .iter()
                    .any(|secret| said.contains(secret));
                assert!(!is_in_reach, "{door:?}, {after}: {said}");
            }
        }
        // Without Berth it can be read: the stack is what the test says it is.
        machine.policy_text("version = 1\n[[rule]]\nname = \"none\"\naction = \"exempt\"\n");
        let said = machine.ssh("root", read).ok();
        assert!(said.contains("of-the-host"), "{said}");
        let said = machine.ssh("alice", "keyctl print %user:outside").ok();
        assert_eq!(said, "of-the-user");
    });
}

#[test]
fn keys_of_one_login_are_not_those_of_another() {
    Machine::run(|machine| {
        let mut first = machine.ssh_terminal("alice");
        let mut second = machine.ssh_terminal("alice");
        first.run("keyctl add user mine of-the-first @s");
        assert!(
            first
                .run("keyctl print %user:mine")
                .contains("of-the-first")
        );
        let said = second.run("keyctl print %user:mine 2>&1");
        assert!(!said.contains("of-the-first"), "{said}");
    });
}
