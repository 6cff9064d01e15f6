//! A login program that is killed in the middle of its login leaves nothing, whatever it was doing.

use std::fs;
use std::process::{Command, Stdio};

use berth_tests::{Machine, Process, Stack, eventually};
use nix::sys::signal::Signal;

/// The calls in which the module and PAM do their work.
const CALLS: &str = "socketpair,clone,clone3,vfork,sendmsg,recvmsg,poll,ppoll,setns,prctl,seccomp,keyctl,chdir,\
                     pidfd_open,sendto,setgroups,setuid,setgid,close_range";

#[test]
fn su_killed_at_any_step_leaves_nothing() {
    Machine::run(|machine| {
        let before = machine.settled();
        let mut killed = 0;
        for nth in 1..300 {
            let su = Command::new("strace")
                .args(["-qq", "-o", "/dev/null", "-e", &format!("trace={CALLS}")])
                .args(["-e", &format!("inject={CALLS}:signal=KILL:when={nth}")])
                .args(["su", "alice", "-c", "echo in; sleep 0.2"])
                .stdin(Stdio::null())
                .output()
                .unwrap();
            machine.assert_nothing_left(&before);
            if su.status.success() {
                break;
            }
            killed += 1;
        }
        assert!((20..299).contains(&killed), "killed {killed} times");
        assert_eq!(machine.su("alice", "echo in").ok(), "in");
    });
}

/// The kernel takes a process by its PID. A user who kills their su just when Berth writes that can see to it that the next
/// process of somebody else's has it.
#[test]
fn whoever_gets_the_pid_of_a_su_that_is_killed_as_it_is_moved_goes_on_where_they_were() {
    Machine::run(|machine| {
        let (login, inside) = machine.stay("alice");
        let (other_login, other) = machine.stay("alice");
        let bob = machine.uid("bob");
        let user = machine.cgroups().user(bob);
        let files = (1..50).map(|id| format!("-P {}/sessions/{id}/cgroup.procs", user.display()));
        let files: Vec<String> = files.collect();
        // Behind the look whether su is there, and before the move.
        let stops = format!(
            "#!/bin/sh\nexec strace -f -qq -o /dev/null {} -e inject=openat:signal=STOP:when=1 /berth/berth-helper \"$@\"\n",
            files.join(" ")
        );
        machine.stack(&Stack {
            helper: machine.script("other-helper", &stops),
            ..Stack::default()
        });
        let alice = machine.uid("alice").to_string();
        let outside = Process::own();
        for (owner, from, parent, home) in [
            ("0", outside, "wait", Some(outside)),
            // A user's has nowhere to go but to their own session: root, who has started it, has no caps.
            (&alice, outside, "wait", Some(inside)),
            // Or is in one of theirs, as sshd's root that starts the shell.
            (&alice, other, "wait", Some(other)),
            // A service's worker, whose user has no session.
            ("65534", outside, "wait", Some(outside)),
            // PID 1 has no caps either, and a user's setuid program can be root's and leave its parent.
            ("0", outside, "exit", None),
        ] {
            let mut su = Command::new("su");
            su.args(["bob", "-c", "true"]).stdin(Stdio::null());
            let mut su = su.spawn().unwrap();
            let has_opened_it = |one: &Process| {
                let mut open = fs::read_dir(format!("/proc/{}/fd", one.0))
                    .into_iter()
                    .flatten();
                open.any(|fd| {
                    fs::read_link(fd.unwrap().path())
                        .is_ok_and(|to| to.starts_with(&user) && to.ends_with("cgroup.procs"))
                })
            };
            let worker = || {
                Process::named("berth-helper")
                    .into_iter()
                    .find(has_opened_it)
            };
            assert!(eventually(|| worker().is_some()), "nobody stops");
            su.kill().unwrap();
            su.wait().unwrap();
            let pid = su.id();
            let stranger = Process(pid as i32);
            let root = machine.cgroups().root().display();
            let from = from.cgroup().unwrap();
            let script = format!(
                "echo $$ >{root}{from}/cgroup.procs
                 until echo $(({pid} - 1)) >/proc/sys/kernel/ns_last_pid
                       setpriv --reuid {owner} --clear-groups sleep 1000 & [ $! = {pid} ]
                 do kill $!; done; {parent}"
            );
            let mut sh = Command::new("sh").args(["-c", &script]).spawn().unwrap();
            let has_its_pid = eventually(|| stranger.name() == "sleep");
            assert!(has_its_pid, "{owner}'s gets another PID");
            if parent == "exit" {
                sh.wait().unwrap();
            }
            worker().unwrap().signal(Signal::SIGCONT);
            assert!(eventually(|| !user.exists()), "bob's session is left");
            let place = stranger.cgroup().filter(|_| !stranger.is_zombie());
            assert_eq!(place, home.and_then(Process::cgroup), "{owner}'s, {parent}");
            stranger.kill();
            sh.wait().unwrap();
        }
        // It says whom it has left there, and of nobody else that it has.
        let left = machine.logged("there is no cgroup that it may have come from");
        assert!(left.contains(&format!("/user-{bob}/")), "{left}");
        login.end();
        other_login.end();
    });
}
