//! One berth for all logins of a user: `scope = "user"`.

use berth_tests::{Door, Machine, Policy, Process, eventually};

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
        let trace = "strace -o /dev/null -p $(pgrep -x sleep) & sleep 0.5; kill %1; ls -A /tmp";
        assert_eq!(machine.ssh("alice", trace).ok(), "note");
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

#[test]
fn a_berth_stays_while_one_login_does() {
    Machine::run(|machine| {
        shared(machine);
        let mut first = machine.ssh_terminal("alice");
        let mut second = machine.ssh_terminal("alice");
        first.run("echo kept >/tmp/note");
        assert_eq!(second.run("cat /tmp/note"), "kept");
        first.send("exit");
        first.wait();
        std::thread::sleep(std::time::Duration::from_secs(2));
        assert_eq!(
            second.run("cat /tmp/note; cat /proc/1/comm"),
            "kept\nberth-init"
        );
        assert_eq!(machine.ssh("alice", "cat /tmp/note").ok(), "kept");
    });
}
