//! The module where it already is: twice in one stack, and in daemons started inside a berth.

use std::fs;
use std::process::{Command, Stdio};

use berth_tests::namespaces::PROGRAMS;
use berth_tests::{Background, Door, Machine, Policy, Process, Stack, eventually};

#[test]
fn the_module_twice_in_one_stack_is_one_berth() {
    Machine::run(|machine| {
        let before = machine.settled();
        let stack = Stack::default();
        machine.stack(&Stack {
            before: format!("session required {}", stack.module()),
            ..stack
        });
        for door in Door::ALL {
            let said = machine.through(door, "alice", "cat /proc/1/comm");
            assert_eq!(said, "berth-init", "{door:?}");
        }
        machine.assert_nothing_left(&before);
        let mut terminal = machine.ssh_terminal("alice");
        assert_eq!(terminal.run("echo in"), "in");
        assert_eq!(Process::named("berth-init").len(), 1);
        terminal.send("exit");
        terminal.wait();
        machine.assert_nothing_left(&before);
    });
}

/// A second sshd, at port 2222, started by another program.
fn sshd_by(program: &str) -> Background {
    let mut words = program.split(' ');
    let mut daemon = Command::new(words.next().unwrap());
    daemon
        .args(words)
        .args("/usr/sbin/sshd -D -f /etc/ssh/test_sshd_config -p 2222".split(' '))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let daemon = Background(daemon.spawn().unwrap());
    let answers = || std::net::TcpStream::connect("127.0.0.1:2222").is_ok();
    assert!(eventually(answers));
    daemon
}

#[test]
fn root_inside_a_berth_takes_no_session_for_dead_since_no_keeper_can_be_seen_there() {
    Machine::run(|machine| {
        machine.policy(&Policy::with_namespaces(
            r#"user = "off", pid = true, mount = true, private_tmp = "disk""#,
        ));
        let (alice, inside) = machine.stay("alice");
        let (bob, shell) = machine.stay("bob");
        let berth = |verb: &str| {
            let inside = inside.0;
            machine.host(&format!(
                "nsenter -t {inside} -p -m -i {PROGRAMS}/berth {verb}"
            ))
        };
        let said = berth("list").ok();
        assert_eq!(said.matches(" active\n").count(), 2, "{said}");
        let said = berth("doctor --fix").refused();
        assert!(said.stderr.contains("this is inside a berth"), "{said:?}");
        assert!(shell.exists());
        assert_eq!(fs::read_dir("/var/lib/berth/tmp").unwrap().count(), 2);
        alice.end();
        bob.end();
    });
}

#[test]
fn a_daemon_started_inside_a_berth_takes_nobody_else_into_it() {
    Machine::run(|machine| {
        let (login, inside) = machine.stay("alice");
        // As root would be in there, were there a way; a service restarted from a berth that has no
        // user namespace is just this.
        let daemon = sshd_by(&format!("nsenter -t {} -p -m -i", inside.0));
        let ssh = machine.ssh_at(2222, "bob", "echo in").refused();
        assert_eq!(ssh.stdout, "");
        drop(daemon);
        login.end();
        let line = machine.logged("inside the berth of");
        assert!(line.contains("bob") && line.contains("alice"), "{line}");
    });
}

/// The kernel gives a number again once it is free. Here the record gets that of the daemon's: others make namespaces, too.
#[test]
fn a_daemon_with_the_namespace_number_of_a_berth_that_has_ended_is_in_no_berth() {
    Machine::run(|machine| {
        let before = machine.settled();
        let (login, inside) = machine.stay("alice");
        Process::kill_the_keepers();
        assert!(eventually(|| !inside.exists()));
        login.end();
        let daemon = sshd_by("unshare -m");
        let own = daemon.process().namespace("mnt");
        let number = own
            .to_str()
            .unwrap()
            .trim_matches(|c: char| !c.is_ascii_digit());
        let rewrite = format!(r#"s/"mount_namespace":[0-9]*/"mount_namespace":{number}/"#);
        let written = machine.host(&format!(
            "cd /run/berth/sessions && sed -i '{rewrite}' * && grep -l {number} *"
        ));
        written.ok();
        for user in ["bob", "alice"] {
            let ssh = machine.ssh_at(2222, user, "cat /proc/1/comm");
            assert_eq!(ssh.ok(), "berth-init", "{user}");
        }
        daemon.end();
        machine.assert_nothing_left(&before);
    });
}

/// It cannot see whose berth it is in.
#[test]
fn an_application_that_has_joined_is_told_why_it_can_open_no_other_session() {
    Machine::run(|machine| {
        let before = machine.settled();
        let said = machine.host(&machine.probe("open-twice login alice"));
        assert!(said.stdout.contains("pam_acct_mgmt"), "{said:?}");
        machine.logged("the application has joined a berth itself");
        machine.assert_nothing_left(&before);
    });
}
