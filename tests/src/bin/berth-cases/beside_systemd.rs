//! Logins on a machine that systemd runs: where logind puts them, with Berth last in the stack and without.

use std::process::{Child, Command, Stdio};

use berth_tests::{Booted, Policy, Process, becomes, eventually};
use nix::fcntl::{Flock, FlockArg};

use super::BootedCase;
use super::audit::{CLEAR, assert_audited, switch};

pub const CASES: &[BootedCase] = cases! {
    the_audit_log_has_every_record_of_a_login_under_systemd
};

pub const CASES_WITHOUT_CONTROLLERS: &[BootedCase] = cases! {
    a_login_by_ssh_is_in_a_scope_of_its_user
    a_berth_is_in_the_scope_that_logind_made
    who_and_logind_show_a_login_in_a_berth_and_its_end
    an_account_phase_alone_leaves_nothing
    what_an_account_phase_leaves_is_taken_back_by_the_worker_alone
    what_an_account_phase_leaves_is_taken_back_although_all_of_berth_is_killed
    what_an_account_phase_leaves_is_taken_back_from_among_the_keepers_where_the_worker_is_killed
    an_account_phase_leaves_no_process_although_its_users_lock_is_never_let_go
    caps_go_with_a_users_last_session_also_where_that_has_no_cgroup
};

const NAMESPACES: [&str; 4] = ["user", "pid", "ipc", "mnt"];

fn a_login_by_ssh_is_in_a_scope_of_its_user(machine: &Booted) {
    let before = machine.settled();
    for user in ["alice", "root"] {
        let cgroup = machine.ssh(user, "sed -n s/^0:://p /proc/self/cgroup").ok();
        assert_is_scope(machine, user, &cgroup);
    }
    machine.assert_nothing_left(&before);
}

fn a_berth_is_in_the_scope_that_logind_made(machine: &Booted) {
    machine.berth(
        "sshd",
        &Policy::with_profile("cgroup = \"keep\"\nlogout = { grace = \"1s\" }"),
    );
    let before = machine.settled();
    let host = Process(1);

    let (login, sleep) = machine.stay("alice");
    for kind in NAMESPACES {
        assert_ne!(sleep.namespace(kind), host.namespace(kind), "{kind}");
    }
    assert_is_scope(machine, "alice", &sleep.cgroup().expect("a cgroup"));
    let sees = machine
        .ssh("alice", "cat /proc/1/comm; ls -d /proc/[0-9]* | wc -l")
        .ok();
    let (first, processes) = sees.split_once('\n').expect("two lines");
    assert_eq!(first, "berth-init");
    assert!(processes.parse::<u32>().expect("a number") < 10, "{sees}");

    let (root_login, root) = machine.stay("root");
    for kind in NAMESPACES {
        assert_eq!(root.namespace(kind), host.namespace(kind), "{kind}");
    }
    assert_is_scope(machine, "root", &root.cgroup().expect("a cgroup"));

    becomes(|| machine.sessions().len(), 2);
    // Without a berth a command outlives its connection.
    root.kill();
    root_login.end();
    login.end();
    let closed = eventually(|| machine.sessions().is_empty());
    assert!(closed, "open: {:?}", machine.sessions());
    machine.assert_nothing_left(&before);
}

/// Fails unless this is the cgroup of a login that logind has. Where the audit system does not count sessions logind
/// does, and puts a `c` before.
#[track_caller]
fn assert_is_scope(machine: &Booted, user: &str, cgroup: &str) {
    let slice = format!("/user.slice/user-{}.slice/session-", machine.uid(user));
    let rest = cgroup.trim_end().strip_prefix(&slice);
    let number = rest.and_then(|rest| rest.strip_suffix(".scope"));
    let number = number.map(|number| number.trim_start_matches('c'));
    let is_number = number.is_some_and(|number| number.parse::<u32>().is_ok());
    assert!(is_number, "{user} is in {cgroup}");
}

/// The standby is still where the application was, which may be a cgroup that its user can freeze: with a lock held, root's
/// commands would wait.
fn what_an_account_phase_leaves_is_taken_back_by_the_worker_alone(machine: &Booted) {
    machine.berth("sshd", &Policy::default());
    let before = machine.settled();
    let locks = "/root/locks";
    let trace = format!("strace -f -qq -e trace=flock -o {locks}");
    machine.helper(&format!("exec {trace} /usr/libexec/berth-helper \"$@\""));
    machine.host("pamtester sshd alice acct_mgmt").ok();
    machine.assert_nothing_left(&before);
    let locks = std::fs::read_to_string(locks).expect("locks");
    let taken = locks.lines().filter(|line| line.contains("LOCK_EX"));
    assert_eq!(taken.count(), 1, "{locks}");
}

/// A policy whose caps systemd is asked for, although a container cannot have them.
fn capped() -> Policy {
    Policy {
        defaults: "missing_controller = \"warn\"".into(),
        ..Policy::with_user_caps("tasks_max = 60")
    }
}

fn an_account_phase_alone_leaves_nothing(machine: &Booted) {
    machine.berth("sshd", &capped());
    let before = machine.settled();
    machine.host("pamtester sshd alice acct_mgmt").ok();
    machine.assert_nothing_left(&before);
}

/// The lock on alice's folder, which her logins then wait for.
fn alices_lock(machine: &Booted) -> Flock<std::fs::File> {
    let folder = format!("/run/berth/users/{}", machine.uid("alice"));
    let folder = std::fs::File::open(folder).expect("the user's folder");
    Flock::lock(folder, FlockArg::LockExclusive).expect("the user's lock")
}

/// An application whose account phase has had caps set for a session that may come; it waits for a password.
fn past_the_account_phase(machine: &Booted) -> Child {
    let mut application = Command::new("pamtester");
    application.args(["sshd", "alice", "acct_mgmt", "authenticate"]);
    let application = application.stdin(Stdio::piped()).spawn();
    becomes(|| machine.drop_ins("alice"), ["50-TasksMax.conf"]);
    application.expect("pamtester")
}

fn what_an_account_phase_leaves_is_taken_back_although_all_of_berth_is_killed(machine: &Booted) {
    machine.berth("sshd", &capped());
    let before = machine.settled();
    let mut application = past_the_account_phase(machine);
    Process::kill_the_keepers();
    drop(application.stdin.take());
    application.wait().expect("its end");
    assert_eq!(
        machine.drop_ins("alice"),
        ["50-TasksMax.conf"],
        "somebody is left who takes it back"
    );
    machine.assert_nothing_left(&before);
}

/// The application's cgroup may be one that its user can freeze, and who is frozen lets no lock go.
fn what_an_account_phase_leaves_is_taken_back_from_among_the_keepers_where_the_worker_is_killed(
    machine: &Booted,
) {
    machine.berth("sshd", &capped());
    let before = machine.settled();
    let mut application = past_the_account_phase(machine);
    let lock = alices_lock(machine);
    let helpers = || Process::named("berth-helper").into_iter();
    let among_keepers = |one: &Process| one.cgroup().is_some_and(|it| it.contains("/keepers"));
    let worker = helpers().find(among_keepers).expect("the worker");
    let standby = helpers()
        .find(|one| !among_keepers(one))
        .expect("the standby");
    worker.kill();
    let gone = eventually(|| among_keepers(&standby));
    assert!(gone, "{:?}", standby.cgroup());
    drop(lock);
    assert!(eventually(|| machine.drop_ins("alice") == [""; 0]));
    drop(application.stdin.take());
    application.wait().expect("its end");
    machine.assert_nothing_left(&before);
}

/// Neither of one that had caps set before somebody took the lock, nor of one that came later; the timer takes the caps back.
fn an_account_phase_leaves_no_process_although_its_users_lock_is_never_let_go(machine: &Booted) {
    machine.berth("sshd", &capped());
    let before = machine.settled();
    let mut application = past_the_account_phase(machine);
    let lock = alices_lock(machine);
    let has_ended = || Process::named("berth-helper").is_empty();
    drop(application.stdin.take());
    application.wait().expect("its end");
    assert!(eventually(has_ended), "the first waits for the lock");
    machine.host("pamtester sshd alice acct_mgmt").ok();
    assert!(eventually(has_ended), "the second waits for the lock");
    assert_eq!(machine.drop_ins("alice"), ["50-TasksMax.conf"]);
    drop(lock);
    machine.assert_caps_taken_back("alice");
    machine.assert_nothing_left(&before);
}

fn caps_go_with_a_users_last_session_also_where_that_has_no_cgroup(machine: &Booted) {
    machine.berth("sshd", &capped());
    let before = machine.settled();
    let (first, _) = machine.stay("alice");
    machine.policy(&Policy::with_profile(
        "cgroup = \"keep\"\nlogout = { grace = \"1s\" }",
    ));
    let (second, _) = machine.stay("alice");
    first.end();
    becomes(|| machine.sessions().len(), 1);
    assert_eq!(machine.drop_ins("alice"), ["50-TasksMax.conf"]);
    second.end();
    let closed = eventually(|| machine.sessions().is_empty());
    assert!(closed, "open: {:?}", machine.sessions());
    machine.assert_nothing_left(&before);
}

fn who_and_logind_show_a_login_in_a_berth_and_its_end(machine: &Booted) {
    machine.berth("sshd", &Policy::default());
    let before = machine.settled();
    // Debian 13 keeps no wtmp, nor has a program that reads it.
    let keeps_wtmp = machine.host("command -v last").success();
    if keeps_wtmp {
        std::fs::write("/var/log/wtmp", "").expect("wtmp");
    }
    let mut terminal = machine.terminal("alice");
    let tty = terminal.run("cat /proc/1/comm; tty");
    let line = tty.strip_prefix("berth-init\n/dev/").expect(&tty);
    // sshd has no terminal yet when it opens the session, so logind knows none, or learns of it later; and where there
    // is no wtmp, `who` and `w` ask logind.
    let line = if keeps_wtmp { line } else { "alice" };
    let looks = [
        ("who", line),
        ("w --no-header", line),
        ("loginctl --no-legend list-sessions", "alice"),
    ];
    for (look, line) in looks {
        let said = machine.host(look).ok();
        assert!(
            said.contains("alice") && said.contains(line),
            "{look}: {said}"
        );
    }
    let last = || machine.host("last -w alice").ok();
    assert!(
        !keeps_wtmp || last().contains("still logged in"),
        "{}",
        last()
    );
    terminal.send("exit");
    terminal.wait();
    machine.assert_nothing_left(&before);
    for (look, _) in looks {
        let said = machine.host(look).ok();
        assert!(!said.contains("alice"), "{look}: {said}");
    }
    let has_ended = || !last().contains("still") && !last().contains("gone");
    assert!(!keeps_wtmp || has_ended(), "{}", last());
}

fn the_audit_log_has_every_record_of_a_login_under_systemd(machine: &Booted) {
    // Not as audit=1 for all of the machine's life: systemd's own records drown what other cases look for.
    switch(true);
    machine.berth("sshd", &Policy::default());
    let before = machine.settled();
    machine.host(CLEAR).ok();
    machine.ssh("alice", "true").ok();
    machine.assert_nothing_left(&before);
    let log = machine.host("dmesg").ok();
    switch(false);
    assert_audited(&log);
}
