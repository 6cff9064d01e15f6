//! Who may have caps changed. What comes of it is looked at where there are controllers (berth-cases/apply.rs).

use std::fmt::Display;
use std::fs;
use std::process::{Command, Stdio};

use berth_tests::namespaces::PROGRAMS;
use berth_tests::{Background, Machine, Policy, eventually};

#[test]
fn only_root_may_apply() {
    Machine::run(|machine| {
        let command = format!("{PROGRAMS}/berth apply");
        let refused = machine.su("alice", &command).refused();
        assert!(refused.stderr.contains("only root"), "{refused:?}");
        let helper = machine.host(&format!(
            "setpriv --reuid 1 --clear-groups {PROGRAMS}/berth-helper apply"
        ));
        assert!(helper.refused().stderr.contains("only for root"));
        let typed = machine.host(&format!("{PROGRAMS}/berth-helper aply 3</dev/null"));
        assert!(typed.refused().stderr.contains("the PAM module"));
    });
}

#[test]
fn apply_knows_who_typed_su() {
    Machine::run(|machine| {
        machine.policy_text(
            "version = 1\n[profile.test]\n[[rule]]\naction = \"deny\"\nexcept = { ruser = \"root\" }\n\
             [[rule]]\nprofile = \"test\"\n",
        );
        let mut terminal = machine.su_terminal("alice");
        terminal.run("true");
        let told = machine.berth_with_helper("apply");
        assert_eq!(told.ok(), "0 users changed");
        terminal.send("exit");
        terminal.wait();
    });
}

#[test]
fn what_is_wrong_each_minute_is_said_once_and_again_when_it_is_something_else() {
    Machine::run(|machine| {
        let due = |machine: &Machine| machine.berth("apply --due");
        assert_eq!(due(machine).ok(), "");
        let good = Policy::default().text();
        let broken = |line: &str| good.replace("[[rule]]", &format!("{line}\n[[rule]]"));
        for wrong in ["[profile.test2]\nfirst = 1", "[profile.test2]\nsecond = 1"] {
            machine.policy_text(&broken(wrong));
            let said = due(machine);
            let key = wrong.split_whitespace().nth(1).unwrap();
            assert!(said.stderr.contains(&format!("`{key}`")), "{said:?}");
            for _ in 0..2 {
                let silent = due(machine);
                assert_eq!(silent.status.code(), Some(3), "{silent:?}");
                assert_eq!(silent.stdout + &silent.stderr, "");
            }
            machine.logged(&format!(
                "due result=error error=\"/etc/berth/policy.toml:11:1: error: unknown key `{key}`"
            ));
        }
        // Who asks for an object gets one.
        let said = machine.berth("apply --due --json");
        assert_eq!(said.status.code(), Some(3));
        assert_eq!(said.json()["applied"], serde_json::json!([]));
        machine.policy_text(&good);
        assert_eq!(due(machine).ok(), "");
        assert!(machine.logged("due result=ok").contains("berth["));
        assert_eq!(due(machine).ok(), "");
        // After that it is news again.
        machine.policy_text(&broken("[profile.test2]\nsecond = 1"));
        assert!(due(machine).stderr.contains("`second`"));

        // What is wrong with one thing keeps nobody from the others.
        machine
            .host("mkdir -p /var/lib/berth/exceptions; echo x >/var/lib/berth/exceptions/1")
            .ok();
        let said = due(machine);
        assert!(said.stderr.contains("/exceptions/1 is damaged"), "{said:?}");
        assert!(said.stderr.contains("`second`"), "{said:?}");
        machine.logged("due result=error error=\"/var/lib/berth/exceptions/1 is damaged");
        let lines = machine.log_lines().into_iter();
        let told = lines.filter(|line| line.contains("due result=error"));
        assert_eq!(told.count(), 4);
    });
}

#[test]
fn an_exception_that_names_no_disk_is_refused_and_keeps_nobody_out() {
    Machine::run(|machine| {
        let set = "set alice --for 1h 'io_read_iops_max={ \"/proc\" = 5 }'";
        let refused = machine.berth(set).refused();
        assert!(refused.stderr.contains("has no disk"), "{refused:?}");
        // The disk may be gone by the time of a login.
        let state = r#"[{"key":"io_read_iops_max","value":"{ \"/proc\" = 5 }","until":99999999999,"by":"root","reason":null}]"#;
        let written = format!(
            "mkdir -pm 711 /var/lib/berth/exceptions
             check=$(printf %s '{state}' | sha256sum | cut -c -64)
             echo '{{\"format\":2,\"check\":\"'$check'\",\"state\":{state}}}' >/var/lib/berth/exceptions/{}",
            machine.uid("alice")
        );
        machine.host(&written).ok();
        assert_eq!(machine.su("alice", "echo in").ok(), "in");
        let logged = machine.logged("exceptions uid=");
        assert!(logged.contains("does not fit this machine"), "{logged}");
    });
}

#[test]
fn another_helper_is_found_from_where_one_is_and_one_that_fails_is_named() {
    Machine::run(|machine| {
        let here = format!("cd {PROGRAMS} && ./berth apply --helper ./berth-helper");
        assert_eq!(machine.host(&here).ok(), "0 users changed");
        let said = machine.berth("apply --helper /bin/false").refused();
        assert_eq!(
            said.stderr,
            "berth: cannot run /bin/false: exit status: 1\n"
        );
    });
}

#[test]
fn a_policy_with_an_error_is_told_and_is_3_as_for_all_verbs() {
    Machine::run(|machine| {
        let broken = "[profile.test2]\nfirst = 1\n[[rule]]";
        machine.policy_text(&Policy::default().text().replace("[[rule]]", broken));
        // The exception is made by then.
        for (command, exit) in [("apply", 3), ("set alice tasks_max=99 --for 1h", 5)] {
            let said = machine.berth_with_helper(command);
            assert_eq!(said.status.code(), Some(exit), "{said:?}");
            assert!(said.stderr.contains("`first`"), "{said:?}");
        }
    });
}

#[test]
fn what_is_done_already_when_the_helper_fails_is_told_and_is_5() {
    Machine::run(|machine| {
        let file = format!("/var/lib/berth/exceptions/{}", machine.uid("alice"));
        for (command, told, is_there) in [
            (
                "set alice tasks_max=99 --for 1h",
                "alice: tasks_max 99 until ",
                true,
            ),
            (
                "unset alice",
                "alice: tasks_max is the policy's again",
                false,
            ),
        ] {
            let said = machine.berth(&format!("{command} --helper /bin/false"));
            assert_eq!(said.status.code(), Some(5), "{said:?}");
            assert!(said.stdout.starts_with(told), "{said:?}");
            let left = "berth: cannot run /bin/false: exit status: 1\n\
                        berth: left alice: the helper failed; `berth apply` tries again\n";
            assert_eq!(said.stderr, left);
            assert_eq!(fs::exists(&file).unwrap(), is_there, "{command}");
        }
    });
}

#[test]
fn an_exception_for_who_is_exempt_denied_or_without_caps_is_said_to_count_for_nothing() {
    Machine::run(|machine| {
        let set = format!("set alice tasks_max=99 --for 1h --helper {PROGRAMS}/berth-helper");
        let good = Policy::default().text();
        let nothing = "so this has no effect until that changes";
        for (policy, why) in [
            (
                format!("{good}[exempt]\nusers = [\"alice\"]\n"),
                "is exempt ([exempt] lists the user)",
            ),
            (
                "version = 1\n[[rule]]\nname = \"staff\"\naction = \"exempt\"\n".into(),
                "is exempt at a login by ssh (rule staff)",
            ),
            (
                "version = 1\n".into(),
                "is exempt at a login by ssh (no rule matches)",
            ),
            (
                "version = 1\n[[rule]]\nname = \"exam\"\naction = \"deny\"\n".into(),
                "is denied at a login by ssh (rule exam)",
            ),
            (
                "version = 1\n[profile.p]\nenforce = false\n[[rule]]\nname = \"watch\"\nprofile = \"p\"\n"
                    .into(),
                "has enforce = false at a login by ssh (rule watch)",
            ),
            (
                "version = 1\n[profile.p]\ncgroup = \"keep\"\n[[rule]]\nname = \"job\"\nprofile = \"p\"\n"
                    .into(),
                "has cgroup = \"keep\" at a login by ssh (rule job)",
            ),
        ] {
            machine.policy_text(&policy);
            for set in [set.clone(), format!("{set} --json")] {
                let said = machine.berth(&set);
                assert_eq!(said.stderr, format!("berth: alice {why}, {nothing}\n"));
                assert!(!said.ok().contains("next login"));
            }
        }
        machine.policy_text(&good);
        let said = machine.berth(&set);
        assert_eq!(said.stderr, "");
        assert!(said.ok().contains("it counts from the next login on"));
    });
}

#[test]
fn who_makes_an_exception_does_not_wait_for_what_is_done_of_others() {
    Machine::run(|machine| {
        let helper = format!("{PROGRAMS}/berth-helper");
        let set = |words: &str| {
            machine.host(&format!(
                "timeout 20 {PROGRAMS}/berth set {words} --helper {helper}"
            ))
        };
        set("alice tasks_max=99 memory_max=1G --for 1s").ok();
        let slow = format!(
            "#!/bin/sh\ntouch /berth/asked\nuntil [ -e /berth/go ]; do sleep 0.05; done\nexec {helper} \"$@\"\n"
        );
        machine.script("slow-helper", &slow);
        let due = format!(
            "until [ -e /berth/asked ]; do {PROGRAMS}/berth apply --due --helper /berth/slow-helper; done"
        );
        let due = Background(Command::new("sh").args(["-c", &due]).spawn().unwrap());
        assert!(eventually(|| fs::exists("/berth/asked").unwrap()));
        set("bob tasks_max=99 --for 1h").ok();
        set("alice tasks_max=98 --for 1h").ok();
        fs::write("/berth/go", "").unwrap();
        due.wait().ok();
        let left = fs::read_to_string(format!(
            "/var/lib/berth/exceptions/{}",
            machine.uid("alice")
        ));
        let left = left.unwrap();
        assert!(left.contains("\"98\"") && !left.contains("1G"), "{left}");
    });
}

#[test]
fn of_an_account_that_is_gone_exceptions_and_penalties_end_by_its_uid() {
    Machine::run(|machine| {
        let uid = machine.add_user("dora").uid;
        let helper = format!("--helper {PROGRAMS}/berth-helper");
        let set = format!("set dora tasks_max=99 memory_max=1G --for 1h {helper}");
        machine.berth(&set).ok();
        let unset = |words: &str| machine.berth(&format!("unset {words} {helper}"));
        let by_uid = unset(&format!("{uid} tasks_max")).ok();
        assert_eq!(by_uid, "dora: tasks_max is the policy's again");
        machine.host("sed -i /^dora:/d /etc/passwd").ok();
        assert_eq!(unset("dora").status.code(), Some(1));
        let by_uid = unset(&format!("{uid}"));
        assert_eq!(
            by_uid.ok(),
            format!("{uid}: memory_max is the policy's again")
        );
        let none = unset(&format!("{uid}"));
        assert_eq!(none.status.code(), Some(1));
        assert_eq!(none.stderr, format!("berth: {uid} has no exception\n"));
        let none = unset(&format!("{uid} penalty"));
        assert_eq!(
            none.stderr,
            format!("berth: {uid} is on no step of a penalty\n")
        );
    });
}

#[test]
fn an_exception_is_not_for_who_has_its_users_uid_after_them_and_a_new_name_is_told() {
    Machine::run(|machine| {
        let uid = machine.add_user("dora").uid;
        let helper = format!("--helper {PROGRAMS}/berth-helper");
        machine
            .berth(&format!("set dora tasks_max=99 --for 1h {helper}"))
            .ok();
        let explain = |user: &str| machine.berth(&format!("explain {user}"));
        let hers = explain("dora");
        assert_eq!(hers.stderr, "");
        assert!(hers.ok().contains("exception"));
        machine
            .host("sed -i 's/^dora:/erin:/' /etc/passwd /etc/group /etc/shadow")
            .ok();
        let why = format!("/var/lib/berth/exceptions/{uid} has one for dora");
        let theirs = explain("erin");
        assert!(theirs.stderr.contains(&why), "{theirs:?}");
        assert!(!theirs.ok().contains("exception"));
        assert_eq!(machine.su("erin", "echo in").ok(), "in");
        assert!(machine.logged("exceptions uid=").contains(&why));
        let su = ["su", "erin", "-c", "exec sleep 1000"];
        let mut stays = Command::new(su[0]).args(&su[1..]).spawn().expect("su");
        assert!(eventually(|| machine.berth("list").ok().contains("erin")));
        let applied = machine.berth_with_helper("apply");
        assert!(applied.stdout.contains(&why), "{applied:?}");
        applied.ok(); // No cap is left as it was.
        machine.berth("kill erin --yes").ok();
        stays.wait().expect("its end");
        machine.berth(&format!("unset erin {helper}")).ok();
        assert_eq!(explain("erin").stderr, "");
    });
}

/// What waits for a user's terminal would otherwise be what systemd waits for at the end of the timer's service.
#[test]
fn who_writes_on_a_users_terminal_is_among_the_keepers_and_not_where_apply_is() {
    Machine::run(|machine| {
        let mut terminal = machine.ssh_terminal("alice");
        terminal.run("true");
        let uid = machine.uid("alice");
        let words = format!("apply --uid={uid} --by=test --say=of-the-test");
        let traced = machine.host(&format!(
            "strace -f -qq -o /berth/trace -e trace=clone3,openat {PROGRAMS}/berth-helper {words}"
        ));
        traced.ok();
        terminal.expect("of-the-test");
        let trace = fs::read_to_string("/berth/trace").unwrap();
        let keepers = trace.lines().find_map(|line| {
            let (opened, number) = line.rsplit_once(" = ")?;
            opened.contains("/berth-keepers\"").then_some(number)
        });
        let writer = format!(
            "cgroup={}}}",
            keepers.expect("nobody looks for the keepers")
        );
        assert!(trace.contains(&writer), "{trace}");
    });
}

/// Holds the lock of a folder, as a helper that is stopped does, or one that waits for a disk.
fn hold(folder: impl Display) -> Background {
    let hold = format!("flock --no-fork /run/berth/users/{folder} sh -c");
    let mut hold: Vec<&str> = hold.split(' ').collect();
    hold.push("echo held; exec sleep 120");
    let mut flock = Command::new(hold[0]);
    flock.args(&hold[1..]).stdout(Stdio::piped());
    let mut holder = Background(flock.spawn().unwrap());
    assert_eq!(holder.line(), "held");
    holder
}

/// It takes a minute, which is how long it waits.
#[test]
fn an_apply_that_was_stopped_is_named_to_the_next_and_not_waited_for_without_end() {
    Machine::run(|machine| {
        machine.host("mkdir -p /run/berth/users/applying").ok();
        let mut holder = hold("applying");
        let pid = holder.process().0;
        let said = machine.berth_with_helper("apply").refused();
        let left = format!("cannot lock /run/berth/users/applying: process {pid} holds it; if");
        assert!(said.stderr.contains(&left), "{said:?}");
        assert!(holder.0.try_wait().unwrap().is_none(), "it was waited for");
    });
}

#[test]
fn a_users_lock_that_somebody_does_not_let_go_keeps_no_other_from_their_caps() {
    Machine::run(|machine| {
        let (alice, bob) = (machine.uid("alice"), machine.uid("bob"));
        let _stay = ["alice", "bob"].map(|user| machine.stay(user));
        let mut holder = hold(alice);
        let pid = holder.process().0;
        let left = format!("/run/berth/users/{alice}: process {pid} holds it");
        // Bob's turn comes after hers.
        machine.berth("set bob tasks_max=99 --for 1h --helper /bin/false");
        let all = machine.berth_with_helper("apply");
        assert_eq!(all.status.code(), Some(5), "{all:?}");
        assert!(all.stderr.contains(&left), "{all:?}");
        assert!((all.stdout + &all.stderr).contains("bob"));
        // Whose caps are to be taken back after their last logout likewise.
        let [first, second] = [alice.min(bob) - 2, alice.min(bob) - 1];
        for uid in [first, second] {
            let folder = format!("/run/berth/users/{uid}");
            let made = format!("mkdir -p {folder} && touch {folder}/goes-on");
            machine.host(&made).ok();
        }
        let mut other = hold(first);
        let said = machine.berth_with_helper("apply --due");
        assert_eq!(said.status.code(), Some(1), "{said:?}");
        let left = format!("cannot take back the caps of user {first}: cannot lock ");
        assert!(said.stderr.contains(&left), "{said:?}");
        assert!(!fs::exists(format!("/run/berth/users/{second}")).unwrap());
        for holder in [&mut holder, &mut other] {
            assert!(holder.0.try_wait().unwrap().is_none(), "it was waited for");
        }
    });
}

#[test]
fn who_goes_on_and_cannot_be_looked_up_is_not_passed_over() {
    Machine::run(|machine| {
        let folder = "/run/berth/users/4242";
        let made = format!("mkdir --parents {folder}; touch {folder}/goes-on");
        machine.host(&made).ok();
        let here = format!("cd {PROGRAMS} && ./berth apply --helper ./berth-helper");
        let said = machine.host(&here);
        assert_eq!(said.status.code(), Some(5), "{said:?}");
        let all = format!("{}{}", said.stdout, said.stderr);
        assert!(all.contains("cannot look up UID 4242"), "{all}");
        machine.host(&format!("rm -r {folder}")).ok();
    });
}
