//! What cannot be carried out refuses the login or lets it go on, as the policy says; and root gets in.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use berth_tests::{
    Background, Door, Machine, Output, Policy, Process, Snapshot, Stack, becomes, eventually,
};

/// Both answers to one failure, for ssh and su, and root's login beside them.
fn both_ways(machine: &mut Machine, before: &Snapshot, failure: &str, stack: &Stack) {
    for answer in ["deny", "allow"] {
        machine.forget_log();
        machine.stack(&stack.on_error(answer));
        let ssh = machine.ssh("alice", "echo in");
        let su = machine.su("alice", "echo in");
        if answer == "deny" {
            assert!(
                !ssh.success() && !ssh.stdout.contains("in"),
                "{failure}: {ssh:?}"
            );
            assert!(
                !su.success() && !su.stdout.contains("in"),
                "{failure}: {su:?}"
            );
        } else {
            assert_eq!(ssh.ok(), "in", "{failure}");
            assert_eq!(su.ok(), "in", "{failure}");
            let host = machine.host("readlink /proc/self/ns/mnt").ok();
            assert_eq!(machine.su("alice", "readlink /proc/self/ns/mnt").ok(), host);
        }
        assert_eq!(machine.ssh("root", "echo in").ok(), "in", "root, {failure}");
        assert_eq!(machine.su("root", "echo in").ok(), "in", "root, {failure}");
        machine.assert_nothing_left(before);
        let line = machine.logged(&format!("on_error = {answer}"));
        assert!(line.contains("berth"), "{failure}: {line}");
    }
}

#[test]
fn without_a_helper() {
    Machine::run(|machine| {
        let before = machine.settled();
        let stack = Stack {
            helper: "/nonexistent/helper".into(),
            ..Stack::default()
        };
        both_ways(machine, &before, "no helper", &stack);
    });
}

#[test]
fn with_a_helper_that_dies_at_once() {
    Machine::run(|machine| {
        let before = machine.settled();
        for (failure, text) in [
            ("killed", "#!/bin/sh\nkill -9 $$\n"),
            ("says nothing", "#!/bin/sh\nexit 0\n"),
            ("no program", "this is no program\n"),
        ] {
            let stack = Stack {
                helper: machine.script("other-helper", text),
                ..Stack::default()
            };
            both_ways(machine, &before, failure, &stack);
        }
    });
}

#[test]
fn with_a_helper_that_hangs_past_the_deadline() {
    Machine::run(|machine| {
        let before = machine.settled();
        let stack = Stack {
            helper: machine.script("other-helper", "#!/bin/sh\nexec sleep 1000\n"),
            arguments: "timeout=2".into(),
            ..Stack::default()
        };
        both_ways(machine, &before, "hung", &stack);
        let start = Instant::now();
        machine.su("alice", "true").ok();
        let took = start.elapsed();
        // Once when the account is checked, once when the session is opened. The helper would sleep for long.
        assert!(took < Duration::from_secs(30), "{took:?}");
        machine.stack(&Stack {
            arguments: "timeout=60".into(),
            ..stack
        });
        let start = Instant::now();
        machine.su("root", "true").ok();
        let took = start.elapsed();
        assert!(took < Duration::from_secs(30), "root waits for nobody");
    });
}

fn load(machine: &Machine, defaults: &str, rest: &str) {
    machine.policy_text(&format!(
        "version = 1\n[defaults]\n{defaults}\n[profile.lax]\n[profile.strict]\non_error = \"deny\"\n\
         [[rule]]\nuser = \"alice\"\nprofile = \"lax\"\n{rest}"
    ));
    machine.berth("reload").ok();
}

fn let_in(machine: &mut Machine, expected: bool) {
    for login in [
        machine.ssh("alice", "echo in"),
        machine.su("alice", "echo in"),
    ] {
        assert_eq!(login.stdout == "in", expected, "{login:?}");
    }
    assert_eq!(machine.ssh("root", "echo in").ok(), "in");
}

/// With the lines that `berth pam enable` writes: they say nothing of failures, and who gives no answer cannot.
#[test]
fn with_a_helper_that_gives_no_answer_the_loaded_policy_decides() {
    Machine::run(|machine| {
        machine.install();
        load(machine, "", "");
        machine.berth("pam enable --yes sshd su").ok();
        let before = machine.settled();
        for helper in [
            "/nonexistent/helper".into(),
            machine.script("exits", "#!/bin/sh\nexit 0\n"),
            machine.script("hangs", "#!/bin/sh\nexec sleep 1000\n"),
        ] {
            let line = format!(
                "s|pam_berth.so.*helper=.*|pam_berth.so|;s|pam_berth.so|& helper={helper} timeout=1|"
            );
            let files = "/etc/pam.d/sshd /etc/pam.d/su";
            machine.host(&format!("sed -i '{line}' {files}")).ok();
            for (defaults, rest, expected) in [
                ("on_error = \"allow\"", "", true),
                ("on_error = \"deny\"", "", false),
                ("", "", false),
                // Somebody of these may be able to make the helper fail.
                (
                    "on_error = \"allow\"",
                    "[[rule]]\nuser = \"bob\"\nprofile = \"strict\"\n",
                    false,
                ),
            ] {
                load(machine, defaults, rest);
                let_in(machine, expected);
            }
        }
        load(machine, "on_error = \"allow\"", "");
        let_in(machine, true);
        machine.host("chmod 666 /var/lib/berth/exempt").ok();
        let doctor = machine.berth("doctor").stdout;
        let but = "by /var/lib/berth/exempt a login whose helper gives no answer is refused";
        assert!(doctor.contains(but), "{doctor}");
        let_in(machine, false);
        machine.assert_nothing_left(&before);
    });
}

#[test]
fn with_a_policy_that_cannot_be_used() {
    Machine::run(|machine| {
        let before = machine.settled();
        let good = Policy::default().text();
        for (failure, prepare) in [
            ("missing", "rm /etc/berth/policy.toml"),
            (
                "a directory",
                "rm /etc/berth/policy.toml; mkdir /etc/berth/policy.toml",
            ),
            ("broken", "echo '[[[' >/etc/berth/policy.toml"),
            ("unknown key", "echo 'verzion = 1' >/etc/berth/policy.toml"),
            (
                "not text",
                "head -c 1000 /dev/urandom >/etc/berth/policy.toml",
            ),
            ("empty", ": >/etc/berth/policy.toml"),
            ("huge", "head -c 50000000 /dev/zero >/etc/berth/policy.toml"),
            ("world-writable", "chmod 666 /etc/berth/policy.toml"),
            ("group-writable", "chmod 664 /etc/berth/policy.toml"),
            ("a user's", "chown alice /etc/berth/policy.toml"),
        ] {
            machine.host("rm -rf /etc/berth").ok();
            machine.policy_text(&good);
            machine.host(prepare).ok();
            both_ways(machine, &before, failure, &Stack::default());
        }
    });
}

#[test]
fn each_mount_that_fails_fails_the_login() {
    Machine::run(|machine| {
        let before = machine.settled();
        let calls = "mount,umount2,move_mount,mount_setattr,open_tree,fsmount,pivot_root";
        let traced = "/run/mounts";
        for answer in ["deny", "allow"] {
            machine.policy(&Policy::default().on_error(answer));
            let mut failed = 0;
            loop {
                let nth = failed + 1;
                // The init does the mounts; it is the helper's child.
                let inject = format!(
                    "#!/bin/sh\nexec strace -f -qq -A -o {traced} -e trace={calls} -e inject={calls}:error=EPERM:when={nth} /berth/berth-helper \"$@\"\n"
                );
                let _ = std::fs::remove_file(traced);
                machine.stack(&Stack {
                    helper: machine.script("other-helper", &inject),
                    ..Stack::default()
                });
                let su = machine.su("alice", "cat /proc/1/comm");
                assert_eq!(machine.su("root", "echo in").ok(), "in");
                machine.assert_nothing_left(&before);
                let calls = std::fs::read_to_string(traced).unwrap_or_default();
                if !calls.contains("(INJECTED)") {
                    assert_eq!(su.ok(), "berth-init", "past the last mount");
                    break;
                }
                failed += 1;
                match answer {
                    "deny" => assert!(!su.success(), "mount {nth}: {su:?} {calls}"),
                    _ => assert_eq!(su.ok(), "login-machine", "mount {nth}: {calls}"),
                }
            }
            assert!(
                failed >= 8,
                "only {failed} mounts failed: is strace not there?"
            );
        }
    });
}

#[test]
fn another_proc_that_a_mount_hides_is_named_with_what_to_do() {
    Machine::run(|machine| {
        machine.policy(&Policy::default());
        let folder = "/run/elsewhere";
        let hide = format!(
            "mkdir -p {folder}/proc && mount -t proc none {folder}/proc && mount -t tmpfs none {folder}"
        );
        machine.host(&hide).ok();
        machine.su("alice", "true").refused();
        let line = machine.logged("another mount hides it");
        let expected = format!("mount proc on {folder}/proc, where there is one");
        assert!(line.contains(&expected), "{line}");
        machine.host(&format!("umount {folder}")).ok();
        assert_eq!(machine.su("alice", "cat /proc/1/comm").ok(), "berth-init");
    });
}

/// Kills the helper at its first step, and `stride` steps later each time, until a login is in its berth.
/// Each other one must end in `without`. Gives back how many there were. The worker, which does what leaves
/// traces, is not killed by this: see below.
fn killed_at_each_step(
    machine: &mut Machine,
    on_error: &str,
    stride: usize,
    without: fn(usize, Output),
) -> usize {
    let before = machine.settled();
    for killed in 0.. {
        let step = 1 + killed * stride;
        let inject = format!(
            "#!/bin/sh\nexec strace -qq -o /dev/null -e inject=all:signal=KILL:when={step} /berth/berth-helper \"$@\"\n"
        );
        machine.stack(&Stack {
            helper: machine.script("other-helper", &inject),
            arguments: format!("on_error={on_error}"),
            account: false,
            ..Stack::default()
        });
        let su = machine.su("alice", "cat /proc/1/comm; sleep 0.2");
        // Killed after the login was in its berth: that session ends, one way or the other.
        if su.stdout == "berth-init" {
            return killed;
        }
        without(step, su);
        if killed % 5 == 0 {
            assert_eq!(machine.su("root", "echo in").ok(), "in");
        }
        // What a killed helper left, the next login of anybody removes.
        machine.stack(&Stack::default());
        machine.su("bob", "true").ok();
        machine.assert_nothing_left(&before);
    }
    unreachable!("the last step is the helper's end")
}

#[test]
fn a_helper_killed_at_any_step_leaves_nothing_and_refuses() {
    Machine::run(|machine| {
        let killed = killed_at_each_step(machine, "deny", 3, |step, su| {
            assert!(!su.success(), "step {step}: {su:?}");
        });
        assert!(killed > 20, "{killed}");
    });
}

#[test]
fn a_helper_killed_at_any_step_lets_the_login_go_on_where_the_policy_says_so() {
    Machine::run(|machine| {
        let killed = killed_at_each_step(machine, "allow", 7, |step, su| {
            assert_eq!(su.ok(), "login-machine", "step {step}");
        });
        assert!(killed > 8, "{killed}");
    });
}

/// The steps of a login are the worker's, which the helper starts; so it is killed by the clock.
#[test]
fn a_worker_killed_at_any_moment_leaves_nothing_and_refuses() {
    Machine::run(|machine| {
        let before = machine.settled();
        // A login in slow motion: a millisecond more for each call.
        let slow = "#!/bin/sh\nexec strace -f -qq -o /dev/null -e inject=all:delay_enter=1000 /berth/berth-helper \"$@\"\n";
        machine.stack(&Stack {
            helper: machine.script("other-helper", slow),
            account: false,
            ..Stack::default()
        });
        let mut refused = 0;
        loop {
            let mut su = Command::new("su");
            su.args(["alice", "-c", "echo in; sleep 0.2"]);
            su.stdout(Stdio::piped()).stderr(Stdio::piped());
            let login = Background(su.spawn().unwrap());
            // What will be the keeper.
            let workers = Process::keepers;
            assert!(eventually(|| !workers().is_empty()));
            std::thread::sleep(Duration::from_millis(10 * refused));
            let workers = workers();
            assert!(
                !workers.is_empty(),
                "{refused}: nobody has killed it, and it has ended"
            );
            workers[0].kill();
            let su = login.wait();
            if su.stdout.contains("in") {
                break; // It was through.
            }
            assert!(!su.success(), "{refused}: {su:?}");
            refused += 1;
            machine.assert_nothing_left(&before);
        }
        machine.assert_nothing_left(&before);
        assert!(refused > 10, "{refused}");
    });
}

#[test]
fn a_user_that_nss_does_not_know_gets_what_on_error_says_without_a_crash() {
    Machine::run(|machine| {
        let before = machine.settled();
        let open = "pamtester login ghost acct_mgmt open_session close_session 2>&1";
        for (answer, code) in [("deny", 1), ("allow", 0)] {
            machine.forget_log();
            machine.policy(&Policy::default().on_error(answer));
            let said = machine.host(open);
            assert_eq!(said.status.code(), Some(code), "{answer}: {said:?}");
            let line = machine.logged("user \"ghost\" is not known here");
            assert!(line.contains(&format!("on_error = {answer}")), "{line}");
            assert_eq!(machine.su("root", "echo in").ok(), "in");
            machine.assert_nothing_left(&before);
        }
    });
}

#[test]
fn a_hanging_name_service_costs_the_deadline_and_root_nothing() {
    Machine::run(|machine| {
        let before = machine.settled();
        // A name service that hangs in the helper only, or su itself would hang.
        std::fs::create_dir_all("/opt/nss").unwrap();
        std::fs::write(
            "/opt/nss/hang.c",
            "#define _GNU_SOURCE\n#include <errno.h>\n#include <string.h>\n#include <unistd.h>\n\
             int _nss_hang_initgroups_dyn() { if (!strcmp(program_invocation_short_name, \"berth-helper\")) for (;;) pause(); return 0; }\n\
             int _nss_hang_getpwnam_r() { return _nss_hang_initgroups_dyn(); }\n",
        )
        .unwrap();
        machine.host("cc -w -shared -fPIC -o /opt/nss/libnss_hang.so.2 /opt/nss/hang.c && echo /opt/nss >/etc/ld.so.conf.d/nss.conf && ldconfig -X 2>/dev/null; sed -i -E 's/^(passwd|group):.*/\\1: hang files/' /etc/nsswitch.conf").ok();
        let stack = Stack {
            arguments: "timeout=2".into(),
            ..Stack::default()
        };
        both_ways(machine, &before, "NSS hangs", &stack);
        let left = || Process::named("berth-helper").len();
        becomes(left, 0);
    });
}

/// What a login sees of its private /tmp, of which it has taken a part in /var/tmp.
const ROOM: &str = "head -c 4096 /dev/zero >/var/tmp/x; cat /tmp/kept/file; cat /proc/1/comm; \
    stat -c '%a %n' /tmp /var/tmp; df --output=size,used -B1 /tmp | tail -n 1 | tr -s ' '";

/// The same, where there is no room on the disk.
const SMALL: &str = "kept\nberth-init\n1777 /tmp\n1777 /var/tmp\n 16777216 4096";

#[test]
fn a_disk_that_one_user_fills_leaves_the_others_a_small_tmp_in_memory() {
    Machine::run(|machine| {
        machine.policy(&Policy {
            defaults: "on_error = \"allow\"\n[exempt]\nusers = [\"carol\"]".into(),
            ..Policy::with_namespaces(
                r#"user = "identity", pid = true, mount = true, private_tmp = "disk", tmp_keep = ["kept"]"#,
            )
        });
        machine.host("mkdir -p /var/lib/berth/tmp && mount -t tmpfs -o nr_inodes=100 none /var/lib/berth/tmp; mkdir /tmp/kept; echo kept >/tmp/kept/file").ok();
        let before = machine.settled();
        let mut full = machine.ssh_terminal("alice");
        full.run("cd /tmp; n=0; while : >f$n; do n=$((n+1)); done 2>/dev/null");
        // There is no room for the session's folder; then for var-tmp in it, tmp, and what is kept of the host's /tmp.
        for (room, what) in ["", "/var-tmp", "/tmp", " a place for"].iter().enumerate() {
            machine.forget_log();
            assert_eq!(machine.ssh("bob", ROOM).ok(), SMALL, "{room}");
            let line = machine.logged("No space left on device");
            let less =
                "not_enforced=\"private_tmp is 16M of memory, and not the disk: cannot create";
            assert!(line.contains(less) && line.contains(what), "{line}");
            let hint = "du -s --inodes /var/lib/berth/tmp/*";
            assert!(line.contains(hint), "{line}");
            becomes(|| machine.host("ls /var/lib/berth/tmp | wc -l").ok(), "1");
            full.run(&format!("rm f{room}"));
        }
        full.run(": >f0");
        // As the kernel makes it after an error.
        machine.host("mount -o remount,ro /var/lib/berth/tmp").ok();
        machine.forget_log();
        assert_eq!(machine.ssh("bob", ROOM).ok(), SMALL);
        machine.logged("log says why (dmesg)");
        machine.host("mount -o remount,rw /var/lib/berth/tmp").ok();
        let mut told = machine.ssh_terminal("bob");
        told.run("true");
        let told_is = "berth: the disk cannot be written: /tmp and /var/tmp have 16M together";
        assert!(told.shown().contains(told_is), "{}", told.shown());
        told.send("exit");
        told.wait();
        for door in [Door::Ssh, Door::Su] {
            assert_eq!(machine.through(door, "root", "echo in"), "in");
            assert_eq!(machine.through(door, "bob", ROOM), SMALL);
        }
        assert_eq!(machine.su("carol", "echo in").ok(), "in");
        full.send("exit");
        full.wait();
        machine.assert_nothing_left(&before);
        machine.forget_log();
        let on_disk = machine.ssh("bob", ROOM).ok();
        assert!(
            on_disk.starts_with("kept") && !on_disk.contains(" 16777216 "),
            "{on_disk}"
        );
        assert!(!machine.logged("open session").contains("not_enforced"));
    });
}

#[test]
fn who_joins_a_berth_that_found_the_disk_full_has_its_small_tmp() {
    Machine::run(|machine| {
        machine.policy(&Policy::with_namespaces(
            r#"scope = "user", user = "identity", pid = true, mount = true, private_tmp = "disk""#,
        ));
        machine.host("mkdir -p /var/lib/berth/tmp && mount -t tmpfs -o nr_inodes=1 none /var/lib/berth/tmp").ok();
        let before = machine.settled();
        let (login, _) = machine.stay("bob");
        machine
            .host("mount -o remount,nr_inodes=100 /var/lib/berth/tmp")
            .ok();
        let size = "echo $(df --output=size -B1 /tmp | tail -n 1)";
        assert_eq!(machine.ssh("bob", size).ok(), "16777216");
        login.end();
        machine.assert_nothing_left(&before);
        assert_ne!(machine.ssh("bob", size).ok(), "16777216");
    });
}

/// What a server says to whom `ssh -N` forwards to it, and whether that stays connected.
const FORWARD: &str = "
    timeout 20 $SSH -N -L 7001:127.0.0.1:22 alice@127.0.0.1 >/dev/null 2>&1 &
    for try in $(seq 30); do
        said=$(timeout 2 socat -u TCP:127.0.0.1:7001 - 2>/dev/null | head -c 8)
        [ -z \"$said\" ] || break
        sleep 0.1
    done
    kill $! && echo \"connected: $said\"";

#[test]
fn a_connection_whose_session_failed_may_stay_and_do_nothing() {
    Machine::run(|machine| {
        machine.policy(&Policy::with_namespaces(
            r#"user = "identity", pid = true, mount = true, private_tmp = "disk""#,
        ));
        let before = machine.settled();
        assert_eq!(machine.client(FORWARD).ok(), "connected: SSH-2.0-");
        machine.assert_nothing_left(&before);
        // The account phase cannot know.
        machine
            .host("rm -rf /var/lib/berth/tmp; touch /var/lib/berth/tmp")
            .ok();
        assert_eq!(machine.client(FORWARD).ok(), "connected: ");
        machine.logged("Not a directory");
        machine.ssh("alice", "echo in").refused();
    });
}

#[test]
fn a_login_service_in_a_chroot_gets_an_error_that_says_so() {
    Machine::run(|machine| {
        let before = machine.settled();
        machine
            .host("mkdir /srv/root && mount --rbind / /srv/root && mount --make-rslave /srv/root")
            .ok();
        machine.stack(&Stack {
            helper: machine.script(
                "other-helper",
                "#!/bin/sh\nexec chroot /srv/root /berth/berth-helper \"$@\"\n",
            ),
            ..Stack::default()
        });
        machine.su("alice", "echo in").refused();
        machine.logged("the login service runs in a chroot");
        assert_eq!(machine.su("root", "echo in").ok(), "in");
        machine.host("umount -l /srv/root").ok();
        machine.assert_nothing_left(&before);
    });
}

#[test]
fn a_group_with_an_owners_gid_is_told_instead_of_a_login_that_ends_in_initgroups() {
    Machine::run(|machine| {
        let before = machine.settled();
        machine.add_group("projects", 2_000_000_005, &["alice"]);
        machine.ssh("alice", "true").refused();
        let line = machine.logged("group 2000000005 of user");
        assert!(line.contains("defaults.owner_uid_base"), "{line}");
        assert_eq!(machine.ssh("bob", "cat /proc/1/comm").ok(), "berth-init");
        machine.assert_nothing_left(&before);
    });
}
