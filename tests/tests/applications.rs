//! The module in applications of every kind: with handlers, filters and limits of their own, in a chroot, without
//! standard streams, for thousands of logins. With threads: `threads`; exec in place: `exec_in_place`; those of Debian:
//! `applications_of_debian`; all through pamtester: `loaded` in `pam_module/tests`.

use std::path::Path;

use berth_tests::{Background, Machine, Output, Policy, Stack};

/// A service that gets caps only, so that one application can open one session after the other.
const CAPS_ONLY: &str = "cockpit";

const USER_OFF: &str = r#"user = "off", pid = true, ipc = true, mount = true, private_tmp = "16M""#;

/// An application that is like this opens a session and closes it: what it says of that and of itself.
fn host(machine: &Machine, switches: &str) -> Output {
    let probe = machine.probe(&format!("host {switches}"));
    machine.host(&format!("exec </dev/null 2>&1; {probe}"))
}

/// The two figures of a line.
fn figures(said: &str, name: &str) -> (u64, u64) {
    let line = said.lines().find_map(|line| line.strip_prefix(name));
    let words = line.and_then(|rest| rest.trim().split_once(' '));
    let (first, second) = words.unwrap_or_else(|| panic!("no {name}: {said}"));
    (first.parse().unwrap(), second.parse().unwrap())
}

/// What must be the same before and after.
#[track_caller]
fn assert_flat(said: &str, names: &[&str]) {
    for name in names {
        let (before, after) = figures(said, name);
        assert_eq!(before, after, "{name}: {said}");
    }
}

fn with_service(machine: &Machine, service: &str) {
    machine
        .host(&format!("cp /etc/pam.d/login /etc/pam.d/{service}"))
        .ok();
}

#[test]
fn an_application_is_joined_whatever_it_does_with_its_children_its_descriptors_and_its_limits() {
    Machine::run(|machine| {
        let before = machine.settled();
        for switches in [
            "--reaps-all",
            "--ignores-children",
            "--closed",
            "--descriptors 1000",
            // Its limit leaves it what libpam itself needs; the first number that is free then is the 1000th.
            "--descriptors 1000 --free 7 --nofile 10",
            "--nofile 8",
            "--nproc 0",
            "--refuses nothing",
        ] {
            let said = host(machine, &format!("{switches} sshd alice")).ok();
            assert!(said.starts_with("open berth\n"), "{switches}: {said}");
            assert_eq!(figures(&said, "threads").0, 1, "{said}");
            // Its own child, which it has to see, and none of Berth's.
            let own = u64::from(switches == "--reaps-all");
            assert_eq!(figures(&said, "children"), (own, own), "{switches}");
            machine.assert_nothing_left(&before);
        }
    });
}

#[test]
fn an_application_without_standard_streams_has_nothing_of_berths_in_their_places() {
    Machine::run(|machine| {
        let probe = machine.probe("host --closed --stay sshd alice");
        let mut application = Background::talking(&probe);
        assert_eq!(application.line(), "open berth");
        let fds = format!("/proc/{}/fd", application.process().0);
        let sockets = machine.host(&format!("ls -l {fds} | grep socket: | grep -v ' 0 -> '"));
        // 0 is the log's, which the application has opened itself. This is what writing to 1 or 2 must not meet.
        assert_eq!(sockets.ok().lines().count(), 1, "the module's socket");
        assert!(!Path::new(&fds).join("1").exists());
        assert!(!Path::new(&fds).join("2").exists());
    });
}

#[test]
fn a_filter_of_the_applications_own_is_an_error_that_is_named_and_leaves_nothing() {
    Machine::run(|machine| {
        for answer in ["deny", "allow"] {
            machine.policy(&Policy::default().on_error(answer));
            let line = if answer == "allow" {
                "on_error=allow"
            } else {
                ""
            };
            machine.stack(&Stack {
                arguments: line.into(),
                ..Stack::default()
            });
            let before = machine.settled();
            for (call, names, has_begun) in [
                (
                    "clone",
                    "cannot start /berth/berth-helper: Operation not permitted",
                    false,
                ),
                (
                    "setns",
                    "mount namespace (setns), which shows whether this is a chroot: EPERM",
                    false,
                ),
                (
                    "seccomp",
                    "install the seccomp filter: Operation not permitted",
                    true,
                ),
            ] {
                machine.forget_log();
                let said = host(machine, &format!("--refuses {call} sshd alice")).ok();
                machine.logged(names);
                let goes_on = answer == "allow" && !has_begun;
                assert_eq!(said.starts_with("open none\n"), goes_on, "{call}: {said}");
                assert_eq!(said.contains("PAM error"), !goes_on, "{call}: {said}");
                if !has_begun {
                    assert_flat(&said, &["descriptors", "threads"]);
                }
                machine.assert_nothing_left(&before);
            }
        }
    });
}

#[test]
fn an_application_that_is_not_root_is_let_go_on_and_places_nobody() {
    Machine::run(|machine| {
        let before = machine.settled();
        let uid = machine.uid("alice");
        for user in ["alice", "bob"] {
            let said = host(machine, &format!("--uid {uid} sshd {user}")).ok();
            assert!(said.starts_with("open none\n"), "{said}");
            assert_flat(&said, &["descriptors", "threads"]);
        }
        machine.assert_nothing_left(&before);
    });
}

/// setns(2) into a mount namespace makes that namespace's root the caller's: its user would be out of the chroot.
#[test]
fn an_application_in_a_chroot_stays_in_it() {
    Machine::run(|machine| {
        machine
            .host(
                "mkdir /srv/root && mount --rbind / /srv/root && mount --make-rslave /srv/root
                touch /srv/of-the-host && mount -t tmpfs srv /srv/root/srv",
            )
            .ok();
        let probe = machine.probe(
            "exec-in-place sshd alice sh -c 'test -e /srv/of-the-host && echo out; echo in'",
        );
        let open = |machine: &Machine| machine.host(&format!("chroot /srv/root {probe} 2>&1"));
        for namespaces in [&Policy::default().namespaces, USER_OFF] {
            machine.policy(&Policy::with_namespaces(namespaces));
            machine.forget_log();
            let said = open(machine).refused();
            assert!(said.stdout.contains("PAM error"), "{said:?}");
            machine.logged("the login service runs in a chroot");
        }
        machine.policy(&Policy::with_namespaces(""));
        assert_eq!(open(machine).ok(), "in", "caps only");
        machine.host("umount -l /srv/root").ok();
    });
}

/// So that the allocator's figure is that of what is allocated, and of nothing that it keeps back.
const NO_CACHES: &str = "GLIBC_TUNABLES=glibc.malloc.tcache_count=0:glibc.malloc.mxfast=0";

const ALL: [&str; 4] = ["descriptors", "threads", "mappings", "heap"];

#[test]
fn hundreds_of_logins_of_one_application_leave_it_as_it_was() {
    Machine::run(|machine| {
        with_service(machine, CAPS_ONLY);
        let before = machine.settled();
        for (service, namespaces) in [(CAPS_ONLY, None), ("sshd", Some(USER_OFF))] {
            let policy = namespaces.map_or_else(Policy::default, Policy::with_namespaces);
            machine.policy(&policy);
            let probe = machine.probe(&format!("host --reaps-all --rounds 200 {service} alice"));
            let said = machine.host(&format!("{NO_CACHES} {probe}")).ok();
            assert!(said.starts_with("open berth\n"), "{said}");
            assert_flat(&said, &ALL);
            assert_eq!(figures(&said, "children"), (1, 1), "{service}");
            machine.assert_nothing_left(&before);
        }
    });
}

/// libpam loads it for each of them, and lets it go. Root, whom it lets in without the helper.
#[test]
fn the_module_is_loaded_and_let_go_ten_thousand_times() {
    Machine::run(|machine| {
        let probe = machine.probe("host --rounds 10000 sshd root");
        let said = machine.host(&format!("{NO_CACHES} {probe}")).ok();
        assert!(said.starts_with("open none\n"), "{said}");
        assert_flat(&said, &ALL);
        assert!(said.contains("loaded false"), "{said}");
    });
}

/// Each with the namespaces whose calls valgrind 3.19 knows: it has no seccomp(2), and so no filter can be installed.
#[test]
fn valgrind_finds_no_error_no_leak_and_no_lost_descriptor() {
    Machine::run(|machine| {
        with_service(machine, CAPS_ONLY);
        for switches in [
            format!("--rounds 3 {CAPS_ONLY} alice"),
            "--rounds 3 sshd root".into(),
            // A join that fails at its filter, with all that has been allocated and opened until then.
            "sshd alice".into(),
        ] {
            let probe = machine.probe(&format!("host {switches}"));
            let said = machine.host(&format!(
                "exec 2>&1; valgrind --leak-check=full --errors-for-leak-kinds=definite,indirect,possible \
                 --show-leak-kinds=definite,indirect,possible --error-exitcode=99 {probe}"
            ));
            assert!(said.success(), "{switches}: {}", said.stdout);
            assert!(said.stdout.contains("ERROR SUMMARY: 0 errors"), "{said:?}");
            if !switches.ends_with("sshd alice") {
                assert_flat(&said.stdout, &["descriptors", "threads"]);
            }
        }
    });
}
