//! What a session cannot gain.

use berth_tests::left_calls::{ALLOW, ARCHITECTURES, ENOSYS, Filters, KILL};
use berth_tests::{Door, Machine, Policy, Process, Stack, eventually};

#[test]
fn a_setuid_program_gains_nothing() {
    Machine::run(|machine| {
        machine
            .host("cp /berth/berth-probe /berth/as-root && chmod 6755 /berth/as-root")
            .ok();
        let uid = machine.uid("alice");
        // Outside it does gain something: the test would see it.
        let outside = machine.host(&format!(
            "setpriv --reuid={uid} --regid={uid} --clear-groups /berth/as-root who"
        ));
        assert_eq!(outside.ok(), format!("uid {uid} euid 0 egid 0"));
        for door in Door::ALL {
            let said = machine.through(door, "alice", "/berth/as-root who");
            assert_eq!(said, format!("uid {uid} euid {uid} egid {uid}"), "{door:?}");
        }
    });
}

/// Whoever could start it with more rights than their own would choose what it does with them. That it is for root only is
/// another refusal, which comes later.
#[test]
fn the_helper_refuses_privilege_that_comes_from_its_file() {
    Machine::run(|machine| {
        machine
            .host(
                "cd /berth && for copy in setuid setgid capable; do cp berth-helper $copy; done &&
                 chmod 4755 setuid && chmod 2755 setgid && setcap cap_sys_admin+ep capable",
            )
            .ok();
        let uid = machine.uid("alice");
        let as_alice = format!("setpriv --reuid={uid} --regid={uid} --clear-groups");
        for copy in ["setuid", "setgid", "capable"] {
            for word in ["", "apply", "--session"] {
                machine.forget_log();
                let said = machine.host(&format!("{as_alice} /berth/{copy} {word}"));
                let why = "refusing to run in secure mode (AT_SECURE)";
                assert_eq!(said.status.code(), Some(1), "{copy} {word}: {said:?}");
                assert!(said.stderr.contains(why), "{copy} {word}: {said:?}");
                machine.logged(why);
            }
        }
        // What privilege there is makes the difference.
        let said = machine.host(&format!("{as_alice} /berth/berth-helper"));
        assert!(said.refused().stderr.contains("only for root"));
    });
}

#[test]
fn a_session_and_its_init_have_no_capability_no_new_privileges_and_a_filter() {
    Machine::run(|machine| {
        let both = Door::ALL.map(|door| [(door, "self"), (door, "1")]);
        for (door, process) in both.into_iter().flatten() {
            let status = format!("/proc/{process}/status");
            // The init takes its filter on when it has said that it is ready.
            let look = format!(
                "for look in $(seq 100); do grep -q 'Seccomp:.2' {status} && break; sleep 0.1; done; \
                 grep -E '^(Cap|NoNewPrivs|Seccomp:)' {status}"
            );
            let said = machine.through(door, "alice", &look);
            for line in said.lines() {
                let (field, value) = line.split_once(":\t").unwrap();
                let wanted = match field {
                    "NoNewPrivs" => "1",
                    "Seccomp" => "2",
                    _ => "0000000000000000",
                };
                assert_eq!(value, wanted, "{door:?} {process} {field}");
            }
            assert_eq!(said.lines().count(), 7, "{door:?} {process}: {said}");
        }
    });
}

#[test]
fn who_keeps_a_session_has_few_capabilities_and_few_system_calls() {
    Machine::run(|machine| {
        let (_login, _) = machine.stay("alice");
        let both = Process::named("berth-helper");
        assert_eq!(both.len(), 2, "keeper and standby");
        // CAP_CHOWN, DAC_OVERRIDE, FOWNER, KILL, SYS_NICE and AUDIT_WRITE.
        let wanted = [("Seccomp", "2"), ("CapEff", "000000002080002b")];
        for (process, (field, value)) in both.into_iter().flat_map(|one| wanted.map(|w| (one, w))) {
            let is_so = || process.status(field).as_deref() == Some(value);
            assert!(eventually(is_so), "{field}: {:?}", process.status(field));
        }
        for process in Process::named("berth-helper") {
            let set = |field| process.status(field).unwrap();
            assert_eq!(set("CapPrm"), set("CapEff"));
            assert_eq!(set("CapInh"), "0000000000000000");
            assert_eq!(set("CapAmb"), "0000000000000000");
            assert_few_calls(&Filters::of(process));
        }
        for process in Process::named("berth-init") {
            assert!(eventually(
                || process.status("Seccomp").as_deref() == Some("2")
            ));
            let source = include_str!("../../helper/src/init.rs");
            assert_listed(&Filters::of(process), source, "const NEEDED", KILL);
        }
    });
}

/// Fails unless what a filter leaves are the calls of a list in the source, and all others get this answer.
#[track_caller]
fn assert_listed(filters: &Filters, source: &str, name: &str, answer: u32) -> Vec<i64> {
    let (_, list) = source.split_once(name).expect("the list");
    let (list, _) = list.split_once("];").expect("its end");
    let [own, other] = ARCHITECTURES;
    let left: Vec<i64> = (0..1024)
        .filter(|call| filters.answer(own, *call) == ALLOW)
        .collect();
    assert_eq!(left.len(), list.matches("libc::SYS_").count(), "{left:?}");
    for call in (0..1024).filter(|call| !left.contains(call)) {
        assert_eq!(filters.answer(own, call), answer, "system call {call}");
    }
    for call in 0..1024 {
        assert_eq!(filters.answer(other, call), answer, "system call {call}");
    }
    left
}

/// Fails unless what is left is what the helper lists, which execs, mounts, traces and enters nothing and changes no IDs.
#[track_caller]
fn assert_few_calls(filters: &Filters) {
    let source = include_str!("../../helper/src/privilege.rs");
    let left = assert_listed(filters, source, "const KEEPS", ENOSYS);
    for call in [
        libc::SYS_execve,
        libc::SYS_execveat,
        libc::SYS_clone,
        libc::SYS_mount,
        libc::SYS_umount2,
        libc::SYS_move_mount,
        libc::SYS_mount_setattr,
        libc::SYS_fsmount,
        libc::SYS_open_tree,
        libc::SYS_fsopen,
        libc::SYS_pivot_root,
        libc::SYS_chroot,
        libc::SYS_ptrace,
        libc::SYS_process_vm_readv,
        libc::SYS_process_vm_writev,
        libc::SYS_pidfd_getfd,
        libc::SYS_setns,
        libc::SYS_unshare,
        libc::SYS_setuid,
        libc::SYS_setgid,
        libc::SYS_setreuid,
        libc::SYS_setregid,
        libc::SYS_setfsuid,
        libc::SYS_setfsgid,
        libc::SYS_setresuid,
        libc::SYS_setresgid,
        libc::SYS_setgroups,
        libc::SYS_capset,
        libc::SYS_prctl,
        libc::SYS_seccomp,
        libc::SYS_bpf,
        libc::SYS_keyctl,
        libc::SYS_init_module,
        libc::SYS_finit_module,
        libc::SYS_delete_module,
        libc::SYS_kexec_load,
        libc::SYS_open_by_handle_at,
        libc::SYS_io_uring_setup,
    ] {
        assert!(!left.contains(&call), "system call {call}");
    }
}

#[test]
fn nested_user_namespaces_are_refused_unless_the_policy_allows_them() {
    Machine::run(|machine| {
        let uid = machine.uid("alice");
        let calls = ["unshare", "clone", "clone3"];
        for call in calls {
            let make = machine.probe(&format!("user-namespace {call}"));
            let outside = format!("setpriv --reuid={uid} --regid={uid} --clear-groups {make}");
            assert_eq!(machine.host(&outside).ok(), "done", "{call} outside");
            for door in Door::ALL {
                let said = machine.through(door, "alice", &make);
                let refused = ["EPERM", "ENOSPC", "ENOSYS"].contains(&&*said);
                assert!(refused, "{door:?} {call}: {said}");
            }
        }
        machine.policy(&Policy::with_profile(
            "privileges = { nested_userns = true }",
        ));
        for call in calls {
            let make = machine.probe(&format!("user-namespace {call}"));
            assert_eq!(
                machine.ssh("alice", &make).ok(),
                "done",
                "{call} where allowed"
            );
        }
        // Without a user namespace of its own, the filter refuses them, also where there is nothing else.
        for (namespaces, privileges) in [
            ("pid = true, mount = true", "no_new_privs = true, "),
            ("", ""),
        ] {
            machine.policy(&Policy {
                profile: format!("privileges = {{ {privileges}nested_userns = false }}"),
                ..Policy::with_namespaces(namespaces)
            });
            for call in calls {
                let make = machine.probe(&format!("user-namespace {call}"));
                let said = machine.ssh("alice", &make).ok();
                assert!(
                    ["EPERM", "ENOSYS"].contains(&&*said),
                    "{call} under the filter, {namespaces:?}: {said}"
                );
            }
        }
    });
}

#[test]
fn typing_into_the_terminal_of_root_is_refused() {
    Machine::run(|machine| {
        let type_it = machine.probe("type 'touch /root/typed'");
        let mut terminal = machine.su_terminal("alice");
        let said = terminal.run(&type_it);
        assert_eq!(said, "EPERM");
        let mut terminal = machine.ssh_terminal("alice");
        assert_eq!(terminal.run(&type_it), "EPERM");
        let mut terminal = machine.login("alice");
        assert_eq!(terminal.run(&type_it), "EPERM");
        assert!(!std::path::Path::new("/root/typed").exists());
    });
}

/// Every descriptor of a shell's, by its number, with all that is another one each time left away.
fn descriptors(machine: &mut Machine, door: Door) -> Vec<String> {
    let said = machine.through(door, "alice", "find /proc/self/fd -printf '%f %l\\n'");
    let kind = |line: &str| -> String {
        let (number, target) = line.split_once(' ').unwrap_or((line, ""));
        let is_digit = |c: char| c.is_ascii_digit();
        // A job of atd's reads itself from the spool, under a name of letters and digits.
        let target = match target.starts_with("/var/spool/cron/atjobs/") {
            true => "a job",
            false => target.split(is_digit).next().unwrap_or_default(),
        };
        format!("{number} {target}")
    };
    let mut all: Vec<String> = said.lines().map(kind).collect();
    all.sort();
    all
}

#[test]
fn no_descriptor_of_the_login_program_or_of_berth_stays_open() {
    Machine::run(|machine| {
        let inside = Door::ALL.map(|door| descriptors(machine, door));
        machine.without_berth();
        for (door, inside) in Door::ALL.into_iter().zip(inside) {
            assert!(inside.len() > 3, "{door:?}: {inside:?}");
            assert_eq!(inside, descriptors(machine, door), "{door:?}");
        }
    });
}

#[test]
fn a_session_that_the_users_own_environment_names_is_not_theirs() {
    Machine::run(|machine| {
        std::fs::write("/home/alice/environment", "BERTH_SESSION=4711\nREAD=yes\n").unwrap();
        machine.stack(&Stack {
            before: "session required pam_env.so envfile=/home/alice/environment".into(),
            ..Stack::default()
        });
        let look = "cat /proc/1/comm; echo $READ $BERTH_SESSION; sed -n 's/^0:.*sessions.//p' /proc/self/cgroup";
        for door in [Door::Ssh, Door::SshTerminal, Door::Login, Door::Cron] {
            let said = machine.through(door, "alice", &format!("({look}) 2>/dev/null"));
            let lines: Vec<&str> = said.lines().collect();
            assert_eq!(lines[0], "berth-init", "{door:?}");
            assert_eq!(lines[1], format!("yes {}", lines[2]), "{door:?}: {said}");
        }
    });
}

/// Where pam_env reads ~/.pam_environment: the loader, the locale and the terminal's description name files of the user's.
#[test]
fn what_a_user_has_in_their_environment_reaches_neither_the_keeper_nor_the_init() {
    Machine::run(|machine| {
        // Whoever loads it leaves a file, and root one of root's.
        let library = "__attribute__((constructor)) static void f(void) \
                       { char n[64]; sprintf(n, \"/home/alice/loaded.%d\", getpid()); creat(n, 0600); }";
        machine
            .host(&format!(
                "printf '%s\\n' '#include <stdio.h>' '#include <fcntl.h>' '#include <unistd.h>' '{library}' |
                 cc -shared -fPIC -x c -o /home/alice/own.so -"
            ))
            .ok();
        let lines = "LD_PRELOAD=/home/alice/own.so\nLD_DEBUG=libs\nLD_DEBUG_OUTPUT=/home/alice/ld\n\
                     TERM=../../../home/alice\nTERMINFO=/home/alice\nLANG=../../../home/alice\nLOCPATH=/home/alice\n\
                     TMPDIR=/home/alice\nBERTH_POLICY=/home/alice/policy\n";
        std::fs::write("/home/alice/.pam_environment", lines).unwrap();
        machine.stack(&Stack {
            before: "session required pam_env.so user_readenv=1".into(),
            ..Stack::default()
        });
        let of_root = "find /home/alice -uid 0 | sort";
        let before = machine.host(of_root).ok();
        let mut login =
            machine.ssh_background("alice", "echo $LANG $TERM $TERMINFO; exec sleep 1000");
        // It reaches the user's own programs, or this shows nothing.
        assert_eq!(
            login.line(),
            "../../../home/alice ../../../home/alice /home/alice"
        );
        let of_berth = ["berth-helper", "berth-init"].map(Process::named).concat();
        assert_eq!(of_berth.len(), 3, "{of_berth:?}");
        for process in of_berth {
            let environment = process.file("environ");
            assert_eq!(
                environment, "PATH=/usr/sbin:/usr/bin:/sbin:/bin\0",
                "{process:?}"
            );
        }
        assert_eq!(
            machine.host(of_root).ok(),
            before,
            "what root's programs have written"
        );
        machine
            .host("ls /home/alice/ld.* /home/alice/loaded.*")
            .ok();
    });
}

#[test]
fn records_and_caps_are_out_of_a_sessions_reach() {
    Machine::run(|machine| {
        machine.berth("reload").ok();
        let mut login = machine.ssh_terminal("alice");
        let id = machine.session();
        let user = machine.cgroups().user(machine.uid("alice"));
        // As root sees them: what alice cannot even find is tried, too.
        let files = machine.host("find /run/berth* /var/lib/berth -type f").ok();
        let record = format!("/run/berth/sessions/{id}");
        assert!(files.lines().any(|file| file == record), "{files}");
        assert!(files.contains("/var/lib/berth/policy.json"), "{files}");
        let files = files.lines().map(|file| format!("echo x >>{file}"));
        let caps = ["cgroup.procs", "cgroup.freeze", "cgroup.subtree_control"];
        let caps = caps.map(|file| format!("echo 1 >{}/{file}", user.display()));
        let others = [
            format!(
                "echo $$ >{}/cgroup.procs",
                machine.cgroups().root().display()
            ),
            format!("mkdir {}/mine", user.display()),
            format!("rm -f {record}"),
            "touch /run/berth/sessions/4711".to_owned(),
        ];
        for attempt in files.chain(caps).chain(others) {
            let said = login.run(&attempt);
            assert!(said.ends_with("Permission denied"), "{attempt}: {said}");
        }
    });
}

/// What fails is let pass here, as it would be if the user could make it fail.
#[test]
fn another_kernel_that_the_user_makes_up_before_su_is_not_the_helpers() {
    Machine::run(|machine| {
        machine.policy(&Policy::default().on_error("allow"));
        let alice = machine.uid("alice");
        for kernel in [
            "--uname-2.6",
            "--sticky-timeouts --whole-seconds --short-inode",
            "linux32",
        ] {
            let said = machine.host(&format!(
                "exec setpriv --reuid={alice} --regid={alice} --clear-groups \
                 setarch {kernel} su bob -c 'cat /proc/1/comm'"
            ));
            assert_eq!(said.ok(), "berth-init", "{kernel}");
        }
    });
}
