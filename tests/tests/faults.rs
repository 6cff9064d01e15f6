//! Logins in which one system call fails, or one part of Berth is killed; `tests/faults/run` does it at every step.

use std::process::{Command, Output};

fn faults(arguments: &[&str]) -> (Output, String) {
    let ran = Command::new(env!("CARGO_BIN_EXE_berth-faults"))
        .args(arguments)
        .output()
        .expect("berth-faults");
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    (ran, said)
}

/// A deadline may pass on a machine that is busy with others, once; a race that goes wrong now and then is none.
#[track_caller]
fn assert_mostly_good_at_once(said: &str) {
    let again = said.matches("good only when tried again: ").count();
    assert!(again <= 1, "{said}");
}

#[test]
fn whichever_call_fails_a_login_is_whole_or_refused_and_nothing_is_left() {
    let (ran, said) = faults(&["--short"]);
    let complaints = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{said}{complaints}");
    let last = said.lines().last().unwrap_or_default();
    assert!(last.ends_with(" 0 wrong"), "{said}");
    assert_mostly_good_at_once(&said);
    // It would show nothing if no call failed, or every login did.
    for none in [" 0 let in whole", " 0 refused", " 0 let in without"] {
        assert!(!last.contains(none), "{said}");
    }
}

#[test]
fn when_two_fail_in_one_login_it_is_whole_or_refused_and_nothing_is_left() {
    let (ran, said) = faults(&["--twice", "40"]);
    let complaints = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{said}{complaints}");
    assert_mostly_good_at_once(&said);
    let missed = said.lines().filter(|line| line.ends_with("not reached"));
    let missed = missed.filter_map(|line| line.split_whitespace().next()?.parse::<u32>().ok());
    assert!(missed.sum::<u32>() <= 20, "{said}");
}

/// Each of these was wrong once.
#[test]
fn what_was_found_stays_mended() {
    let found = [
        "init.statx /dev/mqueue",               // was left out of the berth
        "init.prctl.1.",                        // a berth that the module does not know for one
        "keeper.cap EPERM",                     // left its session behind
        "keeper.close EIO /var/lib/berth/tmp/", // a panic, likewise
        "keeper.rmdir EBUSY /sessions/",        // left the session's cgroup for good
        "account.munmap",                       // a panic where assertions are on
        "account.close EIO /proc/",             // a panic, and so a refusal
        // Ended the user's other login, which was taken for dead:
        "joins.keeper.openat EMFILE /run/berth/sessions/",
        "joins.keeper.read EIO /proc/",
    ];
    let (ran, said) = faults(&[&["--about"], &found[..]].concat());
    let complaints = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{said}{complaints}");
    let last = said.lines().last().unwrap_or_default();
    let count = last.split(' ').next().and_then(|count| count.parse().ok());
    assert!(count.is_some_and(|count: u32| count >= 20), "{said}");
}

/// As if a program took no notice of the failure: whatever a berth is made of is missed.
#[test]
fn a_login_that_is_let_in_although_a_step_was_left_out_is_seen_to_be_wrong() {
    let left_out = [
        "deny.open.setns",
        "deny.open.prctl 0x26 0x1",    // no_new_privs
        "deny.open.prctl 0x18 0x15",   // CAP_SYS_ADMIN in the bounding set
        "deny.open.seccomp",           // the filter
        "deny.open.keyctl",            // the session keyring
        "deny.open.prlimit64 0x0 0x4", // the policy's rlimit, which is asked for first
        "deny.init.mount /proc",
        "deny.init.mount /dev/mqueue",
        "deny.init.mount /dev/shm",
        "deny.init.mount /tmp",
        "deny.init.ioctl", // the loopback interface
        "deny.init.write max_user_namespaces",
        "deny.keeper.write uid_map",
        "deny.keeper.write gid_map",
        "deny.keeper.write /sessions/ cgroup.procs",
        "deny.keeper.unlink /run/berth/sessions/", // the record's removal
        "deny.keeper.rmdir /var/lib/berth/tmp/",
        // What Berth's own processes give up.
        "deny.init.setresuid",
        "deny.init.capset",
        "deny.init.prctl 0x18 0x15",
        "deny.init.close_range",
        "deny.init.seccomp",
        "deny.helper.capset",
        "deny.helper.prctl 0x26 0x1",
        "deny.helper.seccomp",
        "deny.keeper.capset",
        "deny.keeper.seccomp",
    ];
    let (ran, said) = faults(&[&["--left-out"], &left_out[..]].concat());
    assert_eq!(ran.status.code(), Some(1), "{said}");
    for words in left_out {
        let is_it = |line: &str| words.split(' ').all(|word| line.contains(word));
        let mut wrong = said.lines().filter(|line| line.starts_with("WRONG  "));
        assert!(wrong.any(is_it), "{words}: {said}");
    }
}
