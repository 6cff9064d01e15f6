//! Penalties: who burns is slowed, is told, and has all back; and what a step survives.

use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use berth_tests::namespaces::PROGRAMS;
use berth_tests::{Background, Machine, Policy, eventually, within};

use super::Case;

pub const CASES: &[Case] = cases! {
    who_burns_is_slowed_and_told_and_a_program_of_roots_does_not_count
    who_burns_on_gets_to_the_next_step_and_feels_it
    who_burns_no_more_has_all_back_and_is_told
    who_hoards_memory_is_slowed_is_told_and_keeps_the_memory
    a_step_holds_for_logins_and_apply_and_its_user_sees_it
    an_exception_wins_over_a_step_while_there_is_one
    a_step_outlives_logouts_and_clocks
    a_step_is_forgiven_once
    a_policy_that_has_a_penalty_no_more_gives_all_back
    a_damaged_file_of_penalties_is_named_and_gives_all_back
};

pub(super) const FILE: &str = "/var/lib/berth/penalties";

/// For what takes one by itself.
pub(super) const SEVERAL_MINUTES: Duration = Duration::from_secs(600);

const BURNER: &str = "/opt/tools/burner";

pub(super) fn policy(step_time: &str) -> Policy {
    Policy {
        profile: "penalty = \"hog\"\nuser = { cpu_quota = \"40%\", memory_max = \"256M\" }\n\
                  logout = { grace = \"1s\" }"
            .into(),
        defaults: "contact = \"help@example.org\"".into(),
        rest: format!(
            "[penalty.hog]\ncpu_above = \"12%\"\nwindow = \"1min\"\nexcept = [\"/opt/tools/**\"]\n\
             steps = [\"50%\", \"25%\"]\nstep_time = \"{step_time}\"\nforget = \"1h\"\n"
        ),
        ..Policy::default()
    }
}

/// Puts alice on a step of two, since now, as `berth apply --due` does.
fn put_on_step(machine: &Machine, step: usize, seconds: u64) {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let (until, forgotten) = (now + seconds, now + seconds + 3600);
    let share = [5000, 2500][step - 1];
    let uid = machine.uid("alice");
    let state = format!(
        "{{\"users\":{{\"{uid}\":{{\"user\":\"alice\",\"penalty\":\"hog\",\"step\":{step},\"steps\":2,\"share\":{share},\
         \"since\":{now},\"until\":{until},\"forgotten\":{forgotten},\"is_over\":false}}}}}}"
    );
    let check = sha256(&state);
    std::fs::create_dir_all("/var/lib/berth").unwrap();
    let text = format!("{{\"format\":2,\"check\":\"{check}\",\"state\":{state}}}");
    std::fs::write(FILE, text).unwrap();
}

fn sha256(text: &str) -> String {
    let mut sum = std::process::Command::new("sh");
    sum.args(["-c", "printf %s \"$1\" | sha256sum", "sh", text]);
    let told = String::from_utf8(sum.output().unwrap().stdout).unwrap();
    told.split(' ').next().unwrap().into()
}

/// What a round changed, a space between words.
fn due(machine: &Machine) -> String {
    let said = machine.berth_with_helper("apply --due").ok();
    said.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Looks every few seconds until something was changed, and says what. How long a minute of use takes to come
/// together is the machine's affair, but it takes more than half of one.
pub(super) fn once_a_window_is_full(mut look: impl FnMut() -> String) -> String {
    let begun = Instant::now();
    loop {
        std::thread::sleep(Duration::from_secs(5));
        let changed = look();
        if !changed.is_empty() {
            assert!(begun.elapsed() > Duration::from_secs(30), "{changed}");
            return changed;
        }
        assert!(begun.elapsed() < SEVERAL_MINUTES);
    }
}

/// Burns until it is ended. It has begun.
fn burn(machine: &mut Machine, user: &str, command: &str) -> Background {
    let burner = machine.ssh_background(user, command);
    let commands = || {
        let of_user = machine.processes_of(user).into_iter();
        let commands = of_user.map(|process| process.command_line());
        commands.collect::<Vec<_>>()
    };
    let burns = || commands().iter().any(|line| line == command);
    assert!(eventually(burns), "{user}: {:?}", commands());
    burner
}

fn who_burns_is_slowed_and_told_and_a_program_of_roots_does_not_count(machine: &mut Machine) {
    machine
        .host(&format!(
            "mkdir -p /opt/tools && cp {PROGRAMS}/berth-probe {BURNER}"
        ))
        .ok();
    machine.policy(&policy("1min"));
    let mut terminal = machine.ssh_terminal("alice");
    terminal.run("true");
    let mut other = machine.ssh_terminal("bob");
    other.run("true");
    let of_alice = burn(machine, "alice", &machine.probe("burn 400"));
    let of_bob = burn(machine, "bob", &format!("{BURNER} burn 400"));
    assert_eq!(due(machine), "");

    let told = once_a_window_is_full(|| due(machine));
    assert_eq!(told, "alice cpu_quota 40% -> 20% 1 user changed");
    // Before what she burns meanwhile makes the next step.
    of_alice.end();
    assert_eq!(machine.of_user("alice", "cpu.max"), "20000 100000");
    assert_eq!(machine.of_user("alice", "memory.max"), "268435456");
    terminal.expect(
        " over 1min, above 12%: penalty hog, step 1 of 2, leaves you 50% of your cpu_quota until ",
    );
    terminal.expect(". Help: help@example.org\n");
    assert_eq!(machine.of_user("bob", "cpu.max"), "40000 100000");
    assert!(!other.shown().contains("penalty"), "{}", other.shown());
    of_bob.end();
    for mut terminal in [terminal, other] {
        terminal.send("exit");
        terminal.wait();
    }
}

fn who_burns_on_gets_to_the_next_step_and_feels_it(machine: &mut Machine) {
    machine.policy(&policy("1min"));
    put_on_step(machine, 1, 3600);
    let (login, _) = machine.stay("alice");
    let burner = burn(machine, "alice", &machine.probe("burn 400"));
    assert_eq!(machine.of_user("alice", "cpu.max"), "20000 100000");
    assert_eq!(due(machine), "");
    let told = once_a_window_is_full(|| due(machine));
    assert_eq!(told, "alice cpu_quota 20% -> 10% 1 user changed");
    let line = machine.logged("penalty user=alice");
    assert!(
        line.contains("penalty=hog step=2 steps=2 cpu_quota=25% until="),
        "{line}"
    );
    assert!(
        line.contains(", above 6%\""),
        "on a step less is allowed: {line}"
    );

    // She has a tenth of the CPU, and no more.
    let uid = machine.uid("alice");
    let usage = |machine: &Machine| machine.cgroups().keyed(uid, "cpu.stat", "usage_usec");
    let (before, begun) = (usage(machine), Instant::now());
    std::thread::sleep(Duration::from_secs(6));
    let used = (usage(machine) - before) as f64 / begun.elapsed().as_micros() as f64;
    assert!(used > 0.0 && used < 0.13, "{used}");
    burner.end();
    login.end();
}

fn who_burns_no_more_has_all_back_and_is_told(machine: &mut Machine) {
    machine.policy(&policy("1min"));
    put_on_step(machine, 1, 30);
    let mut terminal = machine.ssh_terminal("alice");
    terminal.run("true");
    assert_eq!(machine.of_user("alice", "cpu.max"), "20000 100000");
    let mut told = String::new();
    // Where the hour strikes within a round, the next one says so.
    let over =
        "\nberth: penalty hog is over: your cpu_quota is whole again. Help: help@example.org\n";
    assert!(
        within(SEVERAL_MINUTES, || {
            told += &due(machine);
            told.contains("alice cpu_quota 20% -> 40%") && terminal.shown().contains(over)
        }),
        "{told}; on the terminal: {}",
        terminal.shown()
    );
    let uid = machine.uid("alice");
    let line = machine.logged(&format!("penalty user=alice uid={uid} penalty=hog step=0"));
    assert!(
        line.contains(" steps=2 cpu_quota=100% until=- because=\"its time is over\""),
        "{line}"
    );
    let shown = machine.berth("show alice").ok();
    assert!(
        shown.contains("  Penalty: hog, step 1 of 2 is over; forgotten "),
        "{shown}"
    );
    terminal.send("exit");
    terminal.wait();
}

fn who_hoards_memory_is_slowed_is_told_and_keeps_the_memory(machine: &mut Machine) {
    let mut policy = policy("1min");
    policy.rest = policy
        .rest
        .replace("cpu_above = \"12%\"", "memory_above = \"24M\"");
    machine.policy(&policy);
    let mut terminal = machine.ssh_terminal("alice");
    terminal.run("true");
    let hold = |megabytes: u32| machine.probe(&format!("hold {megabytes}"));
    let (much, little) = (hold(48), hold(8));
    let of_alice = machine.ssh_background("alice", &much);
    let of_bob = machine.ssh_background("bob", &little);
    let holds = |user: &str, megabytes: u64| {
        let group = machine.cgroups().user(machine.uid(user));
        let now = std::fs::read_to_string(group.join("memory.current"));
        now.is_ok_and(|now| {
            now.trim()
                .parse()
                .is_ok_and(|now: u64| now >= megabytes << 20)
        })
    };
    assert!(eventually(|| holds("alice", 48) && holds("bob", 8)));
    assert_eq!(due(machine), "");
    let told = once_a_window_is_full(|| due(machine));
    assert_eq!(told, "alice cpu_quota 40% -> 20% 1 user changed");
    terminal.expect("berth: memory ");
    terminal.expect(
        " over 1min, above 24M: penalty hog, step 1 of 2, leaves you 50% of your cpu_quota until ",
    );
    let memory = machine
        .cgroups()
        .user(machine.uid("alice"))
        .join("memory.max");
    assert_eq!(std::fs::read_to_string(memory).unwrap(), "268435456\n");
    assert_eq!(machine.of_user("bob", "cpu.max"), "40000 100000");
    assert!(
        machine
            .logged("penalty user=alice")
            .contains("because=\"memory ")
    );

    of_alice.end();
    of_bob.end();
    terminal.send("exit");
    terminal.wait();
}

fn a_step_holds_for_logins_and_apply_and_its_user_sees_it(machine: &mut Machine) {
    machine.policy(&policy("1h"));
    put_on_step(machine, 1, 3600);
    let (login, _) = machine.stay("alice");
    assert_eq!(machine.of_user("alice", "cpu.max"), "20000 100000");
    assert_eq!(machine.berth_with_helper("apply").ok(), "0 users changed");
    let explained = machine.berth("explain alice").ok();
    let mut lines = explained
        .lines()
        .skip_while(|line| !line.starts_with("  cpu_quota"));
    let (line, was) = (lines.next().unwrap(), lines.next().unwrap());
    assert!(
        line.contains("50% of it = 0.2 of 1 CPUs")
            && line.contains("penalty hog, step 1 of 2 until "),
        "{explained}"
    );
    assert!(was.contains("was 40%"), "{explained}");
    let shown = machine.berth("show alice").ok();
    assert!(
        shown.contains("  Penalty: hog, step 1 of 2 until "),
        "{shown}"
    );

    // She sees it herself from the next round on, and nobody else.
    assert_eq!(due(machine), "");
    let own = machine.ssh("alice", &format!("{PROGRAMS}/berth show")).ok();
    assert!(own.contains("  Penalty: hog, step 1 of 2 until "), "{own}");
    let own = machine
        .ssh("alice", &format!("{PROGRAMS}/berth explain"))
        .ok();
    assert!(own.contains("penalty hog, step 1 of 2 until "), "{own}");
    let standing = format!("/run/berth-standings/{}", machine.uid("alice"));
    assert!(
        machine
            .host(&format!("cat {standing}"))
            .ok()
            .contains("\"alice\"")
    );
    machine
        .ssh("bob", &format!("cat {standing} || ls /run/berth-standings"))
        .refused();
    login.end();
}

fn an_exception_wins_over_a_step_while_there_is_one(machine: &mut Machine) {
    machine.policy(&policy("1h"));
    put_on_step(machine, 1, 3600);
    let (login, _) = machine.stay("alice");
    machine
        .berth_with_helper("set alice cpu_quota=70% --for 1h")
        .ok();
    assert_eq!(machine.of_user("alice", "cpu.max"), "70000 100000");
    machine.berth_with_helper("unset alice").ok();
    assert_eq!(machine.of_user("alice", "cpu.max"), "20000 100000");
    login.end();
}

fn a_step_outlives_logouts_and_clocks(machine: &mut Machine) {
    machine.settled();
    machine.policy(&policy("1h"));
    put_on_step(machine, 1, 3600);
    let before = machine.snapshot();
    let (login, _) = machine.stay("alice");
    // Two hours pass in no time: it is no more than the clock that was set.
    assert_eq!(due(machine), "");
    let until = || std::fs::read_to_string(FILE).unwrap();
    let then = until();
    machine.host("date -s '+2 hours'").ok();
    assert_eq!(due(machine), "");
    assert_ne!(until(), then);
    assert_eq!(machine.of_user("alice", "cpu.max"), "20000 100000");
    machine.host("date -s '-2 hours'").ok();
    assert_eq!(due(machine), "");

    // As after a boot: nothing is known but what is on the disk.
    login.end();
    machine.assert_nothing_left(&before);
    machine.host("rm -f /run/berth-penalties").ok();
    let (login, _) = machine.stay("alice");
    assert_eq!(machine.of_user("alice", "cpu.max"), "20000 100000");
    assert_eq!(due(machine), "");
    assert_eq!(machine.of_user("alice", "cpu.max"), "20000 100000");
    login.end();
}

fn a_step_is_forgiven_once(machine: &mut Machine) {
    machine.policy(&policy("1h"));
    put_on_step(machine, 1, 3600);
    let (login, _) = machine.stay("alice");
    assert_eq!(due(machine), "");
    let standing = format!("/run/berth-standings/{}", machine.uid("alice"));
    assert!(Path::new(&standing).exists());
    let said = machine.berth_with_helper("unset alice penalty").ok();
    assert!(said.contains("alice: the penalty is forgiven"), "{said}");
    assert_eq!(machine.of_user("alice", "cpu.max"), "40000 100000");
    assert!(
        machine
            .logged("penalty user=alice")
            .contains("because=\"forgiven by root\"")
    );
    assert_eq!(
        machine
            .berth_with_helper("unset alice penalty")
            .status
            .code(),
        Some(1)
    );
    assert!(!Path::new(FILE).exists() && !Path::new(&standing).exists());
    login.end();
}

fn a_policy_that_has_a_penalty_no_more_gives_all_back(machine: &mut Machine) {
    machine.policy(&policy("1h"));
    machine.berth("reload").ok();
    assert!(Path::new("/var/lib/berth/due").exists());
    let (login, _) = machine.stay("alice");
    assert_eq!(machine.of_user("alice", "cpu.max"), "40000 100000");
    put_on_step(machine, 2, 3600);
    machine.berth_with_helper("apply").ok();
    assert_eq!(machine.of_user("alice", "cpu.max"), "10000 100000");
    machine.policy(&Policy::with_user_caps("cpu_quota = \"40%\""));
    machine.berth("reload").ok();
    assert!(!Path::new("/var/lib/berth/due").exists());
    let said = due(machine);
    assert!(said.contains("alice cpu_quota 10% -> 40%"), "{said}");
    assert!(
        machine
            .logged("because=\"the policy")
            .contains("cpu_quota=100%")
    );
    // It would be tried again, and is forgotten soon.
    assert_eq!(due(machine), "");
    login.end();
}

fn a_damaged_file_of_penalties_is_named_and_gives_all_back(machine: &mut Machine) {
    machine.policy(&policy("1h"));
    put_on_step(machine, 1, 3600);
    let (login, _) = machine.stay("alice");
    assert_eq!(machine.of_user("alice", "cpu.max"), "20000 100000");
    let text = std::fs::read_to_string(FILE).unwrap();
    std::fs::write(FILE, &text[..text.len() / 2]).unwrap();
    let said = machine.berth_with_helper("apply --due");
    assert_eq!(said.status.code(), Some(5), "{said:?}");
    assert!(
        said.stderr.contains(&format!("{FILE} is damaged")),
        "{said:?}"
    );
    machine.logged(&format!("due result=error error=\"{FILE} is damaged"));
    assert_eq!(machine.of_user("alice", "cpu.max"), "40000 100000");
    assert_eq!(due(machine), "");
    // Nor does it keep anybody out.
    std::fs::write(FILE, &text[..text.len() / 2]).unwrap();
    let (second, _) = machine.stay("alice");
    let logged = machine.logged("penalties uid=");
    assert!(logged.contains(&format!("{FILE} is damaged")), "{logged}");
    login.end();
    second.end();
}
