//! `berth try`: what it shows of a policy is what a login gets.

use std::process::Command;

use berth_tests::namespaces::PROGRAMS;
use berth_tests::{Machine, Output, Terminal};

/// `berth try` for a user, with this build's module and helper.
fn attempt(machine: &Machine, arguments: &str) -> Output {
    machine.host(&format!(
            "{PROGRAMS}/berth try --module {PROGRAMS}/libpam_berth.so --helper {PROGRAMS}/berth-helper {arguments}"
    ))
}

const POLICY: &str = "--policy /etc/berth/policy.toml";

#[test]
fn try_is_a_login_as_the_policy_says() {
    Machine::run(|machine| {
        let before = machine.settled();
        let uid = machine.uid("alice");
        let look = "3</etc/shadow 'id -u; pwd; cat /proc/1/comm; echo $BERTH_SESSION; cat /proc/self/cgroup; ls /proc/self/fd'";
        let tried = attempt(machine, &format!("--user alice {POLICY} {look}"));
        assert!(
            tried
                .stderr
                .starts_with("berth: alice, service sshd: profile test, rule all\n"),
            "{tried:?}"
        );
        let said = tried.ok();
        let lines: Vec<&str> = said.lines().collect();
        let id = lines[3];
        assert_eq!(lines[..3], [&uid.to_string(), "/home/alice", "berth-init"]);
        assert!(
            said.contains(&format!("0::/berth/user-{uid}/sessions/{id}")),
            "{said}"
        );
        // The last of them is ls's own.
        assert!(said.ends_with("\n0\n1\n2\n3"), "open descriptors: {said}");
        let status = attempt(machine, &format!("--user alice {POLICY} exit 42"));
        assert_eq!(status.status.code(), Some(42), "{status:?}");
        let killed = attempt(machine, &format!("--user alice {POLICY} 'kill -KILL $$'"));
        assert_eq!(killed.status.code(), Some(137), "{killed:?}");
        assert_eq!(machine.host("ls -d /run/berth-try*").stdout, "");
        machine.assert_nothing_left(&before);
    });
}

#[test]
fn try_reads_another_policy_and_minds_service_and_errors() {
    Machine::run(|machine| {
        let write = |text: &str| std::fs::write("/etc/berth/new.toml", text).unwrap();
        let new = "--policy /etc/berth/new.toml";
        write(
            "version = 1\n[profile.p]\nnamespaces = { pid = true, mount = true }\n\
             [[rule]]\nservice = \"cron\"\naction = \"deny\"\nmessage = \"No jobs here.\"\n\
             [[rule]]\nuser = \"bob\"\naction = \"exempt\"\n[[rule]]\nprofile = \"p\"\n",
        );
        let map = attempt(
            machine,
            &format!("--user alice {new} cat /proc/self/uid_map"),
        )
        .ok();
        assert!(
            map.trim().ends_with("4294967295"),
            "no user namespace: {map}"
        );
        let denied = attempt(machine, &format!("--user alice --service cron {new} true"));
        assert_eq!(denied.status.code(), Some(1), "{denied:?}");
        assert!(denied.stderr.contains("\nNo jobs here.\n"), "{denied:?}");
        let exempt = attempt(machine, &format!("--user bob {new} cat /proc/1/comm"));
        assert!(exempt.stderr.contains("exempt, no berth"), "{exempt:?}");
        assert_ne!(exempt.ok(), "berth-init");

        write("version = 1\n[profile.p]\nuser = { memory_maks = \"3G\" }\n");
        let broken = attempt(machine, &format!("--user alice {new} true"));
        assert_eq!(broken.status.code(), Some(3), "{broken:?}");
        assert!(
            broken
                .stderr
                .starts_with("/etc/berth/new.toml:3:10: error: unknown key"),
            "{broken:?}"
        );
    });
}

#[test]
fn try_gives_a_shell_on_a_terminal_with_job_control() {
    Machine::run(|machine| {
        let mut terminal = machine.berth_terminal(&[
            "try",
            "--module",
            &format!("{PROGRAMS}/libpam_berth.so"),
            "--helper",
            &format!("{PROGRAMS}/berth-helper"),
            "--policy",
            "/etc/berth/policy.toml",
            "--user",
            "alice",
        ]);
        terminal.expect("berth: session ");
        assert_eq!(terminal.run("cat /proc/1/comm; echo $0"), "berth-init\n-sh");
        assert_eq!(terminal.run("echo $BERTH_SESSION"), machine.session());
        terminal.assert_interrupts_and_exits();
    });
}

#[test]
fn an_error_has_colours_on_a_terminal_and_none_in_a_file() {
    Machine::run(|_| {
        std::fs::write("/etc/berth/policy.toml", "nonsense = 1\n").unwrap();
        let shown = |redirected: &str| {
            let mut command = Command::new("sh");
            let try_it = format!("{PROGRAMS}/berth try --user alice {redirected}; echo done");
            command.arg("-c").arg(try_it).env("NO_COLOR", "");
            let terminal = Terminal::start(command);
            terminal.expect("done");
            terminal.shown()
        };
        let on_terminal = shown("");
        assert!(on_terminal.contains("\x1b[1;31merror"), "{on_terminal}");
        shown("2>/root/told");
        let told = std::fs::read_to_string("/root/told").unwrap();
        assert!(told.contains(": error: "), "{told}");
    });
}
