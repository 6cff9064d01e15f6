//! `berth doctor` on a machine that is well, and with one thing wrong after the other.

use std::fs;
use std::path::Path;

use berth_tests::namespaces::PROGRAMS;
use berth_tests::{Machine, Process, eventually};

const STACKS: &str = "enable --yes sshd login su cron atd";

/// Asserts that the doctor has one thing more to say than on a machine that is well, and that it is this:
/// level and topic, a colon, and a part of the text.
#[track_caller]
fn finds(machine: &Machine, what: &str) {
    let said = machine.berth("doctor");
    let wrong: Vec<&str> = said
        .stdout
        .lines()
        .filter(|line| line.starts_with("FAIL") || line.starts_with("WARN"))
        .collect();
    assert_eq!(wrong.len(), 1, "{said:?}");
    let (topic, text) = what.split_once(": ").unwrap();
    let found = wrong[0].starts_with(topic) && wrong[0].contains(text);
    assert!(found, "{what}: {said:?}");
    let status = i32::from(what.starts_with("FAIL"));
    assert_eq!(said.status.code(), Some(status), "{said:?}");
}

/// A machine on which Berth is installed, in force, and well.
fn well(machine: &Machine) {
    machine.install();
    fs::write("/etc/ssh/sshd_config", "UsePAM yes\n").unwrap();
    // As systemd has it. This network namespace is the machine's own.
    fs::write("/proc/sys/net/ipv4/ping_group_range", "0 2147483647").unwrap();
    // As a machine has it, and a container mostly not: there users can fill what Berth's records are in.
    let of_its_own = "mkdir -p /run/berth && mount -t tmpfs -o mode=755 none /run/berth";
    machine.host(of_its_own).ok();
    machine.berth("reload").ok();
    machine.berth(&format!("pam {STACKS}")).ok();
    // The last of the logins that it was tested with may still be ending.
    let list = || machine.berth("list").ok();
    assert!(
        eventually(|| list().ends_with("0 sessions, 0 users.")),
        "{}",
        list()
    );
    let said = machine.berth("doctor").ok();
    assert!(said.ends_with("\n0 failures, 0 warnings"), "{said}");
    for line in [
        "ok    policy     loaded ",
        "ok    pam        pam_berth is in the right place in sshd, login, su, cron, atd",
        "ok    sessions   0 sessions",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
}

#[test]
fn a_machine_that_is_well_is_said_to_be_and_each_broken_file_is_found() {
    Machine::run(|machine| {
        well(machine);
        for (harm, cure, what) in [
            (
                "chmod u+s /usr/libexec/berth-helper",
                "chmod 755 /usr/libexec/berth-helper",
                "FAIL  programs: /usr/libexec/berth-helper is setuid",
            ),
            (
                "setcap cap_chown+ep /usr/libexec/berth-helper",
                "setcap -r /usr/libexec/berth-helper",
                "FAIL  programs: /usr/libexec/berth-helper has file capabilities",
            ),
            (
                "chown 1 /usr/libexec/berth-helper",
                "chown 0 /usr/libexec/berth-helper",
                "FAIL  programs: /usr/libexec/berth-helper is not root's",
            ),
            (
                "chmod g+w /usr/lib/*/security/pam_berth.so",
                "chmod g-w /usr/lib/*/security/pam_berth.so",
                "FAIL  programs: pam_berth.so can be written by others",
            ),
            (
                "mv /usr/libexec/berth-helper /root",
                "mv /root/berth-helper /usr/libexec",
                "FAIL  programs: /usr/libexec/berth-helper: No such file",
            ),
            (
                "mv /usr/lib/*/security/pam_berth.so /root",
                "mv /root/pam_berth.so /usr/lib/*/security/",
                "FAIL  programs: pam_berth.so is in none",
            ),
            (
                "chmod 777 /run/berth",
                "chmod 755 /run/berth",
                "WARN  room: users can fill the file system of /run/berth, in ",
            ),
            // As a full disk leaves it.
            (
                "cd /usr/lib/*/security; mv pam_berth.so /root; head -c 200000 /root/pam_berth.so >pam_berth.so",
                "mv /root/pam_berth.so /usr/lib/*/security/",
                "FAIL  programs: pam_berth.so cannot be loaded: signal: 7 (SIGBUS)",
            ),
            (
                "LC_ALL=C sed -i 's/a message of Berth [0-9.]*/a message of Berth 9.9.9/' /usr/libexec/berth-helper",
                "cp /berth/berth-helper /usr/libexec/",
                "FAIL  programs: the helper is of Berth 9.9.9, and the module of ",
            ),
            (
                "chmod 644 /usr/libexec/berth-helper",
                "chmod 755 /usr/libexec/berth-helper",
                "FAIL  programs: /usr/libexec/berth-helper cannot be started: Permission denied",
            ),
            (
                "LC_ALL=C sed -i 's/libc\\.so\\.6/libc.so.9/' /usr/libexec/berth-helper",
                "cp /berth/berth-helper /usr/libexec/",
                "FAIL  programs: error while loading shared libraries: libc.so.9",
            ),
            (
                "echo '# x' >>/etc/berth/policy.toml",
                "/berth/berth reload",
                "WARN  policy: ago; /etc/berth/policy.toml changed since",
            ),
            (
                "rm /var/lib/berth/policy.json",
                "/berth/berth reload",
                "WARN  policy: no policy is loaded",
            ),
            (
                "mkdir -p /etc/berth/policy.d; printf '[[rule]]\\ngroup = \"users\"\\ntime = \"night\"\\naction = \"exempt\"\\n[time.night]\\nhours = \"22:00-06:00\"\\n' >/etc/berth/policy.d/night.toml; /berth/berth reload",
                "rm /etc/berth/policy.d/night.toml; /berth/berth reload",
                "WARN  time: /etc/cron.d/berth is not there",
            ),
            (
                "/berth/berth pam disable --yes atd",
                "/berth/berth pam enable --yes atd",
                "FAIL  pam: atd has no pam_berth: its jobs run outside",
            ),
            (
                "echo UsePAM no >/etc/ssh/sshd_config",
                "echo UsePAM yes >/etc/ssh/sshd_config",
                "FAIL  pam: sshd does not use PAM",
            ),
        ] {
            machine.host(harm).ok();
            finds(machine, what);
            machine.host(cure).ok();
        }
        machine.berth("doctor").ok();
    });
}

#[test]
fn a_policy_with_an_error_is_a_failure_and_one_with_a_warning_a_warning() {
    Machine::run(|machine| {
        well(machine);
        let policy = fs::read_to_string("/etc/berth/policy.toml").unwrap();
        fs::write(
            "/etc/berth/policy.toml",
            format!("{policy}\nnonsense = 1\n"),
        )
        .unwrap();
        let said = machine.berth("doctor");
        assert_eq!(said.status.code(), Some(1), "{said:?}");
        let line = "FAIL  policy     the edited files have 1 error; the policy loaded on ";
        assert!(said.stdout.contains(line), "{said:?}");

        let rule = "[[rule]]\ngroup = \"nosuch\"\nprofile = \"test\"\n";
        fs::write("/etc/berth/policy.toml", format!("{policy}\n{rule}")).unwrap();
        machine.berth("reload").ok();
        let said = machine.berth("doctor").ok();
        assert!(
            said.contains("WARN  policy     /etc/berth/policy.toml:"),
            "{said}"
        );
        assert!(said.contains("group `nosuch` is not known here"), "{said}");

        fs::remove_file("/var/lib/berth/policy.json").unwrap();
        fs::remove_file("/etc/berth/policy.toml").unwrap();
        let said = machine.berth("doctor");
        assert_eq!(said.status.code(), Some(1), "{said:?}");
        let line = "FAIL  policy     there is no policy that could be used";
        assert!(said.stdout.contains(line), "{said:?}");
    });
}

#[test]
fn what_crashed_sessions_left_is_removed_and_what_may_be_a_live_ones_is_not() {
    Machine::run(|machine| {
        well(machine);
        // Of a dead session, of one before a crash of the machine, and of a user's that left no record.
        let (alice, _) = machine.stay("alice");
        Process::kill_the_keepers();
        let uid = machine.uid("bob");
        let leave = format!(
            "mkdir -p /var/lib/berth/tmp/77/a/b /var/lib/berth/tmp/stale-78 /run/berth/users/{uid}; \
             touch /run/berth/users/{uid}/79 /run/berth/sessions/.80"
        );
        machine.host(&leave).ok();
        let said = machine.berth("doctor").ok();
        for line in [
            "WARN  sessions   nobody looks after session ",
            "WARN  sessions   nobody removes what session 77 left: /var/lib/berth/tmp/77\n                 -> berth doctor --fix\n",
            "session 78 left: /var/lib/berth/tmp/stale-78\n",
            &format!("session 79 left: /run/berth/users/{uid}/79\n"),
            "session 80 left: /run/berth/sessions/.80\n",
        ] {
            assert!(said.contains(line), "{line}: {said}");
        }
        let said = machine.berth("doctor --fix").ok();
        assert_eq!(
            said.matches("\nfixed sessions   removed what session ")
                .count()
                + 1,
            5,
            "{said}"
        );
        assert!(said.ends_with("\n0 failures, 0 warnings"), "{said}");
        alice.end();
        assert!(!Path::new("/run/berth/users").join(uid.to_string()).exists());
        assert!(fs::read_dir("/var/lib/berth/tmp").unwrap().next().is_none());

        // A session whose record somebody has removed still has its keeper.
        let (alice, shell) = machine.stay("alice");
        machine
            .host("mkdir /var/lib/berth/tmp/81; mv /run/berth/sessions/* /root")
            .ok();
        let said = machine.berth("doctor --fix");
        assert_eq!(said.status.code(), Some(1), "{said:?}");
        assert!(
            said.stdout
                .contains("FAIL  sessions   cannot remove what session 81 left"),
            "{said:?}"
        );
        assert!(
            said.stdout.contains("no record says of which session"),
            "{said:?}"
        );
        assert!(shell.exists(), "{said:?}");
        alice.end();
    });
}

#[test]
fn a_dead_session_is_found_and_json_says_the_same() {
    Machine::run(|machine| {
        well(machine);
        let (alice, _) = machine.stay("alice");
        Process::kill_the_keepers();
        finds(machine, "WARN  sessions: nobody looks after session ");
        let json = machine.berth("doctor --json").ok();
        for part in [
            "\"failures\": 0",
            "\"warnings\": 1",
            "\"level\": \"warn\"",
            "\"remedy\": \"berth kill ",
        ] {
            assert!(json.contains(part), "{part}: {json}");
        }
        machine.berth("kill --yes alice").ok();
        alice.end();
        machine.berth("doctor").ok();
        let as_user = machine.su("bob", &format!("{PROGRAMS}/berth doctor"));
        assert_eq!(as_user.status.code(), Some(4), "{as_user:?}");
    });
}
