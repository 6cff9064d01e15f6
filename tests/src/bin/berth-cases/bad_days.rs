//! Days on which the machine is short of something. Others get what `on_error` says, with a line in the log that
//! says why; root gets in.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use berth_tests::{Background, Machine, Policy, Process, Stack, eventually};

use super::Case;

pub const CASES: &[Case] = cases! {
    with_run_full_root_gets_in_and_others_as_on_error_says
    with_namespaces_forbidden_root_gets_in_and_others_as_on_error_says
    with_no_process_ids_left_root_gets_in_and_others_do_not
    a_clock_that_is_set_back_holds_up_no_login
    a_clock_that_is_set_forward_ends_nothing_that_lingers
};

fn set_answer(machine: &Machine, answer: &str) {
    machine.policy(&Policy::default().on_error(answer));
    machine.stack(&Stack::default().on_error(answer));
}

/// Logs alice in under both answers while something is wrong, and root.
fn assert_as_on_error_says(machine: &mut Machine, what: &str, why: &str) {
    for answer in ["deny", "allow"] {
        machine.forget_log();
        set_answer(machine, answer);
        let outside = machine.host("readlink /proc/self/ns/mnt").ok();
        let login = machine.su("alice", "readlink /proc/self/ns/mnt");
        match answer {
            "deny" => assert!(
                !login.success() && login.stdout.is_empty(),
                "{what}: {login:?}"
            ),
            _ => assert_eq!(login.ok(), outside, "{what}"),
        }
        for root in [
            machine.su("root", "echo in"),
            machine.ssh("root", "echo in"),
        ] {
            assert_eq!(root.ok(), "in", "root, {what}");
        }
        let line = machine.logged(why);
        assert!(line.contains("berth"), "{what}: {line}");
    }
}

fn with_run_full_root_gets_in_and_others_as_on_error_says(machine: &mut Machine) {
    let before = machine.settled();
    for (what, options) in [
        ("no inodes", "nr_inodes=2"),
        ("no pages", "size=4k,nr_inodes=100"),
    ] {
        machine
            .host(&format!(
                "mount -t tmpfs -o mode=755,{options} none /run/berth && \
                 {{ [ {options} = nr_inodes=2 ] || head -c 4096 /dev/zero >/run/berth/full; }}"
            ))
            .ok();
        assert_as_on_error_says(machine, what, "No space left on device");
        machine.host("umount /run/berth").ok();
    }
    machine.assert_nothing_left(&before);
    assert_eq!(machine.su("alice", "cat /proc/1/comm").ok(), "berth-init");
}

/// Hardening guides set these.
fn with_namespaces_forbidden_root_gets_in_and_others_as_on_error_says(machine: &mut Machine) {
    let before = machine.settled();
    for kind in ["user", "pid", "ipc", "mnt"] {
        let setting = format!("/proc/sys/user/max_{kind}_namespaces");
        let old = fs::read_to_string(&setting).unwrap();
        fs::write(&setting, "0").unwrap();
        assert_as_on_error_says(machine, kind, &format!("user.max_{kind}_namespaces"));
        fs::write(&setting, old).unwrap();
    }
    machine.assert_nothing_left(&before);
    assert_eq!(machine.su("alice", "cat /proc/1/comm").ok(), "berth-init");
}

/// No more process IDs than this, for as long as it lives.
struct PidMax(String);

impl PidMax {
    const SETTING: &str = "/proc/sys/kernel/pid_max";

    fn set(max: u32) -> PidMax {
        let old = fs::read_to_string(PidMax::SETTING).unwrap();
        fs::write(PidMax::SETTING, max.to_string()).unwrap();
        PidMax(old)
    }
}

impl Drop for PidMax {
    fn drop(&mut self) {
        // Where this fails the guest cannot go on, which shows.
        let _ = fs::write(PidMax::SETTING, &self.0);
    }
}

/// Enough for su and its shell, but not for Berth besides.
const LEFT: usize = 3;

fn with_no_process_ids_left_root_gets_in_and_others_do_not(machine: &mut Machine) {
    let before = machine.settled();
    // Once all have been given out, the kernel begins again at 300.
    let max = PidMax::set(400);
    let mut hogs: Vec<Background> = Vec::new();
    while let Ok(hog) = Command::new("sleep").arg("1000").spawn() {
        hogs.push(Background(hog));
    }
    assert!(hogs.len() > LEFT, "{}", hogs.len());
    hogs.truncate(hogs.len() - LEFT);
    // With on_error = "allow" it would be luck whether su itself still finds one for its shell.
    let denied = machine.su("alice", "echo in");
    let root = machine.su("root", "echo in");
    drop(hogs);
    drop(max);
    assert!(!denied.success() && denied.stdout.is_empty(), "{denied:?}");
    assert_eq!(root.ok(), "in");
    machine.logged("cannot start the login's keeper");
    machine.assert_nothing_left(&before);
}

fn a_clock_that_is_set_back_holds_up_no_login(machine: &mut Machine) {
    let text = "#!/bin/sh\ndate -s '1 hour ago' >/dev/null\nexec sleep 1000\n";
    machine.stack(&Stack {
        helper: machine.script("hung-helper", text),
        arguments: "timeout=3".into(),
        ..Stack::default()
    });
    let start = Instant::now();
    assert!(!machine.su("alice", "true").success());
    let took = start.elapsed();
    assert!(
        (Duration::from_secs(3)..Duration::from_secs(30)).contains(&took),
        "{took:?}"
    );
    machine.stack(&Stack::default());
    assert_eq!(machine.su("alice", "cat /proc/1/comm").ok(), "berth-init");
}

fn a_clock_that_is_set_forward_ends_nothing_that_lingers(machine: &mut Machine) {
    for scope in ["session", "user"] {
        machine.policy(&Policy {
            profile: "user = { tasks_max = 99 }\nlogout = { linger = \"1h\", grace = \"0s\" }"
                .into(),
            ..Policy::with_namespaces(&format!("scope = \"{scope}\", pid = true, mount = true"))
        });
        let leave = "sleep 1000 >/dev/null 2>&1 </dev/null &";
        machine.su("alice", leave).ok();
        assert!(eventually(|| Process::named("sleep").len() == 1), "{scope}");
        machine.host("date -s '2 hours'").ok();
        // With a cap to tell of the keeper looks each second.
        std::thread::sleep(Duration::from_secs(4));
        let still = Process::named("sleep").len();
        machine.host("date -s '2 hours ago'").ok();
        assert_eq!(still, 1, "{scope}");
        machine.berth("kill alice --yes").ok();
    }
}
