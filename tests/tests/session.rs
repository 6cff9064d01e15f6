//! What a session is made of, seen from inside and from the host.

use std::path::Path;

use berth_tests::left_calls::{ALLOW, ARCHITECTURES, Filters, KILL};
use berth_tests::{Door, Machine, Policy, Process, eventually};
use nix::sys::signal::Signal;

fn host_namespace(kind: &str) -> String {
    let path = std::fs::read_link(format!("/proc/self/ns/{kind}")).unwrap();
    path.to_string_lossy().into_owned()
}

/// The one init of the one session there is.
fn init() -> Process {
    let inits = Process::named("berth-init");
    assert_eq!(inits.len(), 1, "{inits:?}");
    inits[0]
}

#[test]
fn every_door_leads_into_namespaces_of_its_own() {
    Machine::run(|machine| {
        for door in Door::ALL {
            for kind in ["user", "pid", "ipc", "mnt"] {
                let look = format!("readlink /proc/self/ns/{kind}");
                let inside = machine.through(door, "alice", &look);
                assert!(
                    inside.starts_with(&format!("{kind}:[")),
                    "{door:?}: {inside}"
                );
                assert_ne!(inside, host_namespace(kind), "{door:?}");
            }
            for kind in ["net", "uts"] {
                let look = format!("readlink /proc/self/ns/{kind}");
                let inside = machine.through(door, "alice", &look);
                assert_eq!(inside, host_namespace(kind), "{door:?}");
            }
        }
    });
}

#[test]
fn two_logins_at_once_have_nothing_in_common() {
    Machine::run(|machine| {
        let mut first = machine.ssh_terminal("alice");
        let mut second = machine.ssh_terminal("alice");
        for kind in ["user", "pid", "ipc", "mnt"] {
            let look = format!("readlink /proc/self/ns/{kind}");
            assert_ne!(first.run(&look), second.run(&look));
        }
        assert_ne!(
            first.run("echo $BERTH_SESSION"),
            second.run("echo $BERTH_SESSION")
        );
    });
}

#[test]
fn chrooted_sftp_is_in_a_berth_too() {
    Machine::run(|machine| {
        let uid = machine.uid("carol");
        let transfer = machine.ssh_background_sftp("carol");
        let of_carol = || {
            let all = Process::all().into_iter();
            all.filter(|one| one.uid() == Some(uid)).collect::<Vec<_>>()
        };
        assert!(eventually(|| !of_carol().is_empty()));
        for process in of_carol() {
            for kind in ["user", "ipc", "mnt"] {
                let inside = process.namespace(kind);
                assert_ne!(
                    inside.to_string_lossy(),
                    host_namespace(kind),
                    "{process:?}"
                );
                assert_eq!(inside, init().namespace(kind));
            }
            let below = format!("/proc/{}/root/files", process.0);
            assert!(Path::new(&below).is_dir(), "it is in its chroot");
        }
        transfer.end();
    });
}

#[test]
fn a_session_sees_its_own_processes_only() {
    Machine::run(|machine| {
        for door in Door::ALL {
            let names = machine.through(door, "alice", "cat /proc/[0-9]*/comm");
            let names: Vec<&str> = names.lines().collect();
            assert!(names.contains(&"berth-init"), "{door:?}: {names:?}");
            assert!(names.len() >= 2, "{door:?}: {names:?}");
            assert!(!names.contains(&"login-machine"), "{door:?}: {names:?}");
            assert!(names.len() <= 6, "{door:?}: {names:?}");
            assert_eq!(
                machine.through(door, "alice", "cat /proc/1/comm"),
                "berth-init"
            );
        }
    });
}

#[test]
fn the_init_has_given_up_everything() {
    Machine::run(|machine| {
        let (login, _) = machine.stay("alice");
        let init = init();
        let owner = 2_000_000_000 + machine.uid("alice");
        let four = [
            owner.to_string(),
            owner.to_string(),
            owner.to_string(),
            owner.to_string(),
        ];
        assert_eq!(
            init.status("Uid").unwrap().replace('\t', " "),
            four.join(" ")
        );
        for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            assert_eq!(init.status(set).unwrap(), "0000000000000000", "{set}");
        }
        assert_eq!(init.status("NoNewPrivs").unwrap(), "1");
        let open = std::fs::read_dir(format!("/proc/{}/fd", init.0))
            .unwrap()
            .count();
        assert_eq!(open, 0, "descriptors of the init");
        assert_eq!(
            init.status("Groups").unwrap(),
            "",
            "supplementary groups of the init"
        );
        // Not dumpable: the files of its /proc directory are root's.
        let owner = std::fs::metadata(format!("/proc/{}/environ", init.0)).unwrap();
        assert_eq!(std::os::unix::fs::MetadataExt::uid(&owner), 0);
        // It takes its filter on when it has said that it is ready.
        assert!(eventually(|| init.status("Seccomp").unwrap() == "2"));
        let left = [
            libc::SYS_rt_sigprocmask,
            libc::SYS_rt_sigtimedwait,
            libc::SYS_rt_sigreturn,
            libc::SYS_restart_syscall,
            libc::SYS_wait4,
            libc::SYS_exit_group,
            libc::SYS_exit,
            libc::SYS_brk,
            libc::SYS_munmap,
        ];
        let filters = Filters::of(init);
        let [own, other] = ARCHITECTURES;
        for call in 0..1024 {
            let expected = if left.contains(&call) { ALLOW } else { KILL };
            assert_eq!(filters.answer(own, call), expected, "system call {call}");
            assert_eq!(filters.answer(other, call), KILL, "system call {call}");
        }
        login.end();
    });
}

#[test]
fn the_identity_map_has_everybody_and_the_minimal_one_hardly_anybody() {
    Machine::run(|machine| {
        let map = "cat /proc/self/uid_map; cat /proc/self/gid_map";
        let words = |text: String| -> Vec<String> {
            text.lines()
                .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
                .collect()
        };
        // Everybody is who they are outside. Only the owners of berths, who are nobody, are left out.
        for line in words(machine.ssh("alice", map).ok()) {
            let numbers: Vec<u64> = line.split(' ').map(|one| one.parse().unwrap()).collect();
            let [inside, outside, count] = numbers[..] else {
                panic!("{line}")
            };
            assert_eq!(inside, outside);
            assert!(
                inside == 0 && count == 2_000_000_000 || inside >= 4_000_000_000,
                "{line}"
            );
        }

        machine.policy(&Policy::with_map("minimal"));
        let uid = machine.uid("alice");
        for door in Door::ALL {
            let minimal = words(machine.through(door, "alice", map));
            assert!(
                minimal.contains(&"0 0 1".to_owned()),
                "{door:?}: {minimal:?}"
            );
            assert!(
                minimal.contains(&format!("{uid} {uid} 1")),
                "{door:?}: {minimal:?}"
            );
            let mapped: u32 = minimal
                .iter()
                .map(|line| line.rsplit(' ').next().unwrap().parse::<u32>().unwrap())
                .sum();
            assert!(mapped < 50, "{door:?}: {minimal:?}");
        }
        // Everybody else's files are nobody's.
        let bob = machine.ssh("alice", "stat -c %u /home/bob").ok();
        assert_eq!(bob, "65534");
    });
}

#[test]
fn a_session_is_in_its_own_cgroup_and_its_keepers_are_not() {
    Machine::run(|machine| {
        let uid = machine.uid("alice");
        for door in Door::ALL {
            let look = "echo $BERTH_SESSION; sed -n 's/^0:://p' /proc/self/cgroup";
            let said = machine.through(door, "alice", look);
            let (id, cgroup) = said.split_once('\n').unwrap();
            let last = cgroup.rsplit('/').next().unwrap();
            assert!(last.parse::<u64>().is_ok(), "{door:?}: {said}");
            // atd passes on what at remembered, and nothing of PAM's.
            assert_eq!(id, if door == Door::At { "" } else { last }, "{door:?}");
            assert_eq!(
                cgroup,
                format!("/berth/user-{uid}/sessions/{last}"),
                "{door:?}"
            );
        }
        let keepers = || [Process::named("berth-init"), Process::named("berth-helper")].concat();
        assert!(eventually(|| keepers().is_empty()), "of the logins before");
        let (login, process) = machine.stay("alice");
        let cgroup = process.cgroup().unwrap();
        assert!(
            cgroup.starts_with(&format!("/berth/user-{uid}/sessions/")),
            "{cgroup}"
        );
        assert!(keepers().len() >= 2, "an init and a keeper");
        for keeper in keepers() {
            assert_eq!(keeper.cgroup().unwrap(), "/berth-keepers");
        }
        login.end();
    });
}

#[test]
fn the_log_says_what_was_opened_and_closed() {
    Machine::run(|machine| {
        machine.ssh("alice", "true").ok();
        let uid = machine.uid("alice");
        let open = machine.logged("open session=");
        for part in [
            "user=alice",
            &format!("uid={uid}"),
            "service=sshd",
            "tty=ssh",
            "rhost=127.0.0.1",
            "profile=test",
            "rule=all",
            "ns=user,pid,ipc,mount",
            "result=ok",
        ] {
            assert!(open.contains(&format!(" {part}")), "no {part} in {open}");
        }
        let close = machine.logged("close session=");
        assert!(
            close.contains("user=alice") && close.contains("result=ok"),
            "{close}"
        );
    });
}

/// Whoever takes an id may be stopped in the middle: su, in a cgroup that its user can freeze.
#[test]
fn no_login_waits_for_another_that_is_just_taking_its_id() {
    use nix::fcntl::{Flock, FlockArg};
    Machine::run(|machine| {
        machine.su("alice", "true").ok();
        let counter = std::fs::File::open("/run/berth-last-id").unwrap();
        let _held = Flock::lock(counter, FlockArg::LockExclusive).unwrap();
        for door in [Door::Ssh, Door::Su] {
            assert_eq!(machine.through(door, "bob", "echo in"), "in");
        }
    });
}

/// By a real-time signal: such orphans come with timers and asynchronous input and output.
#[test]
fn the_init_reaps_all_orphans_that_end_at_once_whatever_has_ended_them() {
    Machine::run(|machine| {
        let start = "for n in $(seq 20); do (setsid sleep 1000 >/dev/null 2>&1 &); done; echo; exec sleep 2000";
        let login = machine.ssh_background("alice", start);
        let orphans = || {
            let all = machine.processes_of("alice").into_iter();
            let is_orphan =
                |one: &Process| one.parent().is_some_and(|init| init.name() == "berth-init");
            all.filter(|one| one.name() == "sleep" && is_orphan(one))
                .collect::<Vec<_>>()
        };
        assert!(eventually(|| orphans().len() == 20), "{:?}", orphans());
        let pids = orphans()
            .iter()
            .map(|one| one.0.to_string())
            .collect::<Vec<_>>();
        // While it is stopped, so that they are all there when it looks.
        let init = Process::named("berth-init")[0];
        init.signal(Signal::SIGSTOP);
        machine.host(&format!("kill -34 {}", pids.join(" "))).ok();
        assert!(eventually(|| orphans().iter().all(|one| one.is_zombie())));
        init.signal(Signal::SIGCONT);
        assert!(eventually(|| orphans().is_empty()), "{:?}", orphans());
        login.end();
    });
}
