//! `berth freeze` and `berth thaw` on real logins.

use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use berth_tests::namespaces::PROGRAMS;
use berth_tests::ticking::{COUNT, assert_goes_on, assert_stands};
use berth_tests::{Machine, Output, Policy, Process, Stack, becomes, eventually};

/// The columns of each session in the list, in the order of their ids.
fn sessions(machine: &Machine) -> Vec<Vec<String>> {
    let said = machine.berth("list").stdout;
    let lines = said
        .lines()
        .filter(|line| line.trim_start().starts_with(|c: char| c.is_ascii_digit()));
    let lines = lines.filter(|line| !line.contains(" session"));
    lines
        .map(|line| line.split_whitespace().map(String::from).collect())
        .collect()
}

/// The state of each session.
fn states(machine: &Machine) -> Vec<String> {
    let all = sessions(machine).into_iter();
    all.map(|mut columns| columns.pop().unwrap()).collect()
}

/// The id of a user's session.
#[track_caller]
fn id(machine: &Machine, user: &str) -> String {
    let said = machine.berth("list").ok();
    let mut lines = said.lines().map(|line| line.split_whitespace());
    let line = lines.find(|line| line.clone().nth(1) == Some(user));
    line.unwrap().next().unwrap().into()
}

#[track_caller]
fn assert_states(machine: &Machine, expected: &[&str]) {
    becomes(|| states(machine), expected);
}

#[test]
fn what_is_frozen_stops_and_goes_on_where_it_was() {
    Machine::run(|machine| {
        let before = machine.settled();
        let alice = machine.ssh_background("alice", COUNT);
        assert_goes_on("alice");
        let bob = machine.ssh_background("bob", COUNT);
        assert_goes_on("bob");
        assert_states(machine, &["active", "active"]);
        let (of_alice, of_bob) = (id(machine, "alice"), id(machine, "bob"));
        let session = format!("session {of_alice}");
        for (object, said) in [("alice", "user \"alice\""), (&of_alice, &session)] {
            assert_eq!(
                machine.berth(&format!("freeze {object}")).ok(),
                format!("frozen {said}: 1 session")
            );
            assert_states(machine, &["frozen", "active"]);
            assert_stands("alice");
            assert_goes_on("bob");
            // Twice is once.
            machine.berth(&format!("freeze {object}")).ok();
            assert!(
                machine
                    .berth(&format!("show {of_alice}"))
                    .ok()
                    .contains("    State: frozen\n")
            );
            assert_eq!(
                machine.berth(&format!("thaw {object}")).ok(),
                format!("thawed {said}: 1 session")
            );
            assert_goes_on("alice");
        }
        assert!(
            machine
                .logged("freeze user=alice result=ok by=root")
                .contains("berth[")
        );
        assert!(
            machine
                .logged(&format!("thaw session={of_alice} result=ok by=root"))
                .contains("berth[")
        );

        let json = machine.berth("freeze bob --json").json();
        assert_eq!(json["frozen"].to_string(), format!("[{of_bob}]"), "{json}");
        assert_eq!(json["failed"].to_string(), "[]", "{json}");
        // One session of a user's who is frozen as a whole stays so.
        let said = machine.berth(&format!("thaw {of_bob}")).ok();
        assert!(
            said.contains(&format!("session {of_bob} is still frozen")),
            "{said}"
        );
        assert_stands("bob");
        machine.berth("thaw bob").ok();
        for login in [alice, bob] {
            login.end();
        }
        machine.assert_nothing_left(&before);
    });
}

#[test]
fn a_frozen_users_login_is_refused_and_nobody_elses() {
    Machine::run(|machine| {
        machine.policy(&Policy {
            defaults: "frozen_login = \"deny\"\ncontact = \"help@example.org\"".into(),
            ..Policy::default()
        });
        let alice = machine.ssh_background("alice", COUNT);
        assert_goes_on("alice");
        machine.berth("freeze alice").ok();
        let refused = machine.ssh("alice", "true");
        assert!(!refused.status.success(), "{refused:?}");
        // In the account phase already: a session is not needed to do harm.
        assert!(machine.refuses_without_session("alice"));
        let refused = machine.su("alice", "true");
        assert!(!refused.status.success(), "{refused:?}");
        let message =
            "Your sessions are frozen, and no others can be opened. Help: help@example.org";
        assert!(format!("{refused:?}").contains(message), "{refused:?}");
        assert!(
            machine
                .logged("result=deny reason=\"Your sessions are frozen")
                .contains("user=alice")
        );
        machine.ssh("bob", "true").ok();
        machine.ssh("root", "true").ok();
        machine.berth("thaw alice").ok();
        machine.ssh("alice", "true").ok();
        assert_goes_on("alice");
        alice.end();
    });
}

#[test]
fn a_login_that_the_policy_lets_stand_goes_on_when_its_user_does() {
    Machine::run(|machine| {
        machine.stack(&Stack {
            arguments: "timeout=2".into(),
            ..Stack::default()
        });
        machine.policy(&Policy {
            defaults: "frozen_login = \"freeze\"".into(),
            ..Policy::default()
        });
        let before = machine.settled();
        let alice = machine.ssh_background("alice", COUNT);
        assert_goes_on("alice");
        machine.berth("freeze alice").ok();
        let late = machine.ssh_background("alice", "touch ~/late; exec sleep 1000");
        assert_states(machine, &["frozen", "frozen"]);
        let id = sessions(machine).pop().unwrap().swap_remove(0);

        // It can be looked into, and who keeps it does not stand.
        let shown = machine.berth(&format!("show {id}")).ok();
        assert!(shown.contains("    State: frozen\n"), "{shown}");
        let inside = machine.berth(&format!("enter {id} cat /proc/1/comm")).ok();
        assert_eq!(inside, "berth-init");
        let keeper = shown.split("keeper ").nth(1).unwrap();
        let keeper = keeper.split(',').next().unwrap();
        let cgroup = fs::read_to_string(format!("/proc/{keeper}/cgroup")).unwrap();
        assert!(cgroup.contains("/berth-keepers"), "{cgroup}");
        // Nobody else waits: not sshd, nor who has no network to wait at.
        machine.ssh("bob", "true").ok();
        let refused = machine.su("alice", "true");
        assert!(!refused.status.success(), "{refused:?}");
        assert!(
            format!("{refused:?}").contains("Your sessions are frozen"),
            "{refused:?}"
        );

        // The module's patience would be over.
        std::thread::sleep(Duration::from_secs(3));
        assert_states(machine, &["frozen", "frozen"]);
        assert!(!fs::exists("/home/alice/late").unwrap());
        machine.berth("thaw alice").ok();
        assert!(eventually(|| fs::exists("/home/alice/late").unwrap()));
        assert_states(machine, &["active", "active"]);
        let entry = format!("open session={id} user=alice");
        assert!(machine.logged(&entry).contains(" result=ok "));
        assert_goes_on("alice");

        // What stands can be killed, and its user's freezing ends with the last of their sessions.
        machine.berth("freeze alice").ok();
        let latest = machine.ssh_background("alice", "exec sleep 1000");
        assert_states(machine, &["frozen", "frozen", "frozen"]);
        machine.berth("kill alice --yes").ok();
        for login in [alice, late, latest] {
            login.end();
        }
        machine.assert_nothing_left(&before);
        machine.ssh("alice", "true").ok();
    });
}

/// Its client may have gone, so nothing but `max_sessions` says how many of a user's logins stand.
#[test]
fn logins_that_stand_count_and_one_whose_program_is_killed_no_more() {
    Machine::run(|machine| {
        machine.policy(&Policy {
            defaults: "frozen_login = \"freeze\"".into(),
            profile: "max_sessions = 2\nlogout = { grace = \"1s\" }".into(),
            ..Policy::default()
        });
        let before = machine.settled();
        let alice = machine.ssh_background("alice", COUNT);
        assert_goes_on("alice");
        machine.berth("freeze alice").ok();
        let gave_up = machine.ssh_background("alice", "true");
        assert_states(machine, &["frozen", "frozen"]);
        gave_up.end();
        assert!(machine.refuses_without_session("alice"));
        assert_states(machine, &["frozen", "frozen"]);
        machine
            .host("kill -KILL $(pgrep -n -f '^sshd.*: alice .priv')")
            .ok();
        assert_states(machine, &["frozen"]);
        let late = machine.ssh_background("alice", "true");
        assert_states(machine, &["frozen", "frozen"]);
        machine.berth("thaw alice").ok();
        late.wait();
        alice.end();
        machine.assert_nothing_left(&before);
    });
}

#[test]
fn the_users_of_a_pool_are_frozen_together() {
    Machine::run(|machine| {
        machine.policy(&Policy {
            profile: "logout = { grace = \"1s\" }\npool = \"cs\"".into(),
            rest: "[pool.cs]\n".into(),
            ..Policy::default()
        });
        let before = machine.settled();
        let alice = machine.ssh_background("alice", COUNT);
        let bob = machine.ssh_background("bob", COUNT);
        assert_goes_on("alice");
        assert_goes_on("bob");
        assert_eq!(
            machine.berth("freeze pool:cs").ok(),
            "frozen pool \"cs\": 2 sessions"
        );
        assert_states(machine, &["frozen", "frozen"]);
        assert_stands("alice");
        assert_stands("bob");
        let shown = machine.berth("show pool:cs").ok();
        assert!(
            shown.starts_with("pool cs  2 users\n")
                && shown.contains("   Cgroup: /berth/pool-cs\n"),
            "{shown}"
        );
        // A user of the pool who is not logged in yet would be stopped at once.
        machine.add_user("dora");
        assert!(!machine.ssh("dora", "true").status.success());
        machine.berth("thaw pool:cs").ok();
        machine.ssh("dora", "true").ok();
        assert_goes_on("alice");
        machine.berth("kill pool:cs --yes").ok();
        alice.end();
        bob.end();
        machine.assert_nothing_left(&before);
    });
}

#[test]
fn what_is_frozen_can_be_killed_and_leaves_nothing() {
    Machine::run(|machine| {
        let before = machine.settled();
        let alice = machine.ssh_background("alice", COUNT);
        assert_goes_on("alice");
        machine.berth("freeze alice").ok();
        let begun = Instant::now();
        let said = machine.berth("kill alice --yes --grace 60s").ok();
        assert!(said.starts_with("ended session "), "{said}");
        assert!(
            begun.elapsed() < Duration::from_secs(30),
            "it waited for what is frozen"
        );
        alice.end();
        machine.assert_nothing_left(&before);
        // And with the session the freezing is over.
        machine.ssh("alice", "true").ok();
    });
}

#[test]
fn a_frozen_session_ends_with_its_application() {
    Machine::run(|machine| {
        let before = machine.settled();
        let alice = machine.ssh_background("alice", COUNT);
        assert_goes_on("alice");
        let id = id(machine, "alice");
        let shown = machine.berth(&format!("show {id}")).ok();
        let leader = shown.split("Processes: login ").nth(1).unwrap();
        let leader: i32 = leader.split(',').next().unwrap().parse().unwrap();
        machine.berth(&format!("freeze {id}")).ok();
        Process(leader).kill();
        alice.end();
        machine.assert_nothing_left(&before);
    });
}

#[test]
fn what_cannot_be_frozen_is_said() {
    Machine::run(|machine| {
        let code = |output: &Output| output.status.code();
        let none = machine.berth("freeze alice");
        assert_eq!(code(&none), Some(1), "{none:?}");
        assert!(
            none.stderr.contains("user \"alice\" has no session"),
            "{none:?}"
        );
        assert_eq!(code(&machine.berth("freeze pool:cs")), Some(1));
        assert_eq!(code(&machine.berth("thaw 77")), Some(1));
        assert_eq!(code(&machine.berth("freeze group:x")), Some(2));

        let (alice, _) = machine.stay("alice");
        assert_states(machine, &["active"]);
        let by_user = machine.su("bob", &format!("{PROGRAMS}/berth freeze alice"));
        assert_eq!(code(&by_user), Some(4), "{by_user:?}");
        // From within, nobody could thaw it.
        let cgroup = machine.cgroups().user(machine.uid("alice"));
        let within = format!(
            "echo $$ >{}/sessions/1/cgroup.procs && {PROGRAMS}/berth freeze alice",
            cgroup.display()
        );
        let within = machine.host(&within);
        assert_eq!(code(&within), Some(1), "{within:?}");
        assert!(
            within.stderr.contains("nobody would be left to thaw it"),
            "{within:?}"
        );
        assert_states(machine, &["active"]);
        alice.end();

        machine.policy(&Policy::with_profile("cgroup = \"keep\""));
        let (alice, _) = machine.stay("alice");
        let kept = machine.berth("freeze alice");
        assert_eq!(code(&kept), Some(1), "{kept:?}");
        assert!(kept.stderr.contains("has no cgroup of its own"), "{kept:?}");
        alice.end();
    });
}

#[test]
fn logins_and_freezes_at_once_leave_nothing_and_hang_nobody() {
    Machine::run(|machine| {
        let before = machine.settled();
        // The cgroup must be there to be frozen.
        let (stays, _) = machine.stay("alice");
        assert_states(machine, &["active"]);
        let over = AtomicBool::new(false);
        let (mut opened, mut refused) = (0, 0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let berth = |verb| {
                    Command::new(format!("{PROGRAMS}/berth"))
                        .args([verb, "alice"])
                        .output()
                };
                for round in 0.. {
                    if over.load(Ordering::Relaxed) {
                        break;
                    }
                    berth("freeze").unwrap();
                    berth("thaw").unwrap();
                    // At another moment of the next login.
                    std::thread::sleep(Duration::from_millis(round * 97 % 700));
                }
            });
            let until = Instant::now() + Duration::from_secs(60);
            while Instant::now() < until && (opened < 3 || refused < 3) {
                match machine.ssh("alice", "true").status.success() {
                    true => opened += 1,
                    false => refused += 1,
                }
            }
            over.store(true, Ordering::Relaxed);
        });
        machine.berth("thaw alice").ok();
        machine.ssh("alice", "true").ok();
        assert!(
            opened > 0 && refused > 0,
            "{opened} opened, {refused} refused: no race"
        );
        stays.end();
        machine.assert_nothing_left(&before);
    });
}
