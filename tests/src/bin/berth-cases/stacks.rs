//! The other ways to a shell on a machine that systemd runs, with the stacks that Debian's packages bring.

use std::fs;
use std::process::Command;

use berth_tests::{Booted, Output, Policy, Terminal, eventually};

use super::BootedCase;

pub const CASES: &[BootedCase] = cases! {
    an_admin_gets_all_the_way_out_by_sudo
    a_unit_with_a_pam_name_keeps_its_oom_score_unless_no_cap_would_hold_under_it
};

pub const CASES_WITHOUT_CONTROLLERS: &[BootedCase] = cases! {
    a_login_at_a_console_is_in_its_berth
    runuser_is_in_its_users_slice_and_joined_where_a_rule_names_it
    a_unit_with_a_pam_name_is_in_its_users_slice
    jobs_and_su_in_a_session_are_in_berths_in_scopes_of_berths
};

/// Prints in which namespaces and cgroup a process is.
const WHERE: &str =
    "readlink /proc/self/ns/user /proc/self/ns/pid; sed -n s/^0:://p /proc/self/cgroup";

fn policy() -> Policy {
    Policy {
        profile: "logout = { grace = \"1s\" }".into(),
        ..Policy::with_map("identity")
    }
}

/// A process, as it said itself where it is.
#[derive(Debug)]
struct Place {
    is_outside: bool,
    cgroup: String,
}

#[track_caller]
fn place(machine: &Booted, said: &str) -> Place {
    let host = machine.host(WHERE).ok();
    let namespaces = |said: &str| said.lines().take(2).map(str::to_owned).collect::<Vec<_>>();
    Place {
        is_outside: namespaces(said) == namespaces(&host),
        cgroup: said.lines().nth(2).expect("a cgroup").trim().to_owned(),
    }
}

fn an_admin_gets_all_the_way_out_by_sudo(machine: &Booted) {
    // alice has caps and no berth, bob not even these.
    let policy = Policy {
        profile: "user = { memory_max = \"100M\" }\nlogout = { grace = \"1s\" }".into(),
        rest: "[exempt]\nusers = [\"bob\"]".into(),
        ..Policy::with_namespaces("")
    };
    machine.berth("sshd", &policy);
    let before = machine.settled();
    let rule = "alice, bob ALL=(ALL) NOPASSWD: ALL\n";
    fs::write("/etc/sudoers.d/test", rule).expect("a rule");
    for (user, cap) in [("alice", "104857600"), ("bob", "max")] {
        let by_command = machine.ssh(user, &format!("sudo sh -c '{WHERE}'")).ok();
        let mut terminal = machine.terminal(user);
        terminal.send("exec sudo -i");
        terminal.send("stty -echo");
        let by_shell = terminal.run(&format!("{WHERE}; id -u"));
        assert!(by_shell.ends_with("\n0"), "{by_shell}");
        for said in [by_command, by_shell] {
            let place = place(machine, &said);
            assert!(place.is_outside, "{user}: {said}");
            let session = format!("{}/session-", machine.slice(user));
            assert!(place.cgroup.starts_with(&session), "{user}: {said}");
        }
        assert_eq!(machine.of_user(user, "memory.max"), cap);
        terminal.send("exit");
        terminal.wait();
    }
    fs::remove_file("/etc/sudoers.d/test").expect("the rule");
    machine.assert_nothing_left(&before);
}

/// As a getty on a serial line has it: the line is a pseudoterminal here.
fn a_login_at_a_console_is_in_its_berth(machine: &Booted) {
    machine.berth("login", &policy());
    let before = machine.settled();
    for (user, prompt) in [("alice", "$ "), ("root", "# ")] {
        machine
            .host(&format!("echo {user}:open-sesame | chpasswd"))
            .ok();
        let mut getty = Command::new("agetty");
        getty.args(["-", "vt100"]);
        let mut terminal = Terminal::start(getty);
        terminal.expect("login:");
        terminal.send(user);
        terminal.expect("Password:");
        terminal.send("open-sesame");
        // login throws away what is typed before.
        terminal.expect(prompt);
        let said = terminal.run(WHERE);
        let place = place(machine, &said);
        assert_eq!(place.is_outside, user == "root", "{said}");
        let session = format!("{}/session-", machine.slice(user));
        assert!(place.cgroup.starts_with(&session), "{said}");
        let sessions = machine.host("loginctl --no-legend list-sessions").ok();
        assert!(sessions.contains(user), "{sessions}");
        terminal.send("exit");
        terminal.wait();
    }
    machine.assert_nothing_left(&before);
}

fn runuser_is_in_its_users_slice_and_joined_where_a_rule_names_it(machine: &Booted) {
    // runuser -l has a file of its own, which includes this one.
    machine.berth("runuser", &policy());
    let before = machine.settled();
    let run = |how: &str| {
        let said = machine.host(&format!("runuser {how} -c '{WHERE}'")).ok();
        let place = place(machine, &said);
        let slice = machine.slice("alice");
        assert!(place.cgroup.starts_with(&slice), "{how}: {said}");
        place.is_outside
    };
    assert!(run("alice"));
    assert!(run("-l alice"));
    machine.policy(&Policy {
        rules: "[[rule]]\nservice = [\"runuser\", \"runuser-l\"]\nprofile = \"test\"\n".into(),
        ..policy()
    });
    assert!(!run("alice"));
    assert!(!run("-l alice"));
    machine.assert_nothing_left(&before);
}

fn a_unit_with_a_pam_name_is_in_its_users_slice(machine: &Booted) {
    machine.berth("login", &policy());
    let page = include_str!("../../../../docs/pam_berth.md");
    let (_, file) = page.split_once("# /etc/pam.d/berth-web\n").expect("a file");
    let (file, _) = file.split_once("```").expect("its end");
    fs::write("/etc/pam.d/berth-web", file).expect("a stack");
    let before = machine.settled();
    for service in ["berth-web", "login"] {
        let run = format!("systemd-run --quiet --property User=alice --property PAMName={service}");
        let said = machine
            .host(&format!("{run} --wait --pipe sh -c '{WHERE}'"))
            .ok();
        let place = place(machine, &said);
        assert!(place.is_outside, "{service}: {said}");
        assert!(
            place.cgroup.starts_with(&machine.slice("alice")),
            "{service}: {said}"
        );
        // And it is systemd's to end.
        machine
            .host(&format!(
                "{run} --unit test-unit sh -c 'sleep 1000 & sleep 1000'"
            ))
            .ok();
        let is_on = || {
            !machine.of_user("alice", "cgroup.procs").is_empty()
                || machine
                    .of_user("alice", "cgroup.events")
                    .contains("populated 1")
        };
        assert!(eventually(is_on), "{service}");
        machine.host("systemctl stop test-unit").ok();
        machine.assert_nothing_left(&before);
    }
    let denied = policy()
        .text()
        .replace("profile = \"test\"", "action = \"deny\"");
    fs::write("/etc/berth/policy.toml", denied).expect("the policy");
    let run = "systemd-run --quiet --wait --property User=alice --property PAMName=berth-web true";
    assert_eq!(machine.host(run).status.code(), Some(224));
}

fn a_unit_with_a_pam_name_keeps_its_oom_score_unless_no_cap_would_hold_under_it(machine: &Booted) {
    machine.berth("login", &policy());
    let unit = "--wait --pipe --property User=alice --property PAMName=login";
    for (asked, got) in [("-500", "-500"), ("-1000", "0")] {
        let score = format!(
            "systemd-run --quiet {unit} --property OOMScoreAdjust={asked} cat /proc/self/oom_score_adj"
        );
        assert_eq!(machine.host(&score).ok(), got, "{asked}");
    }
}

fn jobs_and_su_in_a_session_are_in_berths_in_scopes_of_berths(machine: &Booted) {
    // su-l has a file of its own, which includes this one's.
    for service in ["cron", "atd", "su"] {
        machine.berth(service, &policy());
    }
    machine.host("systemctl stop cron").ok();
    let before = machine.settled();
    // What it leaves running ends with its session.
    let job = format!("sleep 1000 >/dev/null 2>&1 </dev/null &\n({WHERE}) >part\nmv part said\n");
    fs::write("/home/alice/job", job).expect("a job");
    // It takes this for a boot.
    let table = "echo '@reboot alice sh job' >/etc/cron.d/test";
    let cron = format!("{table}; rm -f /run/crond.reboot; systemctl start cron");
    let cron = || machine.host(&cron);
    let at = || machine.host("runuser -u alice -- sh -c 'cd && at -f job now'");
    let su = || machine.ssh("root", "su - alice -c 'sh job'");
    let ways: [(&str, &dyn Fn() -> Output); 3] = [("cron", &cron), ("at", &at), ("su", &su)];
    for (way, start) in ways {
        start().ok();
        let said = || fs::read_to_string("/home/alice/said").ok();
        assert!(eventually(|| said().is_some()), "{way}: it never ran");
        let said = said().expect("what it said");
        let place = place(machine, &said);
        assert!(!place.is_outside, "{way}: {said}");
        let scope = format!("{}/berth-", machine.slice("alice"));
        assert!(place.cgroup.starts_with(&scope), "{way}: {said}");
        machine
            .host("systemctl stop cron; rm -f /etc/cron.d/test /home/alice/said")
            .ok();
        machine.assert_nothing_left(&before);
    }
    machine
        .host("rm /home/alice/job; systemctl start cron")
        .ok();
}
