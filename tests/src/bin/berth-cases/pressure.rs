//! Memory that is taken back, put off to swap, or protected; felt.

use std::process::Command;
use std::time::Duration;

use berth_tests::{Machine, Policy, Process, eventually};

use super::Case;

pub const CASES: &[Case] = cases! {
    past_memory_high_a_user_is_slowed_and_not_killed
    memory_swap_max_is_what_a_user_may_swap
    a_session_has_a_memory_max_of_its_own
};

/// Not under user-mode Linux, whose kernel was once seen to take memory back for ever, and to do nothing else.
pub const CASES_OF_RECLAIM: &[Case] = cases! {
    memory_min_and_low_keep_a_users_memory_from_reclaim
};

/// Swap on a file, for as long as this lives: cases that follow have none.
struct Swap;

impl Swap {
    fn on(machine: &Machine) -> Swap {
        let make = "dd if=/dev/zero of=/disk/swap bs=1M count=200 2>/dev/null && chmod 600 /disk/swap \
            && mkswap /disk/swap >/dev/null && swapon /disk/swap";
        machine.host(make).ok();
        Swap
    }
}

impl Drop for Swap {
    fn drop(&mut self) {
        // The case has ended; where this fails, a later one does.
        let _ = Command::new("swapoff").arg("/disk/swap").status();
    }
}

fn capped(machine: &Machine, caps: &str) {
    machine.policy(&Policy::with_user_caps(caps));
}

fn event(machine: &Machine, user: &str, event: &str) -> u64 {
    machine
        .cgroups()
        .keyed(machine.uid(user), "memory.events", event)
}

fn megabytes(machine: &Machine, user: &str, file: &str) -> u64 {
    machine.cgroups().number(machine.uid(user), file) >> 20
}

fn past_memory_high_a_user_is_slowed_and_not_killed(machine: &mut Machine) {
    capped(machine, "memory_high = \"32M\"");
    let (stays, _) = machine.stay("alice");
    // What is in the page cache can be taken back, and is.
    machine
        .ssh("alice", "head -c 100M /dev/zero >/disk/alice")
        .ok();
    assert!(event(machine, "alice", "high") > 0, "never above");
    let current = megabytes(machine, "alice", "memory.current");
    assert!(current <= 34, "{current} MB of 32");
    // What cannot be taken back makes the user wait.
    let hog = machine.ssh_background("alice", &machine.probe("hold 100"));
    let hogs = || Process::running("berth-probe hold 100").len();
    assert!(eventually(
        || hogs() > 0 && megabytes(machine, "alice", "memory.current") >= 30
    ));
    // Who has no such cap is through with the same long before.
    machine.host(&machine.probe("eat 100")).ok();
    std::thread::sleep(Duration::from_secs(2));
    let current = megabytes(machine, "alice", "memory.current");
    assert!((30..=48).contains(&current), "{current} MB of 32");
    assert!(hogs() > 0, "killed");
    assert_eq!(event(machine, "alice", "oom_kill"), 0);
    hog.end();
    stays.end();
}

fn memory_swap_max_is_what_a_user_may_swap(machine: &mut Machine) {
    let _swap = Swap::on(machine);
    let eat = |megabytes: u32| {
        let said = machine.su("alice", &machine.probe(&format!("eat {megabytes}")));
        said.stdout.contains("ate")
    };
    capped(machine, "memory_max = \"48M\", memory_swap_max = 0");
    assert!(!eat(100), "there is swap, but not for this user");
    capped(machine, "memory_max = \"48M\", memory_swap_max = \"80M\"");
    assert!(eat(100), "48 MB and 80 of swap hold 100");
    assert!(!eat(160), "48 MB and 80 of swap do not hold 160");
    capped(
        machine,
        "memory_max = \"48M\", memory_swap_max = \"infinity\"",
    );
    assert!(eat(160), "48 MB and any swap hold 160");
}

/// Fills memory in both users, has the kernel take memory back from everybody until half of bob's is in
/// swap, and says how many megabytes of alice's are.
fn swapped(machine: &mut Machine) -> u64 {
    let hold = machine.probe("hold 40");
    let logins = ["alice", "bob"].map(|user| machine.ssh_background(user, &hold));
    let used = |machine: &Machine, user| megabytes(machine, user, "memory.current");
    assert!(eventually(|| ["alice", "bob"]
        .iter()
        .all(|user| used(machine, user) >= 40)));
    let reclaim = machine.cgroups().root().join("memory.reclaim");
    let swapped = |user| megabytes(machine, user, "memory.swap.current");
    // The page cache goes first, and how much of that there is nobody knows.
    let taken = eventually(|| {
        // It fails where less than that can be had.
        let _ = std::fs::write(&reclaim, "32M");
        swapped("bob") >= 20
    });
    assert!(taken, "{} MB of bob's was taken", swapped("bob"));
    let swapped = swapped("alice");
    logins.into_iter().for_each(berth_tests::Background::end);
    swapped
}

fn memory_min_and_low_keep_a_users_memory_from_reclaim(machine: &mut Machine) {
    let _swap = Swap::on(machine);
    // Another level of cgroups lies between with a pool.
    for (cap, pool) in [
        ("memory_min", ""),
        ("memory_low", ""),
        ("memory_low", "pool = \"p\""),
    ] {
        machine.policy_text(&format!(
            "version = 1\n[pool.p]\n[profile.kept]\n{pool}\nuser = {{ {cap} = \"64M\" }}\n[profile.plain]\nuser = {{}}\n\
             [[rule]]\nuser = \"alice\"\nprofile = \"kept\"\n[[rule]]\nprofile = \"plain\"\n"
        ));
        let alice = swapped(machine);
        assert!(alice <= 2, "{cap} {pool}: {alice} MB of alice's was taken");
    }
}

fn a_session_has_a_memory_max_of_its_own(machine: &mut Machine) {
    machine.policy(&Policy::with_profile(
        "user = { memory_max = \"200M\", memory_swap_max = 0 }\nsession = { memory_max = \"48M\" }\nlogout = { grace = \"1s\" }",
    ));
    // Together they have more than one may have.
    let hold = machine.probe("hold 35");
    let two = [
        machine.ssh_background("alice", &hold),
        machine.ssh_background("alice", &hold),
    ];
    let holding = || {
        Process::running("berth-probe hold 35")
            .iter()
            .filter(|one| one.name() == "berth-probe")
            .count()
    };
    assert!(eventually(
        || holding() == 2 && megabytes(machine, "alice", "memory.current") >= 70
    ));
    let hog = machine.ssh("alice", &machine.probe("eat 80")).refused();
    assert!(!hog.stdout.contains("ate"), "{hog:?}");
    assert_eq!(event(machine, "alice", "oom_kill"), 1);
    assert_eq!(holding(), 2, "other sessions of the user's live");
    two.into_iter().for_each(berth_tests::Background::end);
}
