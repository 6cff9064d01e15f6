//! Penalties: who burns is slowed, is told, and has all back; and what a step survives.

use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use berth_tests::namespaces::PROGRAMS;
use berth_tests::{Booted, Machine, Policy, eventually, within};

use super::{BootedCase, Case};

pub const CASES: &[Case] = cases! {
    who_burns_is_slowed_step_by_step_and_has_all_back_and_a_program_of_roots_does_not_count
    who_hoards_memory_is_slowed_is_told_and_keeps_the_memory
    a_step_outlives_logouts_and_clocks_and_yields_to_exceptions
    a_damaged_file_of_penalties_is_named_and_gives_all_back
};

pub const CASES_UNDER_SYSTEMD: &[BootedCase] = cases! {
    who_burns_is_slowed_under_systemd
};

const FILE: &str = "/var/lib/berth/penalties";

/// For what takes one by itself.
const SEVERAL_MINUTES: Duration = Duration::from_secs(600);

const BURNER: &str = "/opt/tools/burner";

fn policy(step_time: &str) -> Policy {
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

/// A file as `berth apply --due` writes it: these users, on this step of two, since now and for an hour.
fn on_step(users: &[(u32, &str)], step: usize) -> String {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let share = [5000, 2500][step - 1];
    let users = users.iter().map(|(uid, user)| {
        let (until, forgotten) = (now + 3600, now + 7200);
        format!(
            "\"{uid}\":{{\"user\":\"{user}\",\"penalty\":\"hog\",\"step\":{step},\"steps\":2,\"share\":{share},\
             \"since\":{now},\"until\":{until},\"forgotten\":{forgotten},\"is_over\":false}}"
        )
    });
    let users: Vec<_> = users.collect();
    let state = format!("{{\"users\":{{{}}}}}", users.join(","));
    let check = sha256(&state);
    format!("{{\"format\":2,\"check\":\"{check}\",\"state\":{state}}}")
}

fn sha256(text: &str) -> String {
    let mut sum = std::process::Command::new("sh");
    sum.args(["-c", "printf %s \"$1\" | sha256sum", "sh", text]);
    let told = String::from_utf8(sum.output().unwrap().stdout).unwrap();
    told.split(' ').next().unwrap().into()
}

fn put(text: &str) {
    std::fs::create_dir_all("/var/lib/berth").unwrap();
    std::fs::write(FILE, text).unwrap();
}

/// What a round changed, a space between words.
fn due(machine: &Machine) -> String {
    let said = machine.berth_with_helper("apply --due").ok();
    said.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Looks every few seconds until something was changed, and says what. How long a minute of use takes to come
/// together is the machine's affair, but it takes more than half of one.
fn once_a_window_is_full(mut look: impl FnMut() -> String) -> String {
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

fn who_burns_is_slowed_step_by_step_and_has_all_back_and_a_program_of_roots_does_not_count(
    machine: &mut Machine,
) {
    let dave = machine.add_user("dave").uid;
    machine
        .host(&format!(
            "mkdir -p /opt/tools && cp {PROGRAMS}/berth-probe {BURNER}"
        ))
        .ok();
    machine.policy(&policy("1min"));
    // One who was above it before, and is now again.
    put(&on_step(&[(dave, "dave")], 1));
    let mut terminal = machine.ssh_terminal("alice");
    terminal.run("true");
    let mut other = machine.ssh_terminal("bob");
    other.run("true");
    let (stays, _) = machine.stay("dave");
    let burn = machine.probe("burn 400");
    let [of_alice, of_bob, of_dave] = [
        machine.ssh_background("alice", &burn),
        machine.ssh_background("bob", &format!("{BURNER} burn 400")),
        machine.ssh_background("dave", &burn),
    ];
    let burns = |user: &str| {
        let of_user = machine.processes_of(user).into_iter();
        let mut commands = of_user.map(|process| process.command_line());
        commands.any(|line| line.contains("burn 400"))
    };
    for user in ["alice", "bob", "dave"] {
        let all = || {
            machine
                .processes_of(user)
                .iter()
                .map(|one| one.command_line())
                .collect::<Vec<_>>()
        };
        assert!(eventually(|| burns(user)), "{user}: {:?}", all());
    }
    assert_eq!(machine.of_user("dave", "cpu.max"), "20000 100000");
    assert_eq!(due(machine), "");

    let told = once_a_window_is_full(|| due(machine));
    assert!(told.contains("alice cpu_quota 40% -> 20%"), "{told}");
    assert!(told.contains("dave cpu_quota 20% -> 10%"), "{told}");
    // Before what she burns meanwhile makes the next step.
    of_alice.end();
    assert_eq!(machine.of_user("alice", "cpu.max"), "20000 100000");
    assert_eq!(machine.of_user("bob", "cpu.max"), "40000 100000");
    terminal.expect(
        " over 1min, above 12%: penalty hog, step 1 of 2, leaves you 50% of your cpu_quota until ",
    );
    terminal.expect(". Help: help@example.org\n");
    let line = machine.logged("penalty user=dave");
    assert!(
        line.contains("penalty=hog step=2 steps=2 cpu_quota=25% until="),
        "{line}"
    );
    assert!(
        line.contains(", above 6%\""),
        "on a step less is allowed: {line}"
    );
    let memory = machine.cgroups().user(dave).join("memory.max");
    assert_eq!(std::fs::read_to_string(memory).unwrap(), "268435456\n");

    // It is felt: dave has a tenth of the CPU, and no more.
    let usage = |machine: &Machine| machine.cgroups().keyed(dave, "cpu.stat", "usage_usec");
    let (before, begun) = (usage(machine), Instant::now());
    std::thread::sleep(Duration::from_secs(6));
    let used = (usage(machine) - before) as f64 / begun.elapsed().as_micros() as f64;
    assert!(used > 0.0 && used < 0.13, "{used}");

    // All comes back to who burns no more.
    of_bob.end();
    of_dave.end();
    let mut told = String::new();
    let all = |told: &str| {
        let of_both = ["alice cpu_quota 20% -> 40%", "dave cpu_quota 10% -> 40%"];
        of_both.iter().all(|line| told.contains(line))
    };
    // Where the hour strikes within a round, the next one says so.
    let over =
        "\nberth: penalty hog is over: your cpu_quota is whole again. Help: help@example.org\n";
    assert!(
        within(SEVERAL_MINUTES, || {
            told += &due(machine);
            all(&told) && terminal.shown().contains(over)
        }),
        "{told}; on the terminal: {}",
        terminal.shown()
    );
    assert!(!other.shown().contains("berth:"), "{}", other.shown());
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
    stays.end();
    for mut terminal in [terminal, other] {
        terminal.send("exit");
        terminal.wait();
    }
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

fn a_step_outlives_logouts_and_clocks_and_yields_to_exceptions(machine: &mut Machine) {
    machine.settled();
    let alice = machine.uid("alice");
    machine.policy(&policy("1h"));
    machine.berth("reload").ok();
    assert!(Path::new("/var/lib/berth/due").exists());
    put(&on_step(&[(alice, "alice")], 1));
    let before = machine.snapshot();
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
    let standing = format!("/run/berth-standings/{alice}");
    assert!(
        machine
            .host(&format!("cat {standing}"))
            .ok()
            .contains("\"alice\"")
    );
    machine
        .ssh("bob", &format!("cat {standing} || ls /run/berth-standings"))
        .refused();

    // An exception wins, for as long as there is one.
    machine
        .berth_with_helper("set alice cpu_quota=70% --for 1h")
        .ok();
    assert_eq!(machine.of_user("alice", "cpu.max"), "70000 100000");
    machine.berth_with_helper("unset alice").ok();
    assert_eq!(machine.of_user("alice", "cpu.max"), "20000 100000");

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

    // Forgiven, once.
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

    // A policy that has it no more gives it back.
    put(&on_step(&[(alice, "alice")], 2));
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
    machine.host(&format!("rm {FILE}")).ok();
    login.end();
}

fn a_damaged_file_of_penalties_is_named_and_gives_all_back(machine: &mut Machine) {
    machine.policy(&policy("1h"));
    put(&on_step(&[(machine.uid("alice"), "alice")], 1));
    let (login, _) = machine.stay("alice");
    assert_eq!(machine.of_user("alice", "cpu.max"), "20000 100000");
    let text = std::fs::read_to_string(FILE).unwrap();
    put(&text[..text.len() / 2]);
    let said = machine.berth_with_helper("apply --due");
    assert!(
        said.stderr.contains(&format!("{FILE} is damaged")),
        "{said:?}"
    );
    assert_eq!(machine.of_user("alice", "cpu.max"), "40000 100000");
    assert_eq!(due(machine), "");
    // Nor does it keep anybody out.
    put(&text[..text.len() / 2]);
    let (second, _) = machine.stay("alice");
    let logged = machine.logged("penalties uid=");
    assert!(logged.contains(&format!("{FILE} is damaged")), "{logged}");
    login.end();
    second.end();
}

fn who_burns_is_slowed_under_systemd(machine: &Booted) {
    machine.berth("sshd", &policy("1min"));
    machine.host("berth reload").ok();
    let before = machine.settled();
    let timer = "systemctl show --property=ActiveState berth-due.timer";
    assert_eq!(machine.host(timer).ok(), "ActiveState=active");
    let mut terminal = machine.terminal("alice");
    terminal.run("true");
    let (login, _) = machine.background("alice", "exec sha256sum /dev/zero", "sha256sum");
    assert_eq!(machine.of_user("alice", "cpu.max"), "40000 100000");
    // What the timer starts each minute is started here, too, so that nobody waits for it; and more often than systemd
    // lets anything be started, without the first of these.
    let look = || {
        let start = "systemctl reset-failed berth-due.service && systemctl start berth-due.service";
        machine.host(start).ok()
    };
    once_a_window_is_full(|| {
        look();
        let quota = machine.of_user("alice", "cpu.max");
        if quota == "40000 100000" {
            String::new()
        } else {
            quota
        }
    });
    assert_eq!(machine.of_user("alice", "cpu.max"), "20000 100000");
    terminal.expect(
        " over 1min, above 12%: penalty hog, step 1 of 2, leaves you 50% of your cpu_quota until ",
    );
    machine.host("systemctl daemon-reload").ok();
    assert_eq!(machine.of_user("alice", "cpu.max"), "20000 100000");
    let shown = machine.host("berth show alice").ok();
    assert!(
        shown.contains("  Penalty: hog, step 1 of 2 until "),
        "{shown}"
    );
    login.end();
    assert!(within(SEVERAL_MINUTES, || {
        look();
        machine.of_user("alice", "cpu.max") == "40000 100000"
    }));
    terminal.expect("\nberth: penalty hog is over: your cpu_quota is whole again");
    terminal.send("exit");
    terminal.wait();
    machine.host(&format!("rm -f {FILE}")).ok();
    machine.assert_nothing_left(&before);
}
