//! Memory caps, felt.

use berth_tests::{Background, Door, Machine, Policy, Process, becomes, eventually};

use super::Case;

pub const CASES: &[Case] = cases! {
    past_memory_max_a_user_is_killed_and_another_is_not
    memory_max_holds_through_every_door
    memory_max_holds_under_a_daemon_that_cannot_be_killed
    an_application_that_outlives_a_failed_login_has_its_oom_protection_back
    ten_small_hogs_are_held_together
    the_keeper_outlives_the_users_oom_and_cleans_up
};

fn capped(machine: &Machine) {
    machine.policy(&Policy::with_user_caps(
        "memory_max = \"64M\", memory_swap_max = 0",
    ));
}

fn oom_kills(machine: &Machine, user: &str) -> u64 {
    machine
        .cgroups()
        .keyed(machine.uid(user), "memory.events", "oom_kill")
}

/// How many of bob's processes hold memory.
fn holding(machine: &Machine) -> usize {
    let all = machine.processes_of("bob").into_iter();
    all.filter(|one| one.name() == "berth-probe").count()
}

fn past_memory_max_a_user_is_killed_and_another_is_not(machine: &mut Machine) {
    capped(machine);
    let bob = machine.ssh_background("bob", &machine.probe("hold 40"));
    assert!(eventually(
        || !Process::running("berth-probe hold 40").is_empty()
    ));
    // Another login keeps the user's cgroup, so that its events can be read.
    let (alice, _) = machine.stay("alice");
    assert_eq!(
        machine.ssh("alice", &machine.probe("eat 40")).ok(),
        "ate 40 MB"
    );
    assert_eq!(oom_kills(machine, "alice"), 0);
    let hog = machine.ssh("alice", &machine.probe("eat 100")).refused();
    assert!(!hog.stdout.contains("ate"), "{hog:?}");
    assert!(oom_kills(machine, "alice") >= 1);
    assert_eq!(oom_kills(machine, "bob"), 0);
    assert_eq!(holding(machine), 1, "bob's is alive");
    bob.end();
    alice.end();
}

fn memory_max_holds_through_every_door(machine: &mut Machine) {
    capped(machine);
    for door in Door::ALL {
        let command = format!("{}; true", machine.probe("eat 100"));
        let said = machine.through(door, "alice", &command);
        assert!(!said.contains("ate"), "{door:?}: {said}");
        let small = machine.probe("eat 10");
        assert!(
            machine.through(door, "alice", &small).contains("ate 10 MB"),
            "{door:?}"
        );
    }
}

fn memory_max_holds_under_a_daemon_that_cannot_be_killed(machine: &mut Machine) {
    capped(machine);
    // What the machine's daemons inherit from here on.
    std::fs::write("/proc/self/oom_score_adj", "-1000").unwrap();
    for door in Door::ALL {
        let score = machine.through(door, "alice", "cat /proc/self/oom_score_adj");
        assert_eq!(score, "0", "{door:?}");
        let command = format!("{}; true", machine.probe("eat 100"));
        let said = machine.through(door, "alice", &command);
        assert!(!said.contains("ate"), "{door:?}: {said}");
    }
    machine.policy(&Policy::with_profile("enforce = false"));
    let score = machine.through(Door::Su, "alice", "cat /proc/self/oom_score_adj");
    assert_eq!(score, "-1000", "what is not enforced changes nothing");
}

fn an_application_that_outlives_a_failed_login_has_its_oom_protection_back(machine: &mut Machine) {
    let before = machine.settled();
    // The next session's cgroup is there already and frozen, so the login gets no further than into it.
    let id = machine.next_session();
    let user = machine.cgroups().user(machine.uid("alice"));
    let session = user.join(format!("sessions/{id}"));
    std::fs::create_dir_all(&session).unwrap();
    std::fs::write(session.join("cgroup.freeze"), "1").unwrap();
    std::fs::write("/proc/self/oom_score_adj", "-900").unwrap();
    // An application that lives on when it has failed.
    let application = Background::talking(&machine.probe("open-among-threads 1 su alice"));
    let score = || application.process().file("oom_score_adj");
    let frozen = || {
        let inside = std::fs::read_to_string(session.join("cgroup.procs"));
        inside.is_ok_and(|inside| !inside.is_empty())
    };
    assert!(eventually(frozen));
    assert_eq!(score().trim(), "0");
    let helpers = Process::named("berth-helper").into_iter();
    let of_helper = |one: &Process| one.parent().is_some_and(|up| up.name() == "berth-helper");
    let workers: Vec<Process> = helpers.filter(of_helper).collect();
    assert_eq!(workers.len(), 1);
    workers[0].kill();
    becomes(|| score().trim().to_owned(), "-900");
    application.end();
    machine.assert_nothing_left(&before);
}

fn ten_small_hogs_are_held_together(machine: &mut Machine) {
    capped(machine);
    let hog = machine.probe("hold 12");
    let five = format!("for i in 1 2 3 4 5; do {hog} & done; wait");
    let logins = [
        machine.ssh_background("alice", &five),
        machine.ssh_background("alice", &five),
    ];
    assert!(
        eventually(|| oom_kills(machine, "alice") >= 1),
        "12 MB each, 120 MB together"
    );
    let read = |file: &str| machine.cgroups().number(machine.uid("alice"), file);
    assert_eq!(read("memory.max"), 64 << 20);
    assert!(read("memory.current") <= 64 << 20);
    for login in logins {
        login.end();
    }
}

fn the_keeper_outlives_the_users_oom_and_cleans_up(machine: &mut Machine) {
    capped(machine);
    let before = machine.settled();
    let helpers = || Process::named("berth-helper").len();
    assert_eq!(helpers(), 0);
    let mut terminal = machine.ssh_terminal("alice");
    assert_eq!(terminal.run("echo in"), "in");
    let kept = helpers();
    assert!(kept >= 1, "no keeper");
    // Everything of the session's dies at once, the shell too.
    let oom_group = machine
        .cgroups()
        .user(machine.uid("alice"))
        .join("memory.oom.group");
    std::fs::write(oom_group, "1").unwrap();
    let keeper = Process::named("berth-helper")[0];
    terminal.send(&machine.probe("eat 100"));
    terminal.wait();
    assert!(eventually(|| !keeper.exists()), "the keeper does not end");
    machine.assert_nothing_left(&before);
}
