//! What a user does in a session works as it does without Berth, through each of the ways in.

use std::path::Path;

use berth_tests::{Door, Machine, Process, becomes, eventually};

#[test]
fn su_keeps_the_working_directory_and_su_with_a_dash_does_not() {
    Machine::run(|machine| {
        machine
            .host("mkdir -m 755 /srv/deep && mkdir -m 755 /srv/deep/down")
            .ok();
        let from = Path::new("/srv/deep/down");
        assert_eq!(
            machine.su_from(from, "alice", "pwd; /bin/pwd").ok(),
            "/srv/deep/down\n/srv/deep/down"
        );
        // One that is not there inside.
        machine.host("mkdir -m 755 /tmp/hidden").ok();
        assert_eq!(
            machine
                .su_from(Path::new("/tmp/hidden"), "alice", "/bin/pwd")
                .ok(),
            "/"
        );
        for door in [
            Door::Ssh,
            Door::SshTerminal,
            Door::SuLogin,
            Door::Login,
            Door::Cron,
        ] {
            assert_eq!(
                machine.through(door, "alice", "/bin/pwd"),
                "/home/alice",
                "{door:?}"
            );
        }
    });
}

#[test]
fn a_working_directory_below_a_relative_tmp_is_not_the_hosts() {
    Machine::run(|machine| {
        machine
            .host("mkdir -m 777 /tmp/both && touch /tmp/both/of-the-host")
            .ok();
        let said = machine
            .su_from(Path::new("/tmp/both"), "alice", "ls -A . 2>&1")
            .ok();
        assert!(!said.contains("of-the-host"), "{said}");
    });
}

#[test]
fn terminals_belong_to_the_user_and_have_a_name() {
    Machine::run(|machine| {
        let uid = machine.uid("alice");
        for door in [Door::SshTerminal, Door::Login] {
            let said = machine.through(
                door,
                "alice",
                "tty; stat -c %u $(tty); ps -o tty= -p $$; echo x >/dev/tty",
            );
            let lines: Vec<&str> = said.lines().map(str::trim).collect();
            assert!(lines[0].starts_with("/dev/pts/"), "{door:?}: {said}");
            assert_eq!(lines[1], uid.to_string(), "{door:?}");
            assert_eq!(format!("/dev/{}", lines[2]), lines[0], "{door:?}");
            assert_eq!(lines[3], "x", "{door:?}");
        }
    });
}

#[test]
fn interrupts_and_job_control_work_at_a_terminal() {
    Machine::run(|machine| {
        let mut terminal = machine.ssh_terminal("alice");
        assert_eq!(terminal.run("echo ready"), "ready");
        terminal.send("sleep 1000; echo after");
        // Before it runs there is nothing to interrupt.
        assert!(eventually(|| !Process::running("sleep 1000").is_empty()));
        terminal.send("\u{3}");
        assert_eq!(terminal.run("echo again"), "again");
        let said =
            terminal.run("set -m; sleep 1000 & kill -STOP $!; sleep 0.2; jobs; kill -KILL $!");
        assert!(said.contains("Stopped"), "{said}");
    });
}

#[test]
fn exit_codes_signals_and_streams_come_back() {
    Machine::run(|machine| {
        assert_eq!(machine.ssh("alice", "exit 7").status.code(), Some(7));
        assert_eq!(machine.su("alice", "exit 7").status.code(), Some(7));
        assert_eq!(machine.su_login("alice", "exit 7").status.code(), Some(7));
        let both = machine.ssh("alice", "echo out; echo err >&2");
        assert_eq!(
            (both.stdout.as_str(), both.stderr.as_str()),
            ("out", "err\n")
        );
        let killed = machine.su("alice", "kill -9 $$");
        assert!(!killed.success(), "{killed:?}");
    });
}

#[test]
fn files_come_and_go_whole_by_sftp_and_chrooted_sftp() {
    Machine::run(|machine| {
        machine
            .host("head -c 3000000 /dev/urandom >/root/data")
            .ok();
        let sum = machine.host("sha256sum </root/data").ok();
        machine
            .sftp("alice", "put /root/data data\nget data /root/back\n")
            .ok();
        assert_eq!(machine.host("sha256sum </root/back").ok(), sum);
        assert_eq!(machine.host("stat -c %U /home/alice/data").ok(), "alice");

        machine.host("chown carol:carol /srv/carol/files").ok();
        let said = machine.sftp(
            "carol",
            "pwd\nput /root/data files/data\nget files/data /root/again\n",
        );
        assert!(
            said.clone().ok().contains("Remote working directory: /"),
            "{said:?}"
        );
        assert_eq!(machine.host("sha256sum </root/again").ok(), sum);
        assert_eq!(
            machine.host("stat -c %U /srv/carol/files/data").ok(),
            "carol"
        );
    });
}

#[test]
fn a_denied_user_gets_in_through_no_door_and_is_told_why() {
    Machine::run(|machine| {
        // Also where a cap comes to nothing on this machine, and everything that fails lets in.
        machine.policy_text(
            "version = 1\ndefaults.on_error = \"allow\"\neveryone.allowed_cpus = \"4000-\"\n\
             [[rule]]\nname = \"suspended\"\nuser = \"alice\"\naction = \"deny\"\nmessage = \"See the front desk.\"\n",
        );
        let ssh = machine.ssh("alice", "echo in").refused();
        assert!(!ssh.stdout.contains("in"), "{ssh:?}");
        // It comes as a banner, which a client shows that is not told to be quiet.
        let loud = "${SSH%LogLevel=*}LogLevel=INFO${SSH#*LogLevel=ERROR}";
        let ssh = machine
            .client(&format!("{loud} alice@127.0.0.1 true"))
            .refused();
        assert!(ssh.stderr.contains("See the front desk."), "{ssh:?}");
        for su in [
            machine.su("alice", "echo in"),
            machine.su_login("alice", "echo in"),
        ] {
            let su = su.refused();
            assert!(!su.stdout.contains("in"), "{su:?}");
            assert!(su.stderr.contains("See the front desk."), "{su:?}");
        }
        let login = machine.login("alice");
        login.expect("See the front desk.");
        login.wait().refused();
        machine.jobs_are_refused("alice");
        // Nor by a connection without a command, which would stay open.
        assert!(machine.refuses_without_session("alice"));
        for door in Door::ALL {
            assert_eq!(machine.through(door, "bob", "echo in"), "in", "{door:?}");
        }
        let line = machine.logged("result=deny");
        assert!(
            line.contains("user=alice") && line.contains("rule=suspended"),
            "{line}"
        );
    });
}

#[test]
fn programs_that_people_use_work_inside() {
    Machine::run(|machine| {
        for command in [
            "ps -e -o pid= | grep -qw 1",
            "strace -o /dev/null true",
            "script -qc true /dev/null",
            "nice true && setsid -w true && timeout 5 true",
            "python3 -c 'import multiprocessing as m; m.Queue(); m.Semaphore()'",
            "sh -c 'sleep 0.1 & wait'",
        ] {
            machine.ssh("alice", command).ok();
        }
    });
}

#[test]
fn an_orphan_is_reaped_inside() {
    Machine::run(|machine| {
        let mut terminal = machine.ssh_terminal("alice");
        terminal.run("for i in 1 2 3 4 5; do (sleep 0.1 & ) ; done");
        // One that is dead and not reaped is listed too, as "sleep <defunct>".
        let left = || terminal.run("ps -e -o comm= | grep -c sleep");
        becomes(left, "0");
    });
}
