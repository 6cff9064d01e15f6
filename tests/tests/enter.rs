//! `berth enter` on real logins: what root sees of a session, and what a session may do to root in there.

use std::time::{Duration, Instant};

use berth_tests::namespaces::PROGRAMS;
use berth_tests::{Background, Machine, Policy, Process, eventually};

/// Where a process is, of all kinds of namespaces that a berth has.
fn namespaces(process: Process) -> String {
    let kinds = ["user", "pid", "ipc", "mnt"].map(|kind| process.namespace(kind));
    let lines = kinds.map(|path| path.display().to_string());
    lines.join("\n")
}

/// Prints the same of the program itself.
const OWN_NAMESPACES: &str =
    "readlink /proc/self/ns/user /proc/self/ns/pid /proc/self/ns/ipc /proc/self/ns/mnt";

#[test]
fn root_is_in_the_sessions_namespaces_and_outside_its_cgroup() {
    Machine::run(|machine| {
        let before = machine.settled();
        let (alice, sleep) = machine.stay("alice");
        let id = machine.session();
        let own = Process::own();
        assert_ne!(namespaces(sleep), namespaces(own));
        let entered = machine.berth(&format!("enter {id} {OWN_NAMESPACES}"));
        assert_eq!(entered.ok(), namespaces(sleep));
        let cgroup = machine
            .berth(&format!("enter {id} cat /proc/self/cgroup"))
            .ok();
        assert!(
            !cgroup.contains("/berth/user-") && cgroup.contains("0::"),
            "{cgroup}"
        );
        let look = machine.berth(&format!(
            "enter {id} sh -c 'id -u; pwd; cat /proc/1/comm; pgrep -c sleep'"
        ));
        assert_eq!(look.ok(), "0\n/\nberth-init\n1");
        // Its capabilities are those of the namespace: it may end what runs there, and mount nothing.
        let mount = machine.berth(&format!("enter {id} mount -t tmpfs x /mnt"));
        assert!(!mount.status.success(), "{mount:?}");
        for (command, status) in [("sh -c 'exit 42'", 42), ("sh -c 'kill -KILL $$'", 137)] {
            let ran = machine.berth(&format!("enter {id} {command}"));
            assert_eq!(ran.status.code(), Some(status), "{ran:?}");
        }
        assert!(
            machine
                .logged(&format!("enter session={id} user=alice by=root"))
                .contains("berth[")
        );
        // The session ends by that, and whoever has entered with it.
        machine.berth(&format!("enter {id} pkill sleep"));
        assert!(eventually(|| !sleep.exists()));
        alice.end();
        machine.assert_nothing_left(&before);
    });
}

#[test]
fn nothing_of_the_callers_comes_along() {
    Machine::run(|machine| {
        let (alice, sleep) = machine.stay("alice");
        let id = machine.session();
        let enter = format!("{PROGRAMS}/berth enter {id}");
        let environment = machine
            .host(&format!(
                "cd /usr/share; LD_PRELOAD= SECRET=x PATH=/tmp:$PATH TERM=dumb {enter} env | sort"
            ))
            .ok();
        let names: Vec<&str> = environment
            .lines()
            .filter_map(|line| Some(line.split_once('=')?.0))
            .filter(|name| *name != "LANG")
            .collect();
        let expected = [
            "BERTH_SESSION",
            "HOME",
            "LOGNAME",
            "PATH",
            "SHELL",
            "TERM",
            "USER",
        ];
        assert_eq!(names, expected, "{environment}");
        assert!(
            environment
                .contains("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"),
            "{environment}"
        );
        // The last of them is ls's own.
        let open = machine.host(&format!("3</etc/shadow {enter} ls /proc/self/fd"));
        assert_eq!(open.ok(), "0\n1\n2\n3");
        let status = machine.host(&format!("{enter} grep NoNewPrivs /proc/self/status"));
        assert_eq!(status.ok(), "NoNewPrivs:\t1");
        // What the user has put where users can is not run.
        machine
            .host(&format!(
                "f=/proc/{}/root/tmp/id; printf '#!/bin/sh\necho hers' >$f && chmod 755 $f",
                sleep.0
            ))
            .ok();
        let ran = machine.host(&format!("cd /tmp; PATH=/tmp:.:$PATH {enter} id -u"));
        assert_eq!(ran.ok(), "0");
        alice.end();
    });
}

#[test]
fn who_could_not_enter_is_not_said_to_have_entered() {
    Machine::run(|machine| {
        let (alice, _) = machine.stay("alice");
        let id = machine.session();
        let path = format!("/run/berth/sessions/{id}");
        let record = std::fs::read_to_string(&path).unwrap();
        let mut changed: serde_json::Value = serde_json::from_str(&record).unwrap();
        changed["init"]["start"] = 1.into();
        std::fs::write(&path, changed.to_string()).unwrap();
        let said = machine.berth(&format!("enter {id} true")).refused();
        assert!(said.stderr.contains("has ended"), "{said:?}");
        std::fs::write(&path, record).unwrap();
        machine.berth(&format!("enter {id} true")).ok();
        machine.logged("enter session=");
        let lines = machine.log_lines().into_iter();
        let told = lines.filter(|line| line.contains("enter session="));
        assert_eq!(told.count(), 1);
        alice.end();
    });
}

#[test]
fn a_frozen_session_can_be_entered() {
    Machine::run(|machine| {
        let before = machine.settled();
        let (alice, _) = machine.stay("alice");
        let id = machine.session();
        machine.berth("freeze alice").ok();
        let begun = Instant::now();
        let entered = machine.berth(&format!("enter {id} cat /proc/1/comm"));
        assert_eq!(entered.ok(), "berth-init");
        assert!(begun.elapsed() < Duration::from_secs(10), "it hung");
        assert!(machine.berth("list").ok().contains("  frozen\n"));
        machine.berth("thaw alice").ok();
        alice.end();
        machine.assert_nothing_left(&before);
    });
}

#[test]
fn who_has_entered_goes_with_the_session() {
    Machine::run(|machine| {
        let before = machine.settled();
        let (alice, _) = machine.stay("alice");
        let id = machine.session();
        let entered = Background::talking(&format!("{PROGRAMS}/berth enter {id} sleep 1001"));
        let inside = || Process::running("sleep 1001").len() > 1;
        assert!(eventually(inside), "{:?}", Process::running("sleep 1001"));
        machine.berth(&format!("kill {id} --yes --grace 1s")).ok();
        // Looked at before it is waited for, which has no limit.
        assert!(eventually(|| entered.process().is_zombie()));
        assert_eq!(entered.wait().status.code(), Some(137));
        alice.end();
        machine.assert_nothing_left(&before);
    });
}

#[test]
fn a_session_without_namespaces_is_the_host() {
    Machine::run(|machine| {
        machine.policy(&Policy::with_namespaces(""));
        let (alice, _) = machine.stay("alice");
        let id = machine.session();
        let entered = machine.berth(&format!("enter {id} {OWN_NAMESPACES}"));
        assert!(
            entered.stderr.contains("has no namespaces of its own"),
            "{entered:?}"
        );
        let own = Process::own();
        assert_eq!(entered.ok(), namespaces(own));
        let none = machine.berth(&format!("enter {id} no-such-program"));
        assert_eq!(none.status.code(), Some(1), "{none:?}");
        assert!(
            none.stderr.contains("cannot run no-such-program"),
            "{none:?}"
        );
        alice.end();
    });
}

#[test]
fn without_a_command_it_is_a_shell_with_job_control() {
    Machine::run(|machine| {
        let (alice, _) = machine.stay("alice");
        let id = machine.session();
        let mut terminal = machine.berth_terminal(&["enter", &id]);
        assert_eq!(terminal.run("cat /proc/1/comm; id -u"), "berth-init\n0");
        terminal.assert_interrupts_and_exits();
        alice.end();
    });
}

/// root's shell in there has more than the user whom it runs a program as.
#[test]
fn whoever_root_becomes_in_there_cannot_type_into_roots_terminal() {
    Machine::run(|machine| {
        let (alice, _) = machine.stay("alice");
        let mut terminal = machine.berth_terminal(&["enter", &machine.session()]);
        // As a shell of su's would: with a command it makes a session of its own, without root's terminal.
        let become_her = "setpriv --reuid alice --regid alice --clear-groups";
        let typed = terminal.run(&format!("{become_her} {}", machine.probe("type true")));
        assert_eq!(typed, "EPERM");
        alice.end();
    });
}
