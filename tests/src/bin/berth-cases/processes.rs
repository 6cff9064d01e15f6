//! The cap on tasks, felt.

use std::process::Stdio;

use berth_tests::namespaces::PROGRAMS;
use berth_tests::{Background, Machine, Policy, Process, eventually};

use super::Case;

pub const CASES: &[Case] = cases! {
    a_fork_bomb_stops_at_tasks_max_and_everybody_can_log_in
    logins_that_stand_with_their_user_are_no_more_than_tasks_max
    connections_at_tasks_max_are_no_more_than_its_reserve
    a_fork_bomb_is_over_when_its_login_is
    a_session_at_its_tasks_max_can_be_entered
    a_tasks_max_of_more_than_there_can_be_is_none
    a_core_dump_goes_to_the_hosts_program_with_the_hosts_numbers
};

fn capped(machine: &Machine) {
    machine.policy(&Policy::with_user_caps("tasks_max = 32"));
}

fn children() -> usize {
    Process::named("berth-probe").len()
}

fn a_fork_bomb_stops_at_tasks_max_and_everybody_can_log_in(machine: &mut Machine) {
    capped(machine);
    let bomb = machine.ssh_background("alice", &machine.probe("fork-bomb"));
    let current = machine
        .cgroups()
        .user(machine.uid("alice"))
        .join("pids.current");
    let full = || {
        let tasks: u32 = std::fs::read_to_string(&current)
            .ok()
            .and_then(|text| text.trim().parse().ok())
            .unwrap_or_default();
        tasks >= 32
    };
    assert!(eventually(full), "{} in all", children());
    assert!(children() <= 32, "{} of the bomb", children());
    assert_eq!(machine.ssh("root", "echo in").ok(), "in");
    assert_eq!(machine.ssh("bob", "echo in").ok(), "in");
    // The user too, to clean up.
    assert_eq!(machine.ssh("alice", "echo in").ok(), "in");
    bomb.end();
}

fn a_tasks_max_of_more_than_there_can_be_is_none(machine: &mut Machine) {
    for max in ["4194304", "5000000"] {
        machine.policy(&Policy::with_user_caps(&format!("tasks_max = {max}")));
        assert_eq!(machine.ssh("alice", "echo in").ok(), "in", "{max}");
    }
}

fn a_fork_bomb_is_over_when_its_login_is(machine: &mut Machine) {
    capped(machine);
    let before = machine.settled();
    let bomb = machine.ssh_background("alice", &machine.probe("fork-bomb"));
    assert!(eventually(|| children() > 10));
    bomb.end();
    machine.assert_nothing_left(&before);
}

/// A login is moved to where it stands, which the kernel refuses to nobody.
fn logins_that_stand_with_their_user_are_no_more_than_tasks_max(machine: &mut Machine) {
    machine.policy(&Policy {
        defaults: "frozen_login = \"freeze\"".into(),
        profile: "user = { tasks_max = 16 }\nlogout = { grace = \"1s\" }".into(),
        ..Policy::default()
    });
    let before = machine.settled();
    let (login, _) = machine.stay("alice");
    machine.berth("freeze alice").ok();
    let records = || std::fs::read_dir("/run/berth/sessions").map_or(0, |all| all.count());
    let mut waiting = Vec::new();
    let said = loop {
        let mut late = machine.ssh_background("alice", "true");
        let mut has_ended = false;
        assert!(eventually(|| {
            has_ended = late.0.try_wait().is_ok_and(|ended| ended.is_some());
            // Hers of before, and one for each.
            has_ended || records() == waiting.len() + 2
        }));
        if has_ended {
            break late.wait();
        }
        waiting.push(late);
        assert!(
            waiting.len() <= 16,
            "one more than there may be tasks stands"
        );
    };
    assert!(!said.success(), "{said:?}");
    machine.logged("result=deny reason=\"Your sessions are frozen");
    assert!(!waiting.is_empty(), "none stands");
    assert_eq!(machine.ssh("bob", "echo in").ok(), "in");
    machine.berth("thaw alice").ok();
    for late in waiting {
        late.wait();
    }
    login.end();
    machine.assert_nothing_left(&before);
}

/// One that asks for nothing (`ssh -N`) is two processes all the same, and is moved to where tasks are kept for cleaning up.
fn connections_at_tasks_max_are_no_more_than_its_reserve(machine: &mut Machine) {
    capped(machine);
    let before = machine.settled();
    let bomb = machine.ssh_background("alice", &machine.probe("fork-bomb"));
    let user = machine.cgroups().user(machine.uid("alice"));
    let tasks = |part: &str| -> usize {
        let text = std::fs::read_to_string(user.join(part).join("pids.current"));
        let number = text.ok().and_then(|text| text.trim().parse().ok());
        number.unwrap_or_default()
    };
    let come_to = |part: &str, expected| {
        let holds = eventually(|| tasks(part) == expected);
        assert!(holds, "{part}: {}, not {expected}", tasks(part));
    };
    come_to("sessions", 32);
    let mut held = Vec::new();
    loop {
        let mut ssh = machine.ssh_command("alice", "");
        ssh.arg("-N").stdin(Stdio::null()).stderr(Stdio::null());
        let mut one = Background(ssh.spawn().unwrap());
        let mut has_ended = false;
        assert!(eventually(|| {
            has_ended = one.0.try_wait().is_ok_and(|ended| ended.is_some());
            has_ended || tasks("rescue") == 2 * held.len() + 2
        }));
        if has_ended {
            break;
        }
        held.push(one);
        assert!(held.len() <= 8, "one more than there are tasks kept");
    }
    assert_eq!(held.len(), 8);
    // It was moved there, too, before sshd found no room for the process that serves it.
    come_to("rescue", 16);
    assert_eq!(machine.ssh("root", "echo in").ok(), "in");
    assert_eq!(machine.ssh("bob", "echo in").ok(), "in");
    assert!(!machine.ssh("alice", "echo in").success());
    // Who gives some of them up can clean up again.
    for one in held.drain(6..) {
        one.end();
    }
    come_to("rescue", 12);
    let rescued = machine.ssh("alice", "cat /proc/self/cgroup").ok();
    assert!(rescued.contains("/rescue/"), "{rescued}");
    assert_eq!(tasks("sessions"), 32);
    bomb.end();
    for one in held {
        one.end();
    }
    machine.assert_nothing_left(&before);
}

fn a_session_at_its_tasks_max_can_be_entered(machine: &mut Machine) {
    machine.policy(&Policy::with_profile(
        "user = { tasks_max = 64 }\nsession = { tasks_max = 16 }\nlogout = { grace = \"1s\" }",
    ));
    let before = machine.settled();
    let bomb = machine.ssh_background("alice", &machine.probe("fork-bomb"));
    let list = || machine.berth("list").stdout;
    let is_full = || {
        let said = list();
        let of_alice = said.lines().find(|line| line.contains("  alice  "));
        of_alice.is_some_and(|line| line.split_whitespace().nth(6) == Some("16"))
    };
    assert!(eventually(is_full), "{}", list());
    let enter = format!("{PROGRAMS}/berth enter {}", machine.session());
    // Several processes, of which none counts in there.
    let look = machine.host(&format!(
        "{enter} sh -c 'cat /proc/1/comm; pgrep -x berth-probe | wc -l; cat /proc/self/cgroup'"
    ));
    let look = look.ok();
    let mut lines = look.lines();
    assert_eq!(lines.next(), Some("berth-init"), "{look}");
    let probes: Option<usize> = lines.next().and_then(|count| count.trim().parse().ok());
    assert!(probes.is_some_and(|count| count > 8), "{look}");
    assert!(!look.contains("/berth/user-"), "{look}");
    machine.host(&format!("{enter} pkill -KILL -x berth-probe"));
    bomb.end();
    machine.assert_nothing_left(&before);
}

/// Here, because the kernel has one setting for all.
fn a_core_dump_goes_to_the_hosts_program_with_the_hosts_numbers(machine: &mut Machine) {
    let uid = machine.uid("alice");
    // The program is started on the host, which has this folder of the test's by another name.
    let pattern = format!("|/bin/dd of=/var/tmp/berth-tests/{uid}/%P.%p.%u");
    let setting = "/proc/sys/kernel/core_pattern";
    let before = std::fs::read_to_string(setting).unwrap();
    std::fs::write(setting, pattern).unwrap();
    for policy in [
        Policy::default(),
        Policy::with_namespaces("pid = true, mount = true"),
    ] {
        machine.policy(&policy);
        let said = machine.ssh("alice", "sh -c 'echo $$; kill -SEGV $$'; cat /proc/1/comm");
        let (inside, first) = said.stdout.split_once('\n').expect("two lines");
        assert_eq!(first, "berth-init");
        let dump = || std::fs::read_dir("/disk").unwrap().flatten().next();
        assert!(eventually(|| dump().is_some()), "no dump: {said:?}");
        let dump = dump().unwrap();
        let name = dump.file_name().into_string().unwrap();
        let (host, rest) = name.split_once('.').unwrap();
        assert_eq!(rest, format!("{inside}.{uid}"));
        let number = |pid: &str| pid.parse::<u32>().unwrap();
        assert!(number(host) > number(inside), "{name}: not the host's own");
        // It ran as the host's root, and in the host's folders.
        let of = std::fs::metadata(dump.path()).unwrap();
        assert_eq!(std::os::unix::fs::MetadataExt::uid(&of), 0);
        std::fs::remove_file(dump.path()).unwrap();
    }
    std::fs::write(setting, before).unwrap();
}
