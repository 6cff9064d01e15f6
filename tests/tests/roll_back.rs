//! A helper that hangs or is killed in the middle of a login, and a join that fails: all of the session is
//! rolled back, and the login ends or goes on, unharmed, as the policy says.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use berth_tests::{Machine, Output, Policy, Process, Snapshot, Stack, becomes, eventually};
use nix::fcntl::{Flock, FlockArg};

/// Where it happens to the worker, or to the init that it waits for, and the call after which it does.
const STEPS: [(&str, &str); 5] = [
    ("as soon as its standby knows of it", "sendmsg:when=1"),
    ("before its record is there", "/^rename:when=1"),
    ("an init that mounts", "mount:when=3"),
    ("an init that wants its maps", "unshare:when=1"),
    ("with the login in its cgroup", "/^rename:when=2"),
];

/// What a login looks at, with a moment in which it could be killed.
const LOOK: &str = "cat /proc/1/comm; sleep 0.5; sed -n 's/^0:://p' /proc/self/cgroup";

/// Has all sockets of a process, by its PID, until its own input ends (pidfd_getfd(2)).
const TAKES_ITS_SOCKETS: &str = r#"
import ctypes, os, sys
of = "/proc/%s/fd/" % sys.argv[1]
pidfd = os.pidfd_open(int(sys.argv[1]))
fds = [int(fd) for fd in os.listdir(of) if os.readlink(of + fd).startswith("socket:")]
taken = [ctypes.CDLL(None).syscall(438, pidfd, fd, 0) for fd in fds]
assert taken and min(taken) >= 0
print("taken", flush=True)
sys.stdin.read()
"#;

/// A helper to which a signal happens after a call. By -D, the process that the module has started becomes
/// the helper, and not strace.
fn helper_with(machine: &Machine, call: &str, signal: &str) -> String {
    let text = format!(
        "#!/bin/sh\nexec strace -D -f -qq -o /dev/null -e inject={call}:signal={signal} \
         /berth/berth-helper \"$@\"\n"
    );
    machine.script("other-helper", &text)
}

/// A machine on which failures are answered so, whoever of module and helper comes to it.
fn set_answer(machine: &Machine, answer: &str, stack: &Stack) {
    machine.policy(&Policy::default().on_error(answer));
    machine.stack(&stack.on_error(answer));
}

/// Fails unless a login ended as `on_error` says, and left nothing.
#[track_caller]
fn assert_rolled_back(
    machine: &Machine,
    before: &Snapshot,
    what: &str,
    answer: &str,
    login: Output,
) {
    if answer == "deny" {
        assert_eq!(login.refused().stdout, "", "{what}");
    } else {
        // Where it was before, and not killed together with the session.
        assert!(login.success(), "{what}: {login:?}");
        assert_eq!(login.stdout, machine.host(LOOK).ok(), "{what}");
    }
    machine.assert_nothing_left(before);
}

#[test]
fn a_helper_that_hangs_at_any_step_is_given_up_and_leaves_nothing() {
    Machine::run(|machine| {
        let before = machine.settled();
        for (step, call) in STEPS {
            for answer in ["deny", "allow"] {
                let stack = Stack {
                    helper: helper_with(machine, call, "STOP"),
                    arguments: "timeout=1".into(),
                    account: false,
                    ..Stack::default()
                };
                set_answer(machine, answer, &stack);
                let start = Instant::now();
                let login = machine.su("alice", LOOK);
                let took = start.elapsed();
                let deadline = Duration::from_secs(1)..Duration::from_secs(30);
                assert!(deadline.contains(&took), "{step}, {answer}: {took:?}");
                assert_rolled_back(machine, &before, step, answer, login);
            }
        }
    });
}

#[test]
fn a_helper_that_hangs_once_the_application_has_joined_is_given_up_and_leaves_nothing() {
    Machine::run(|machine| {
        let before = machine.settled();
        // Its answer, which the application acts on. The first word was for the standby.
        let stack = Stack {
            helper: helper_with(machine, "sendmsg:when=2", "STOP"),
            arguments: "timeout=1".into(),
            account: false,
            ..Stack::default()
        };
        set_answer(machine, "allow", &stack);
        let start = Instant::now();
        assert_eq!(machine.su("alice", LOOK).refused().stdout, "");
        assert!(start.elapsed() > Duration::from_secs(1));
        machine.assert_nothing_left(&before);
    });
}

#[test]
fn a_worker_or_an_init_killed_at_any_step_leaves_nothing() {
    Machine::run(|machine| {
        let before = machine.settled();
        for (step, call) in STEPS {
            for answer in ["deny", "allow"] {
                let stack = Stack {
                    helper: helper_with(machine, call, "KILL"),
                    account: false,
                    ..Stack::default()
                };
                set_answer(machine, answer, &stack);
                let login = machine.su("alice", LOOK);
                assert_rolled_back(machine, &before, step, answer, login);
            }
        }
    });
}

#[test]
fn a_join_that_fails_leaves_nothing() {
    Machine::run(|machine| {
        let before = machine.settled();
        for answer in ["deny", "allow"] {
            set_answer(machine, answer, &Stack::default());
            let login = Command::new("strace")
                .args(["-qq", "-o", "/dev/null"])
                .args(["-e", "inject=setns:error=EPERM"])
                .args(["su", "alice", "-c", LOOK])
                .stdin(Stdio::null())
                .output()
                .unwrap();
            assert_rolled_back(machine, &before, "setns", answer, login.into());
        }
    });
}

/// Its helper is still in the session that ends, and is signalled with all that is in there.
#[test]
fn su_in_a_session_that_ends_before_its_own_is_open_leaves_nothing() {
    Machine::run(|machine| {
        machine.policy(&Policy::with_namespaces(""));
        let before = machine.settled();
        // Kept where it is, until all of its session is there but the word that it has joined.
        let folder = format!("/run/berth/users/{}", machine.uid("bob"));
        std::fs::create_dir(&folder).unwrap();
        let folder = std::fs::File::open(folder).unwrap();
        let lock = Flock::lock(folder, FlockArg::LockExclusive).unwrap();
        let login = machine.ssh_background("alice", "su bob -c 'sleep 1000'");
        let su = || Process::named("su").into_iter().next();
        assert!(eventually(|| su().is_some()));
        let su = su().unwrap();
        assert!(eventually(|| machine.is_at_the_lock_of("bob")));
        su.signal(nix::sys::signal::Signal::SIGSTOP);
        let first = su.cgroup();
        drop(lock);
        assert!(eventually(|| su.cgroup() != first));
        login.end();
        machine.assert_nothing_left(&before);
    });
}

/// Somebody holds the user's lock for longer than a roll-back waits for it.
#[test]
fn a_failed_login_whose_users_lock_is_held_leaves_nothing_once_that_is_free() {
    Machine::run(|machine| {
        machine.policy(&Policy::with_namespaces(""));
        let before = machine.settled();
        let path = format!("/run/berth/users/{}", machine.uid("alice"));
        let lock = || {
            let folder = std::fs::File::open(&path).unwrap();
            Flock::lock(folder, FlockArg::LockExclusive).unwrap()
        };
        for is_workers_own in [true, false] {
            machine.forget_log();
            std::fs::create_dir(&path).unwrap();
            let first = lock();
            let mut su = Command::new("su");
            su.args(["alice", "-c", "true"]).stdin(Stdio::null());
            let mut su = su.spawn().unwrap();
            assert!(eventually(|| machine.is_at_the_lock_of("alice")));
            let login = Process(su.id() as i32);
            login.signal(nix::sys::signal::Signal::SIGSTOP);
            let outside = login.cgroup();
            drop(first);
            assert!(eventually(|| login.cgroup() != outside));
            let held = lock();
            if is_workers_own {
                login.kill();
                // It has tried, and says so in the record.
                let records = "grep -l linger /run/berth/sessions/*";
                assert!(eventually(|| machine.host(records).success()));
            } else {
                Process::keepers()[0].kill();
                let said = machine.logged("result=killed");
                assert!(said.contains("cannot lock"), "{said}");
                login.kill();
            }
            drop(held);
            su.wait().unwrap();
            machine.assert_nothing_left(&before);
        }
    });
}

/// With nobody left to give its helper up, although one that the application has forked may have its socket.
#[test]
fn a_login_that_is_killed_while_its_users_lock_is_held_leaves_no_process() {
    Machine::run(|machine| {
        machine.policy(&Policy::default());
        let before = machine.settled();
        let path = format!("/run/berth/users/{}", machine.uid("alice"));
        for takes_its_sockets in ["", TAKES_ITS_SOCKETS] {
            machine.forget_log();
            std::fs::create_dir(&path).unwrap();
            let folder = std::fs::File::open(&path).unwrap();
            let held = Flock::lock(folder, FlockArg::LockExclusive).unwrap();
            let mut su = Command::new("su");
            su.args(["alice", "-c", "true"]).stdin(Stdio::null());
            let mut su = su.spawn().unwrap();
            assert!(eventually(|| machine.is_at_the_lock_of("alice")));
            let mut beside = Command::new("python3");
            beside.args(["-c", takes_its_sockets, &su.id().to_string()]);
            beside.stdin(Stdio::piped()).stdout(Stdio::piped());
            let mut beside = beside.spawn().unwrap();
            let mut said = String::new();
            let out = beside.stdout.as_mut().unwrap();
            BufReader::new(out).read_line(&mut said).unwrap();
            su.kill().unwrap();
            su.wait().unwrap();
            for name in ["berth-helper", "berth-init"] {
                becomes(|| Process::named(name), [Process(0); 0]);
            }
            machine.logged("lock uid=");
            drop(beside.stdin.take());
            assert!(beside.wait().unwrap().success(), "{takes_its_sockets}");
            drop(held);
            std::fs::remove_dir(&path).unwrap();
            machine.assert_nothing_left(&before);
        }
    });
}
