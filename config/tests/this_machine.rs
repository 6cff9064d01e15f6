//! What is asked of the machine itself: accounts, groups, PAM services, its name.
//!
//! Each test runs again on a machine that has /etc/passwd, /etc/group and /etc/pam.d from it, and is called `lab7`.

use std::process::Command;

use berth_config::{Login, LookupError, PamStack, Site, ThisMachine};

#[path = "../../tests/src/apart.rs"]
mod apart;
#[path = "../../tests/src/own_folder.rs"]
mod own_folder;

use own_folder::Folder;

/// Runs a test on such a machine.
#[track_caller]
fn on_a_machine<T: FnOnce()>(test: T) {
    if apart::is_apart() {
        return test();
    }
    let folder = Folder::new();
    let many = (0..100).map(|number| format!("g{number}:x:{}:alice\n", 5000 + number));
    let many: String = many.collect();
    for (file, text) in [
        (
            "passwd",
            "root:x:0:0::/:/bin/sh\nalice:x:1001:1001::/:/bin/sh\nbob:x:1002:1002::/:/bin/sh\n",
        ),
        (
            "group",
            &format!("root:x:0:\nalice:x:1001:\nsudo:x:27:bob,gone\nwheel:x:10:bob\n{many}"),
        ),
        ("pam.d/sshd", "session include level1\n"),
        ("pam.d/cron", "session required pam_unix.so\n"),
    ] {
        folder.write(file, text);
    }
    // As deep as an include goes, and one deeper.
    for level in 1..=9 {
        let next = match level {
            8 => "session required pam_berth.so\n".to_owned(),
            _ => format!("session include level{}\n", level + 1),
        };
        folder.write(format!("pam.d/level{level}"), next);
    }
    folder.write("pam.d/deeper", "session include sshd\n");
    let script =
        "cd \"$1\"; shift; for file in passwd group pam.d; do mount --bind $file /etc/$file; done
        echo passwd: files > nsswitch.conf; echo group: files >> nsswitch.conf
        mount --bind nsswitch.conf /etc/nsswitch.conf; mount -t tmpfs none /run
        echo lab7 > /proc/sys/kernel/hostname; exec \"$@\"";
    let path = folder.to_str().unwrap();
    apart::apart(
        &[
            "unshare", "--mount", "--uts", "sh", "-ec", script, "sh", path,
        ],
        test,
    );
}

fn this_machine() -> ThisMachine {
    ThisMachine { cgroup_root: None }
}

#[test]
fn an_account_has_its_name_its_numbers_all_of_its_groups_the_hosts_name_and_a_time() {
    on_a_machine(|| {
        let alice = Login::of("alice").unwrap();
        let known = (alice.user.as_str(), alice.uid, alice.gid);
        assert_eq!(known, ("alice", 1001, 1001));
        assert_eq!(
            (alice.primary_group(), alice.host.as_str()),
            ("alice", "lab7")
        );
        assert_eq!(alice.groups.len(), 101);
        assert!(alice.groups.iter().any(|group| group.name == "g99"));
        // Without a time no rule with hours would hold.
        assert!(alice.at.is_some());
        assert!(matches!(Login::of("eve"), Err(LookupError::UnknownUser(_))));
        assert!(matches!(Login::of("a\0"), Err(LookupError::BadName(_))));
    });
}

#[test]
fn a_group_that_cannot_be_looked_up_is_not_one_without_a_name() {
    on_a_machine(|| {
        let mount = |file: &str, over: &str| {
            let mounted = Command::new("mount").args(["--bind", file, over]).status();
            assert!(mounted.unwrap().success());
        };
        // Neither a service that is not there nor one that does not know it fails.
        std::fs::write("/run/nsswitch", "passwd: files\ngroup: files nosuch\n").unwrap();
        mount("/run/nsswitch", "/etc/nsswitch.conf");
        std::fs::write("/run/group", "root:x:0:\n").unwrap();
        mount("/run/group", "/etc/group");
        assert_eq!(Login::of("alice").unwrap().primary_group(), "");
        // A socket cannot be opened.
        let _socket = std::os::unix::net::UnixListener::bind("/run/socket").unwrap();
        mount("/run/socket", "/etc/group");
        let failed = Login::of("alice");
        assert!(
            matches!(failed, Err(LookupError::Groups { .. })),
            "{failed:?}"
        );
    });
}

#[test]
fn groups_and_who_may_sudo_are_the_machines() {
    on_a_machine(|| {
        let machine = this_machine();
        let has = ["sudo", "g1", "g100", "", "a\0"].map(|name| machine.has_group(name));
        assert_eq!(has, [true, true, false, false, false]);
        let sudoers = machine.sudoers();
        assert_eq!(sudoers.len(), 1);
        assert_eq!(sudoers[0].user, "bob");
        assert!(machine.machine().is_some_and(|machine| machine.memory > 0));
        assert!(!machine.systemd());
        std::fs::create_dir_all("/run/systemd/system").unwrap();
        assert!(machine.systemd());
    });
}

#[test]
fn a_pam_service_has_berth_if_its_stack_leads_there() {
    on_a_machine(|| {
        let machine = this_machine();
        let services = machine.pam_services();
        assert!(
            ["sshd", "cron"]
                .iter()
                .all(|one| services.iter().any(|there| there == one))
        );
        let stack =
            ["sshd", "cron", "nothing", "../pam.d/sshd"].map(|name| machine.pam_stack(name));
        let [with, without, absent] = [
            PamStack::WithBerth,
            PamStack::WithoutBerth,
            PamStack::Absent,
        ];
        assert_eq!(stack, [with, without, absent, absent]);
        assert_eq!(
            machine.pam_stack("deeper"),
            without,
            "no stack includes so many"
        );
    });
}

#[test]
fn who_asks_is_who_typed_sudo_and_nobody_but_root_can_say_so() {
    on_a_machine(|| {
        if let Ok(expected) = std::env::var("BERTH_TEST_NAME") {
            assert_eq!(berth_config::own_name(), Some(expected));
            return;
        }
        std::fs::copy(std::env::current_exe().unwrap(), "/run/test").unwrap();
        for (uid, sudo, expected) in [
            (0, "alice", "alice"),
            (0, "", "root"),
            (1002, "alice", "bob"),
        ] {
            let mut asks = Command::new("setpriv");
            asks.args([&format!("--reuid={uid}"), "--clear-groups", "/run/test"]);
            // As this process was started, to run just this test.
            asks.args(std::env::args().skip(1));
            asks.env("SUDO_USER", sudo).env("BERTH_TEST_NAME", expected);
            let ran = asks.output().unwrap();
            let said = String::from_utf8_lossy(&ran.stdout);
            assert!(said.contains("1 passed"), "{expected}: {ran:?}");
        }
    });
}
