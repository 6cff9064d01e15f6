//! One session that uses up what the kernel counts takes nothing from root or from another user.

use std::process::Command;

use berth_tests::{Background, Machine, Policy, Process, Terminal, becomes, eventually};

/// Starts a probe by ssh that takes all of something and keeps it; gives back what it said.
fn exhaust(machine: &mut Machine, user: &str, what: &str) -> (Background, String) {
    // A terminal would be hung up; a pipe that stays open keeps the probe waiting.
    let command = format!("{} </dev/null", machine.probe(what));
    let mut login = machine.ssh_background(user, &command);
    let said = login.line();
    (login, said)
}

/// Whether it had any, before it was refused with this error.
fn took_some_until(said: &str, refusal: &str) -> bool {
    !said.starts_with("0 ") && said.ends_with(&format!("then {refusal}"))
}

/// What root on the host and another user still have.
fn others_have_all(machine: &mut Machine) {
    let one = machine.probe("one-of-each");
    assert_eq!(machine.host(&one).ok(), "all there", "root on the host");
    assert_eq!(machine.ssh("root", &one).ok(), "all there", "root by ssh");
    assert_eq!(machine.ssh("bob", &one).ok(), "all there", "another user");
    let again = machine.su("bob", &one).ok();
    assert_eq!(again, "all there", "another user by su");
}

#[test]
fn all_inotify_instances_of_one_session_are_its_own() {
    Machine::run(|machine| {
        others_have_all(machine);
        let (login, said) = exhaust(machine, "alice", "inotify");
        assert!(took_some_until(&said, "EMFILE"), "{said}");
        others_have_all(machine);
        login.end();
    });
}

/// Each is kept by a process of root's for as long as another of its user's logins is on, and there may be any number.
#[test]
fn what_lingers_in_a_shared_berth_takes_no_inotify_instance_of_roots() {
    Machine::run(|machine| {
        let namespaces =
            r#"scope = "user", user = "identity", pid = true, ipc = true, mount = true"#;
        machine.policy(&Policy::with_namespaces(namespaces));
        let before = machine.settled();
        let (login, _) = machine.stay("alice");
        for _ in 0..3 {
            machine
                .su("alice", "setsid sleep 1000 >/dev/null 2>&1 &")
                .ok();
        }
        let linger = || machine.berth("list").ok().matches(" linger").count();
        becomes(linger, 3);
        let held = |keeper: Process| {
            let fds = std::fs::read_dir(format!("/proc/{}/fd", keeper.0)).unwrap();
            let links = fds
                .flatten()
                .filter_map(|fd| std::fs::read_link(fd.path()).ok());
            links
                .filter(|link| link.ends_with("anon_inode:inotify"))
                .count()
        };
        let keepers = Process::named("berth-helper");
        assert_eq!(keepers.into_iter().map(held).sum::<usize>(), 0);
        login.end();
        machine.assert_nothing_left(&before);
    });
}

/// Of each login by su one process of root's stays as a zombie where a user takes in orphans and reaps none. There may be any
/// number of them, so they are to count as the user's tasks.
#[test]
fn what_a_user_does_not_reap_counts_where_they_are() {
    Machine::run(|machine| {
        machine.policy(&Policy::with_namespaces(""));
        let before = machine.settled();
        let (login, said) = exhaust(machine, "alice", "orphans 5 su bob -c true");
        assert_eq!(said, "5 done");
        let zombies = || {
            let all = Process::named("berth-helper").into_iter();
            // A keeper that has just ended is one, too, until its standby has reaped it.
            let is_hers = |one: &Process| one.parent().is_some_and(|up| up.name() == "berth-probe");
            all.filter(|one| one.is_zombie() && is_hers(one))
                .collect::<Vec<_>>()
        };
        assert!(eventually(|| zombies().len() == 5), "{:?}", zombies());
        let alices = format!("/user-{}/", machine.uid("alice"));
        for zombie in zombies() {
            let cgroup = zombie.cgroup().unwrap();
            assert!(cgroup.contains(&alices), "{cgroup}");
        }
        login.end();
        machine.assert_nothing_left(&before);
    });
}

/// Ten at a time: neither the log nor anything else grows by more than a login is worth.
#[test]
fn a_thousand_quick_logins_say_two_lines_each_and_leave_nothing() {
    Machine::run(|machine| {
        let before = machine.settled();
        let lines = |machine: &Machine| {
            let all = machine.log_lines().into_iter();
            all.filter(|line| line.contains("user=alice")).count()
        };
        let log_in = "for n in $(seq 10); do (for n in $(seq 100); do su alice -c true 2>&1 || echo failed $?; done) & done; wait";
        let logins = std::process::Command::new("sh")
            .args(["-c", log_in])
            .stdout(std::process::Stdio::piped())
            .spawn();
        let logins = Background(logins.unwrap());
        assert_eq!(machine.ssh("bob", "echo in").ok(), "in", "meanwhile");
        assert_eq!(machine.ssh("root", "echo in").ok(), "in", "meanwhile");
        assert_eq!(logins.wait().stdout, "");
        machine.assert_nothing_left(&before);
        // A thread reads them.
        becomes(|| lines(machine), 2000);
    });
}

/// The same by ssh, where each has a process of the user's in sshd, and under a shipped policy.
#[test]
fn quick_logins_by_ssh_leave_nothing() {
    Machine::run(|machine| {
        let tilde = include_str!("../../packaging/examples/tilde.toml");
        machine.policy(&Policy::of_example(tilde, "free"));
        let before = machine.settled();
        for _ in 0..10 {
            let logins: Vec<_> = (0..6)
                .map(|_| machine.ssh_background("alice", "echo in"))
                .collect();
            for login in logins {
                assert_eq!(login.wait().stdout, "in\n");
            }
        }
        machine.assert_nothing_left(&before);
        let opened = |machine: &Machine| {
            let all = machine.log_lines().into_iter();
            let opened = all.filter(|line| line.contains(": open session="));
            opened
                .filter(|line| line.contains("user=alice") && line.contains("result=ok"))
                .count()
        };
        becomes(|| opened(machine), 60);
    });
}

#[test]
fn all_message_queues_of_one_session_are_its_own() {
    Machine::run(|machine| {
        let (login, said) = exhaust(machine, "alice", "queues");
        assert!(took_some_until(&said, "EMFILE"), "{said}");
        others_have_all(machine);
        login.end();
    });
}

#[test]
fn all_timers_of_one_session_are_its_own() {
    Machine::run(|machine| {
        let (login, said) = exhaust(machine, "alice", "timers");
        assert!(took_some_until(&said, "EAGAIN"), "{said}");
        others_have_all(machine);
        login.end();
    });
}

/// The kernel counts them for the machine, so nobody has one; but nobody needs one to get in.
#[test]
fn who_uses_up_all_terminals_keeps_out_nobody_and_root_can_end_it() {
    Machine::run(|machine| {
        machine.few_terminals();
        let ssh = machine.client("echo $SSH root@127.0.0.1").ok();
        let mut roots = Terminal::start(Command::new("sh"));
        let (login, said) = exhaust(machine, "alice", "terminals");
        assert!(took_some_until(&said, "ENOSPC"), "{said}");
        for user in ["root", "bob"] {
            assert_eq!(machine.ssh(user, "echo in").ok(), "in", "{user}");
        }
        roots.send(&ssh);
        roots.expect("PTY allocation request failed");
        roots.send("tty; pkill -u alice berth-probe");
        roots.expect("not a tty");
        login.wait();
        assert_eq!(machine.ssh_terminal("root").run("echo in"), "in");
    });
}

#[test]
fn what_a_user_used_up_does_not_keep_the_user_out() {
    Machine::run(|machine| {
        for (what, refusal) in [
            ("inotify", "EMFILE"),
            ("queues", "EMFILE"),
            ("timers", "EAGAIN"),
        ] {
            let (login, said) = exhaust(machine, "alice", what);
            assert!(took_some_until(&said, refusal), "{said}");
            assert_eq!(machine.ssh("alice", "echo in").ok(), "in", "{what}");
            login.end();
        }
    });
}
