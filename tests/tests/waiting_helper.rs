//! The helper that waits between a login's account phase and its session.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use berth_tests::{Door, Machine, Policy, Process, Stack, eventually};

/// Writes a script, for PAM or as the helper.
fn script(name: &str, text: &str) -> String {
    let path = format!("/berth/{name}");
    fs::write(&path, format!("#!/bin/bash\n{text}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// A stack that runs this between the account phase and the session.
fn between(text: &str) -> Stack {
    // pam_exec runs it at the session's end too.
    let text = format!("[ $PAM_TYPE = open_session ] || exit 0\n{text}");
    Stack {
        before: format!("session required pam_exec.so {}", script("between", &text)),
        ..Stack::default()
    }
}

/// Of the two processes that a helper is then: the worker, which takes the session's request, and its standby.
const BOTH: &str = "true";
const WORKER: &str = "[ \"$(of_parent $process)\" = berth-helper ]";
const STANDBY: &str = "[ \"$(of_parent $process)\" != berth-helper ]";

/// Sends a signal to these of the helpers that run, in the machine's own PID namespace.
fn signal_helpers(signal: &str, which: &str) -> String {
    // They may not have parted yet when the application goes on.
    format!(
        "helpers() {{ grep -lx berth-helper /proc/[0-9]*/comm; }}
         of_parent() {{ cat /proc/$(sed -n 's/^PPid:\\s*//p' $1/status)/comm; }}
         until [ $(helpers | wc -l) = 2 ]; do sleep 0.01; done
         for process in $(helpers); do
           process=${{process%/comm}}
           if {which}; then echo $process; fi
         done >>/berth/chosen
         for process in $(cat /berth/chosen); do
           kill -{signal} ${{process#/proc/}} && echo $process >>/berth/signalled
         done
         rm /berth/chosen"
    )
}

#[test]
fn one_helper_serves_the_account_phase_and_the_session_of_a_login() {
    Machine::run(|machine| {
        let real = Stack::default().helper;
        let counting = script(
            "counting",
            &format!("echo $$ >>/berth/starts; exec {real} \"$@\""),
        );
        machine.stack(&Stack {
            helper: counting,
            ..Stack::default()
        });
        for (door, logins) in Door::ALL.into_iter().zip(1..) {
            machine.through(door, "alice", "true");
            let starts = fs::read_to_string("/berth/starts").unwrap();
            assert_eq!(starts.lines().count(), logins, "{door:?}");
        }
    });
}

#[test]
fn the_policy_of_the_session_is_the_one_that_is_in_force_then() {
    Machine::run(|machine| {
        let denying =
            "version = 1\n[[rule]]\nuser = \"alice\"\naction = \"deny\"\nmessage = \"Too late.\"";
        fs::write("/berth/denying.toml", denying).unwrap();
        machine.stack(&between("cat /berth/denying.toml >/etc/berth/policy.toml"));
        let login = machine.su("alice", "echo in");
        assert!(
            !login.success() && login.stderr.contains("Too late."),
            "{login:?}"
        );
    });
}

/// Two logins, for each of which these processes of the waiting helper are killed.
fn killed_costs_no_login(machine: &mut Machine, which: &str, processes: usize) {
    let before = machine.settled();
    let gone = "for process in $(cat /berth/signalled); do
                  while grep -qs '^State:.[^Z]' $process/status; do sleep 0.01; done
                done; true";
    let kill = signal_helpers("KILL", which);
    machine.stack(&between(&format!("{kill}\n{gone}")));
    let outside = machine.host("readlink /proc/self/ns/mnt").ok();
    // One after the other, so that no keeper of the first is among those that are killed for the second.
    let ssh = machine.ssh("alice", "readlink /proc/self/ns/mnt").ok();
    machine.assert_nothing_left(&before);
    let su = machine.su("alice", "readlink /proc/self/ns/mnt").ok();
    assert!(ssh != outside && su != outside, "{ssh} {su} {outside}");
    let killed = fs::read_to_string("/berth/signalled").unwrap();
    assert_eq!(killed.lines().count(), 2 * processes, "{killed}");
    machine.assert_nothing_left(&before);
}

#[test]
fn a_waiting_helper_that_is_killed_costs_no_login() {
    Machine::run(|machine| killed_costs_no_login(machine, BOTH, 2));
}

#[test]
fn a_waiting_worker_that_is_killed_costs_no_login() {
    Machine::run(|machine| killed_costs_no_login(machine, WORKER, 1));
}

#[test]
fn a_waiting_standby_that_is_killed_costs_no_login() {
    Machine::run(|machine| killed_costs_no_login(machine, STANDBY, 1));
}

/// A policy that gives sessions a cgroup of their own, or leaves them where they are.
fn with_cgroup(place: &str) -> Policy {
    Policy {
        profile: format!("cgroup = \"{place}\""),
        ..Policy::with_namespaces("pid = true, mount = true")
    }
}

#[test]
fn a_session_that_gets_a_cgroup_which_was_not_announced_has_its_keepers_among_the_others() {
    Machine::run(|machine| {
        let before = machine.settled();
        fs::write("/berth/own.toml", with_cgroup("own").text()).unwrap();
        machine.policy(&with_cgroup("keep"));
        machine.stack(&between("cat /berth/own.toml >/etc/berth/policy.toml"));
        let mut terminal = machine.ssh_terminal("alice");
        terminal.run("true");
        let is_keepers = |helper: &Process| {
            let cgroup = helper.cgroup();
            cgroup.is_some_and(|cgroup| cgroup.ends_with("/berth-keepers"))
        };
        let are_keepers = || {
            Process::named("berth-helper")
                .iter()
                .filter(|one| is_keepers(one))
                .count()
                == 2
        };
        assert!(
            eventually(are_keepers),
            "{:?}",
            Process::named("berth-helper")
        );
        terminal.send("exit");
        terminal.wait();
        machine.assert_nothing_left(&before);
    });
}

#[test]
fn a_waiting_helper_that_is_stopped_costs_the_deadline_and_no_more() {
    Machine::run(|machine| {
        let before = machine.settled();
        machine.stack(&Stack {
            arguments: "timeout=2".into(),
            ..between(&signal_helpers("STOP", BOTH))
        });
        let start = Instant::now();
        assert!(!machine.su("alice", "true").success());
        assert!(start.elapsed() < Duration::from_secs(30));
        // It is told to end, and woken up for that.
        machine.assert_nothing_left(&before);
    });
}

#[test]
fn who_asks_about_an_account_only_keeps_no_helper() {
    Machine::run(|machine| {
        let before = machine.settled();
        machine.host("pamtester login alice acct_mgmt").ok();
        machine.assert_nothing_left(&before);
    });
}

#[test]
fn an_application_that_takes_its_time_gets_another_helper() {
    Machine::run(|machine| {
        let before = machine.settled();
        // The first one has parted into two; the session comes when its patience is over.
        let until = |count: u8| {
            let helpers = "grep -lx berth-helper /proc/[0-9]*/comm | wc -l";
            format!("until [ $({helpers}) = {count} ]; do sleep 0.05; done")
        };
        machine.stack(&between(&format!("{}; {}", until(2), until(0))));
        let outside = machine.host("readlink /proc/self/ns/mnt").ok();
        let login = machine.su("alice", "readlink /proc/self/ns/mnt");
        assert_ne!(login.ok(), outside);
        machine.assert_nothing_left(&before);
    });
}
