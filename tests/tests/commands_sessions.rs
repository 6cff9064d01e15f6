//! `berth list`, `show` and `kill` on real logins.

use std::process::Command;
use std::time::Duration;

use berth_tests::namespaces::PROGRAMS;
use berth_tests::{Machine, Policy, Process, Terminal, eventually};

/// The words of the one session's line of `berth list`.
#[track_caller]
fn listed(machine: &Machine) -> Vec<String> {
    let said = machine.berth("list").ok();
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.last(), Some(&"1 session, 1 user."), "{said}");
    lines[1].split_whitespace().map(String::from).collect()
}

/// Fails unless no session is listed any more, soon.
#[track_caller]
fn assert_list_becomes_empty(machine: &Machine) {
    let list = || machine.berth("list");
    let is_empty = || list().stdout.ends_with("0 sessions, 0 users.");
    assert!(eventually(is_empty), "{:?}", list());
}

#[test]
fn list_has_a_line_for_each_session() {
    Machine::run(|machine| {
        assert!(machine.berth("list").ok().ends_with("0 sessions, 0 users."));
        let (alice, _) = machine.stay("alice");
        let id = machine.session();
        let line = listed(machine);
        assert_eq!(line[1..5], ["alice", "sshd", "test", "-"], "{line:?}");
        assert!(line[5].ends_with('s'), "{line:?}");
        assert_eq!(line.last().unwrap(), "active");
        // Bare, root sees the same.
        assert!(machine.berth("").ok().ends_with("1 session, 1 user."));

        let (bob, _) = machine.stay("bob");
        let (again, _) = machine.stay("alice");
        let said = machine.berth("list --users").ok();
        assert!(said.ends_with("2 users, 3 sessions."), "{said}");
        let of_alice = said.lines().find(|line| line.starts_with("alice")).unwrap();
        let words: Vec<&str> = of_alice.split_whitespace().collect();
        let uid = machine.uid("alice").to_string();
        assert_eq!(words[..3], ["alice", &uid, "2"], "{said}");

        let json = machine.berth("list --json").json();
        let sessions = json["sessions"].as_array().unwrap();
        let mut sessions = sessions.iter();
        let first = sessions.find(|one| one["session"] == id.parse::<u64>().unwrap());
        assert_eq!(first.unwrap()["state"], "active", "{json}");
        for login in [alice, bob, again] {
            login.end();
        }
        assert_list_becomes_empty(machine);
    });
}

#[test]
fn a_busy_session_shows_its_cpu_rate() {
    Machine::run(|machine| {
        let busy = machine.ssh_background("alice", "while :; do :; done");
        machine.session();
        let cpu = || {
            let line = listed(machine);
            line[7].trim_end_matches('%').parse::<u32>().unwrap_or(0)
        };
        assert!(eventually(|| cpu() > 20), "{:?}", listed(machine));
        busy.end();
    });
}

#[test]
fn show_tells_of_a_session_and_of_its_user() {
    Machine::run(|machine| {
        let (login, process) = machine.stay("alice");
        let id = machine.session();
        let uid = machine.uid("alice");
        let said = machine.berth("show alice").ok();
        assert!(
            said.starts_with(&format!(
                "alice ({uid})  profile test, rule all\n    Since: "
            )),
            "{said}"
        );
        for part in [
            format!("   Cgroup: /berth/user-{uid}\n"),
            format!(" Sessions: {id}   sshd from 127.0.0.1, "),
        ] {
            assert!(said.contains(&part), "no {part:?} in {said}");
        }
        let said = machine.berth(&format!("status {id}")).ok();
        let cgroup = process.cgroup().unwrap();
        for part in [
            format!("session {id} of alice ({uid})  profile test, rule all\n"),
            "    State: active\n".into(),
            "    Login: sshd from 127.0.0.1\n".into(),
            "      Own: user, pid, ipc and mount namespaces\n".into(),
            format!("   Cgroup: {cgroup}\n"),
            "      CPU: ".into(),
        ] {
            assert!(said.contains(&part), "no {part:?} in {said}");
        }
        assert_eq!(machine.berth("show alice --json").json()["version"], 1);
        let none = machine.berth("show bob").refused();
        assert_eq!(none.status.code(), Some(1));
        assert!(none.stderr.contains("has no session"), "{none:?}");
        login.end();
    });
}

#[test]
fn a_user_sees_their_own_and_nothing_else() {
    Machine::run(|machine| {
        let (bob, _) = machine.stay("bob");
        let other = machine.session();
        let uid = machine.uid("alice");
        let see = |arguments: &str| format!("{PROGRAMS}/berth {arguments}");
        for own in ["", "show", "show alice", "show user:alice"] {
            let said = machine.ssh("alice", &see(own)).ok();
            assert!(said.starts_with(&format!("alice ({uid})\n")), "{said}");
            assert!(said.contains(&format!("Cgroup: /berth/user-{uid}\n")));
            assert!(said.contains("this one"), "{said}");
        }
        let one = machine
            .ssh("alice", &see("show $BERTH_SESSION --json"))
            .json();
        assert_eq!(one["user"], "alice", "{one}");
        let why = machine.ssh("alice", &see("explain $BERTH_SESSION")).ok();
        for line in ["opened with profile test, rule all", "BOTH   all"] {
            assert!(why.contains(line), "{line}: {why}");
        }
        let list = machine.ssh("alice", &see("list")).ok();
        let rows: Vec<&str> = list.lines().skip(1).collect();
        assert!(rows.len() == 1 && rows[0].contains("  alice "), "{list}");
        let top = machine.ssh("alice", &see("top -b -d 0.1")).ok();
        assert!(top.contains("\nalice ") && !top.contains("bob"), "{top}");
        for refused in [
            "list --pools",
            "show bob",
            &format!("show {other}"),
            &format!("explain {other}"),
            "kill --yes bob",
            "try --user bob true",
        ] {
            let said = machine.ssh("alice", &see(refused));
            assert_eq!(said.status.code(), Some(4), "{refused}: {said:?}");
            assert_eq!(said.stdout, "", "{refused}");
        }
        let record = format!("/run/berth/sessions/{other}");
        // Neither a group in common nor the owner's rights: it is theirs to read, and no more.
        let group = machine.host("id -g bob").ok();
        let mate = format!("setpriv --reuid alice --regid {group} --clear-groups cat {record}");
        machine.host(&mate).refused();
        let write = format!("echo >>{record} || chmod 600 {record} || rm -f {record}");
        machine.su("bob", &write).refused();
        machine.su("bob", &format!("cat {record}")).ok();
        bob.end();
    });
}

#[test]
fn a_key_of_top_freezes_a_user_and_another_thaws_them() {
    Machine::run(|machine| {
        let (alice, _) = machine.stay("alice");
        let mut command = Command::new(format!("{PROGRAMS}/berth"));
        command.arg("top").env("TERM", "xterm");
        let mut top = Terminal::start(command);
        top.resize(24, 80);
        top.expect("alice");
        let is = |state: &str| listed(machine).last().is_some_and(|word| word == state);
        top.keys("\x1b[Bf");
        assert!(eventually(|| is("frozen")), "{}", top.shown());
        // One thing at a time: the answer is shown first.
        top.expect("\"alice\": 1 session");
        top.keys("t");
        assert!(eventually(|| is("active")), "{}", top.shown());
        top.keys("q");
        assert!(top.wait().status.success());
        alice.end();
    });
}

#[test]
fn kill_ends_a_session_and_leaves_the_others() {
    Machine::run(|machine| {
        let before = machine.settled();
        let (alice, sleep) = machine.stay("alice");
        let id = machine.session();
        let (bob, of_bob) = machine.stay("bob");
        let said = machine.berth(&format!("kill {id} --yes")).ok();
        assert_eq!(
            said,
            format!("ended session {id} of alice (sshd from 127.0.0.1)")
        );
        assert!(!sleep.exists() || sleep.is_zombie());
        assert!(of_bob.exists(), "another user's login");
        assert_eq!(listed(machine)[1], "bob");
        drop(alice);
        let again = machine.berth(&format!("kill {id} --yes")).refused();
        assert_eq!(again.status.code(), Some(1), "{again:?}");
        let json = machine.berth("kill bob --yes --json").json();
        assert_eq!(json["failed"].to_string(), "[]", "{json}");
        drop(bob);
        machine.assert_nothing_left(&before);
    });
}

#[test]
fn kill_that_is_typed_in_one_of_the_sessions_ends_the_others_and_what_ignores_it() {
    Machine::run(|machine| {
        let before = machine.settled();
        let ignore = "(trap '' TERM HUP; while :; do sleep 1; done) & sleep 1000";
        let alice = machine.ssh_background("alice", ignore);
        let id = machine.session();
        let (bob, _) = machine.stay("bob");
        let both = || machine.berth("list").stdout.matches(" active").count() == 2;
        assert!(eventually(both), "{:?}", machine.berth("list"));
        let own = machine.cgroups().user(machine.uid("alice"));
        let own = own.join("sessions").join(id).join("cgroup.procs");
        let killed = machine.host(&format!(
            "echo $$ >{}; exec {PROGRAMS}/berth kill profile:test --yes --grace 1s",
            own.display()
        ));
        // With its own session it ends itself.
        assert!(!killed.status.success(), "{killed:?}");
        assert_list_becomes_empty(machine);
        for login in [alice, bob] {
            login.end();
        }
        machine.assert_nothing_left(&before);
    });
}

#[test]
fn kill_ends_what_ignores_it_and_what_lingers() {
    Machine::run(|machine| {
        machine.policy(&Policy::with_profile(
            r#"logout = { linger = "infinity", grace = "1h" }"#,
        ));
        let before = machine.settled();
        let ignore = "trap '' TERM; (trap '' TERM HUP; while :; do sleep 1; done) & sleep 1000";
        let login = machine.ssh_background("alice", ignore);
        let id = machine.session();
        // The keeper would wait an hour for what ignores SIGTERM.
        machine.berth(&format!("kill {id} --yes --grace 1s")).ok();
        login.end();
        // What handles SIGTERM has that time for it.
        let leave = "(trap 'sleep 1; touch saved; exit' TERM; touch ready; while :; do sleep 1000; done) >/dev/null 2>&1 &
                     until [ -e ready ]; do sleep 0.1; done";
        machine.ssh("alice", leave).ok();
        let lingers = || machine.berth("list").stdout.contains(" linger");
        assert!(eventually(lingers), "{:?}", machine.berth("list"));
        let said = machine.berth("kill alice --yes --grace 30s").ok();
        assert!(said.starts_with("ended session "), "{said}");
        machine.host("test -e /home/alice/saved").ok();
        machine.assert_nothing_left(&before);
    });
}

#[test]
fn kill_ends_a_session_without_a_cgroup() {
    Machine::run(|machine| {
        machine.policy(&Policy::with_profile(r#"cgroup = "keep""#));
        let (alice, sleep) = machine.stay("alice");
        let id = machine.session();
        let line = listed(machine);
        assert_eq!(line[6..9], ["-", "-", "-"], "{line:?}");
        machine.berth(&format!("kill {id} --yes")).ok();
        assert!(eventually(|| !sleep.exists()));
        alice.end();
    });
}

#[test]
fn kill_of_one_login_of_a_shared_berth_leaves_the_others() {
    Machine::run(|machine| {
        machine.policy(&Policy::with_namespaces(
            r#"scope = "user", user = "identity", pid = true, ipc = true, mount = true"#,
        ));
        let before = machine.settled();
        let (first, of_first) = machine.stay("alice");
        let holder = machine.session();
        let (second, of_second) = machine.stay("alice");
        let said = machine.berth(&format!("kill {holder} --yes")).ok();
        assert!(
            said.starts_with(&format!("ended what ran in session {holder} of alice")),
            "{said}"
        );
        assert!(eventually(|| !of_first.exists() || of_first.is_zombie()));
        assert!(of_second.exists(), "the other login's");
        let json = machine.berth(&format!("kill {holder} --yes --json")).json();
        assert_eq!(json["ended"].to_string(), "[]", "{json}");
        assert_eq!(json["held"][0]["session"].to_string(), holder, "{json}");
        let said = machine.berth("kill alice --yes").ok();
        assert_eq!(said.matches("ended session ").count(), 2, "{said}");
        drop((first, second));
        machine.assert_nothing_left(&before);
    });
}

#[test]
fn a_session_whose_record_cannot_be_read_is_not_passed_over_in_silence() {
    Machine::run(|machine| {
        let before = machine.settled();
        let (first, _) = machine.stay("alice");
        let damaged = machine.session();
        let (second, _) = machine.stay("alice");
        let record = format!("/run/berth/sessions/{damaged}");
        machine
            .host(&format!("cp {record} /root/record && echo >{record}"))
            .ok();
        for command in [
            "show alice",
            &format!("show {damaged}"),
            &format!("kill {damaged} --yes"),
            "freeze profile:test",
            "thaw profile:test",
            "kill alice --yes",
        ] {
            let said = machine.berth(command);
            assert_eq!(said.status.code(), Some(5), "{command}: {said:?}");
            assert!(said.stderr.contains(&record), "{command}: {said:?}");
        }
        // Who has none that can be read may have one.
        assert_eq!(machine.berth("kill alice --yes").status.code(), Some(5));
        machine.host(&format!("cat /root/record >{record}")).ok();
        machine.berth("kill alice --yes").ok();
        drop((first, second));
        machine.host("rm /root/record").ok();
        machine.assert_nothing_left(&before);
    });
}

#[test]
fn kill_with_a_signal_only_sends_it() {
    Machine::run(|machine| {
        let login = machine.ssh_background(
            "alice",
            "trap '>got' CONT; touch ready; while :; do sleep 0.1; done",
        );
        let id = machine.session();
        assert!(eventually(|| machine
            .host("test -e /home/alice/ready")
            .success()));
        // Not to all of it: sshd has no use for that signal. But it is a fair end of it.
        let said = machine
            .berth(&format!("kill {id} --yes --signal CONT"))
            .ok();
        assert!(said.starts_with("sent SIGCONT to "), "{said}");
        assert!(said.ends_with("(sshd from 127.0.0.1)"), "{said}");
        let got = || std::fs::exists("/home/alice/got").unwrap();
        assert!(eventually(got), "another signal");
        assert_eq!(listed(machine)[0], id, "it goes on");
        machine
            .berth(&format!("kill {id} --yes --signal USR1"))
            .ok();
        assert_list_becomes_empty(machine);
        login.end();
    });
}

#[test]
fn kill_asks_at_a_terminal_and_nowhere_else() {
    Machine::run(|machine| {
        let (login, sleep) = machine.stay("alice");
        let id = machine.session();
        let unasked = machine.berth(&format!("kill {id}")).refused();
        assert_eq!(unasked.status.code(), Some(2), "{unasked:?}");
        let ask = |answer: &str| {
            let mut terminal = machine.berth_terminal(&["kill", &id]);
            terminal.expect("End 1 session? [y/N] ");
            terminal.send(answer);
            terminal.wait()
        };
        assert_eq!(ask("").status.code(), Some(1));
        assert!(sleep.exists());
        assert_eq!(ask("y").status.code(), Some(0));
        assert!(eventually(|| !sleep.exists()));
        drop(login);
    });
}

#[test]
fn a_session_whose_keepers_were_killed_is_dead_and_kill_removes_it() {
    Machine::run(|machine| {
        let before = machine.settled();
        let (alice, _) = machine.stay("alice");
        let id = machine.session();
        Process::kill_the_keepers();
        let dead = || machine.berth("list").stdout.contains("  dead\n");
        assert!(eventually(dead), "{:?}", machine.berth("list"));
        let said = machine.berth("list").ok();
        assert!(said.contains(&format!("`berth kill {id}`")), "{said}");
        let shown = |colour: &str| {
            let mut command = Command::new(format!("{PROGRAMS}/berth"));
            command.arg("list").env("NO_COLOR", colour);
            let terminal = Terminal::start(command);
            terminal.expect("removes what is left");
            terminal.shown()
        };
        assert!(shown("").contains("\x1b[1;31mdead\x1b[0m"), "{}", shown(""));
        assert!(!shown("1").contains('\x1b'), "{}", shown("1"));
        machine.berth(&format!("kill {id} --yes")).ok();
        alice.end();
        machine.assert_nothing_left(&before);
    });
}

#[test]
fn kill_stale_ends_who_came_before_the_policy_in_force() {
    Machine::run(|machine| {
        let none = machine.berth("kill --stale --yes");
        assert_eq!(none.status.code(), Some(1), "{none:?}");
        assert!(none.stderr.contains("no policy is loaded"), "{none:?}");
        machine.berth("reload").ok();
        let before = machine.settled();
        let (alice, _) = machine.stay("alice");
        let old = machine.session();
        // Times of records are in seconds.
        std::thread::sleep(Duration::from_millis(1100));
        machine.berth("reload").ok();
        let (new, sleep) = machine.stay("alice");
        let (bob, _) = machine.stay("bob");
        let all_are_open = || {
            let said = machine.berth("list").stdout;
            said.matches(" active").count() == 2 && said.matches(" stale").count() == 1
        };
        assert!(eventually(all_are_open), "{:?}", machine.berth("list"));

        let of_bob = machine.berth("kill bob --stale --yes");
        assert_eq!(of_bob.status.code(), Some(1), "{of_bob:?}");
        assert!(
            of_bob.stderr.contains("none of these sessions is stale"),
            "{of_bob:?}"
        );
        let json = machine.berth("kill --stale --yes --json").json();
        assert_eq!(json["ended"].to_string(), format!("[{old}]"), "{json}");
        machine.logged("kill stale=true signal=SIGTERM by=root");
        assert!(sleep.exists());
        assert!(machine.berth("list").ok().ends_with("2 sessions, 2 users."));
        let neither = machine.berth("kill --yes");
        assert_eq!(neither.status.code(), Some(2), "{neither:?}");
        for login in [alice, new, bob] {
            login.end();
        }
        machine.assert_nothing_left(&before);
    });
}
