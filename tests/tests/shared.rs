//! One berth for all logins of a user: `scope = "user"`.

use std::process::{Child, Command, Stdio};

use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::Signal;

use berth_tests::{Background, Door, Machine, Policy, Process, Stack, becomes, eventually};

fn shared(machine: &Machine) {
    machine.policy(&Policy::with_namespaces(
        r#"scope = "user", user = "identity", pid = true, ipc = true, mount = true, private_tmp = "16M""#,
    ));
}

#[test]
fn all_logins_of_a_user_see_each_other_and_nobody_elses() {
    Machine::run(|machine| {
        shared(machine);
        let mut first = machine.ssh_terminal("alice");
        first.run("echo of-the-first >/tmp/note; (sleep 1000 &)");
        let namespace = first.run("readlink /proc/self/ns/pid");
        for door in Door::ALL {
            let said = machine.through(door, "alice", "readlink /proc/self/ns/pid; cat /tmp/note");
            assert_eq!(said, format!("{namespace}\nof-the-first"), "{door:?}");
        }
        // Whoever may trace it waits for what it does until stopped.
        let trace = "timeout 1 strace -o /dev/null -p $(pgrep -x sleep) 2>/dev/null; echo $?";
        assert_eq!(machine.ssh("alice", trace).ok(), "124");
        let bob = machine
            .ssh("bob", "readlink /proc/self/ns/pid; ls -A /tmp")
            .ok();
        assert_ne!(bob, namespace);
        let one = || Process::named("berth-init").len() == 1;
        assert!(eventually(one), "bob's is gone, alice's is one");
    });
}

#[test]
fn logins_that_race_make_one_berth_and_the_last_one_out_ends_it() {
    Machine::run(|machine| {
        shared(machine);
        let before = machine.settled();
        for _ in 0..3 {
            let logins: Vec<_> = (0..10)
                .map(|_| machine.ssh_background("alice", "readlink /proc/self/ns/pid; sleep 3"))
                .collect();
            let mut said: Vec<String> = logins.into_iter().map(|login| login.wait().ok()).collect();
            said.dedup();
            assert_eq!(said.len(), 1, "{said:?}");
            machine.assert_nothing_left(&before);
        }
    });
}

/// Somebody holds the user's lock for longer than a session's end waits for it.
#[test]
fn a_berth_ends_with_its_last_login_although_its_users_lock_is_held_and_that_is_said() {
    Machine::run(|machine| {
        shared(machine);
        let before = machine.settled();
        let (login, _) = machine.stay("alice");
        let folder = format!("/run/berth/users/{}", machine.uid("alice"));
        let folder = std::fs::File::open(folder).unwrap();
        let lock = Flock::lock(folder, FlockArg::LockExclusive).unwrap();
        login.end();
        let inits = || Process::named("berth-init").into_iter();
        assert!(eventually(|| inits().all(Process::is_zombie)));
        let line = machine.logged("cannot lock");
        assert!(line.contains("sweep session="), "{line}");
        drop(lock);
        machine.assert_nothing_left(&before);
    });
}

#[test]
fn a_berth_stays_while_one_login_does() {
    Machine::run(|machine| {
        shared(machine);
        let mut first = machine.ssh_terminal("alice");
        // By who makes the berth.
        first.run("echo kept >/tmp/note");
        let mut second = machine.ssh_terminal("alice");
        assert_eq!(second.run("cat /tmp/note"), "kept");
        let id = first.run("echo $BERTH_SESSION");
        let record = || std::fs::read_to_string(format!("/run/berth/sessions/{id}")).unwrap();
        assert!(record().contains("\"cgroup\":\""), "{}", record());
        first.send("exit");
        first.wait();
        std::thread::sleep(std::time::Duration::from_secs(2));
        // Its session is over but for the berth, and logind may give the name of its scope to another.
        assert!(record().contains("\"cgroup\":null"), "{}", record());
        assert_eq!(
            second.run("cat /tmp/note; cat /proc/1/comm"),
            "kept\nberth-init"
        );
        assert_eq!(machine.ssh("alice", "cat /tmp/note").ok(), "kept");
    });
}

/// The record goes where it cannot be read for a moment.
#[test]
fn a_berth_without_a_record_goes_on_as_long_as_somebody_is_in_it() {
    Machine::run(|machine| {
        machine.policy(&Policy::with_namespaces(
            r#"scope = "user", user = "identity", pid = true, mount = true, private_tmp = "disk""#,
        ));
        let before = machine.settled();
        let mut first = machine.ssh_terminal("alice");
        first.run("echo of-the-first >/tmp/note");
        let record = format!("/run/berth/sessions/{}", machine.session());
        machine.host(&format!("rm {record}")).ok();
        assert_eq!(machine.ssh("alice", "cat /tmp/note").ok(), "of-the-first");
        assert_eq!(first.run("cat /tmp/note"), "of-the-first");
        drop(first);
        machine.assert_nothing_left(&before);
    });
}

/// As after an upgrade that makes another berth of the same policy: somebody looks for their tmux.
#[test]
fn a_login_that_finds_a_berth_but_not_its_own_says_so() {
    Machine::run(|machine| {
        shared(machine);
        let first = machine.ssh_terminal("alice");
        let id = machine.session();
        machine.policy(&Policy::with_namespaces(
            r#"scope = "user", user = "identity", pid = true, mount = true"#,
        ));
        machine.ssh("alice", "true").ok();
        let line = machine.logged("beside=");
        let berth = format!("berth {id}: other namespaces, privileges or maps");
        assert!(line.contains(&berth), "{line}");
        machine.forget_log();
        machine.ssh("bob", "true").ok();
        let line = machine.logged("result=ok");
        assert!(!line.contains("beside="), "{line}");
        drop(first);
    });
}

#[test]
fn a_login_that_fails_waits_for_no_other_and_takes_none_with_it() {
    Machine::run(|machine| fail_after_another_has_joined(machine, |_| ()));
}

#[test]
fn a_login_that_fails_when_its_application_has_ended_takes_no_other_with_it_either() {
    Machine::run(|machine| {
        fail_after_another_has_joined(machine, |su| su.kill().unwrap());
        let lines = machine.log_lines();
        let false_ones = lines.iter().filter(|line| line.contains("result=killed"));
        assert_eq!(false_ones.count(), 0, "{lines:#?}");
    });
}

/// The login that made the berth fails when another has joined it. `meanwhile` gets its application.
fn fail_after_another_has_joined(machine: &mut Machine, meanwhile: impl FnOnce(&mut Child)) {
    shared(machine);
    let before = machine.settled();
    // The one after those that are over.
    let id = machine.next_session();
    let user = machine.cgroups().user(machine.uid("alice"));
    let cgroup = user.join(format!("sessions/{id}/cgroup.procs"));
    let cgroup = cgroup.display();
    let text = format!(
        "#!/bin/sh\nexec strace -f -qq -o /dev/null -P {cgroup} -e trace=openat -e inject=openat:error=EIO:signal=STOP:when=1 /berth/berth-helper \"$@\"\n"
    );
    machine.stack(&Stack {
        helper: machine.script("other-helper", &text),
        arguments: "timeout=30".into(),
        account: false,
        ..Stack::default()
    });
    let mut su = Command::new("su");
    su.args(["alice", "-c", "echo in"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut failing = Background(su.spawn().unwrap());
    becomes(|| Process::named("berth-init").len(), 1);
    machine.stack(&Stack::default());
    let (other, process) = machine.stay("alice");
    meanwhile(&mut failing.0);
    for helper in Process::named("berth-helper") {
        helper.signal(Signal::SIGCONT);
    }
    let ended = eventually(|| failing.0.try_wait().unwrap().is_some());
    assert!(ended, "it waits for the other login");
    failing.wait().refused();
    machine.logged("Input/output error");
    machine.another_session("bob");
    becomes(|| Process::named("berth-init").len(), 1);
    assert_eq!(process.name(), "sleep");
    let inits = Process::named("berth-init");
    assert_eq!(
        inits[..]
            .iter()
            .map(|init| init.namespace("pid"))
            .collect::<Vec<_>>(),
        [process.namespace("pid")]
    );
    other.end();
    machine.assert_nothing_left(&before);
}
