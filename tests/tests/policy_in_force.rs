//! Which policy decides a login, and what of it besides namespaces is carried out.

use std::process::Command;

use berth_tests::{Door, Machine, Policy, Process, Stack, Terminal};

/// The module as it is installed: without `policy=`, so that the loaded policy decides.
fn with_the_loaded_policy(machine: &Machine) {
    let stack = Stack::default();
    let installed = stack.module().replace("policy=/etc/berth/policy.toml", "");
    machine.stack(&stack);
    for service in ["sshd", "su", "su-l", "login", "cron"] {
        let path = format!("/etc/pam.d/{service}");
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(path, text.replace(&stack.module(), &installed)).unwrap();
    }
}

#[test]
fn an_edit_decides_from_the_reload_on_and_a_broken_one_never() {
    Machine::run(|machine| {
        with_the_loaded_policy(machine);
        machine.berth("reload").ok();
        assert_eq!(machine.su("alice", "cat /proc/1/comm").ok(), "berth-init");
        let deny = "version = 1\n[[rule]]\nname = \"all\"\naction = \"deny\"\n";
        machine.policy_text(deny);
        assert_eq!(machine.su("alice", "cat /proc/1/comm").ok(), "berth-init");
        machine.berth("reload").ok();
        machine.su("alice", "true").refused();
        machine.policy_text("version = 1\nnonsense = true\n");
        machine.berth("reload").refused();
        machine.su("alice", "true").refused();
        assert_eq!(machine.su("root", "echo in").ok(), "in");
        machine.policy(&Policy::default());
        machine.berth("reload").ok();
        assert_eq!(machine.ssh("alice", "cat /proc/1/comm").ok(), "berth-init");
    });
}

#[test]
fn a_policy_that_is_gone_or_broken_leaves_the_loaded_one_in_force_and_is_told() {
    Machine::run(|machine| {
        with_the_loaded_policy(machine);
        for (what, damage, told) in [
            (
                "gone",
                "rm /etc/berth/policy.toml",
                "cannot read /etc/berth/policy.toml",
            ),
            (
                "half written",
                "truncate -s 100 /etc/berth/policy.toml",
                "the edited files have 1 error; the policy loaded on",
            ),
            (
                "wrong",
                "echo 'nonsense = true' >>/etc/berth/policy.toml",
                "the edited files have 1 error; the policy loaded on",
            ),
        ] {
            machine.policy(&Policy::default());
            machine.berth("reload").ok();
            machine.host(damage).ok();
            assert_eq!(
                machine.su("alice", "cat /proc/1/comm").ok(),
                "berth-init",
                "{what}"
            );
            assert_eq!(machine.su("root", "echo in").ok(), "in", "{what}");
            let doctor = machine.berth("doctor").refused().stdout;
            let fails: Vec<_> = doctor
                .lines()
                .filter(|line| line.starts_with("FAIL  policy"))
                .collect();
            assert!(
                fails.len() == 1 && fails[0].contains(told),
                "{what}: {doctor}"
            );
            let check = machine.berth("check").refused();
            let check = check.stdout + &check.stderr;
            assert!(check.contains("stays in force"), "{what}: {check}");
        }
    });
}

#[test]
fn without_a_loaded_policy_the_files_decide_and_later_files_win() {
    Machine::run(|machine| {
        with_the_loaded_policy(machine);
        assert_eq!(machine.su("alice", "cat /proc/1/comm").ok(), "berth-init");
        machine.host("mkdir /etc/berth/policy.d && printf '[[rule]]\\nname = \"late\"\\nuser = \"alice\"\\naction = \"deny\"\\n' >/etc/berth/policy.d/50-late.toml").ok();
        machine.su("alice", "true").refused();
        assert_eq!(machine.su("bob", "cat /proc/1/comm").ok(), "berth-init");
        machine.logged("rule=late");
    });
}

#[test]
fn names_that_the_loaded_policy_exempts_need_no_helper() {
    Machine::run(|machine| {
        machine.policy(&Policy::with_rest("[exempt]\nusers = [\"alice\"]\n"));
        with_the_loaded_policy(machine);
        machine.berth("reload").ok();
        machine.host("rm /berth/berth-helper").ok();
        assert_eq!(
            machine.ssh("alice", "cat /proc/1/comm").ok(),
            "login-machine"
        );
        machine.ssh("bob", "true").refused();
    });
}

#[test]
fn a_user_has_no_more_sessions_than_the_policy_says() {
    Machine::run(|machine| {
        machine.policy(&Policy::with_profile(
            "max_sessions = 2\nlogout = { grace = \"1s\" }",
        ));
        let (first, _) = machine.stay("alice");
        let (second, _) = machine.stay("alice");
        machine.ssh("alice", "echo in").refused();
        assert_eq!(machine.ssh("bob", "echo in").ok(), "in");
        // It opens no session; what can be said before one ends it.
        assert!(machine.refuses_without_session("alice"));
        first.end();
        let again = berth_tests::eventually(|| machine.ssh("alice", "true").success());
        assert!(again, "a session that is over counts no more");
        second.end();
    });
}

/// What PAM tells of a login, as sshd, login and su do, and where it is.
#[test]
fn rules_test_where_a_login_comes_from_and_what_the_machine_is_for() {
    Machine::run(|machine| {
        let rule = |tests: &str, files: u32| {
            format!(
                "[profile.files{files}]\nrlimits = {{ nofile = {files} }}\n\
                 [[rule]]\nrole = \"lab\"\n{tests}\nprofile = \"files{files}\"\n"
            )
        };
        let rules = [
            rule("rhost = \"192.0.2.0/24\"", 91),
            rule("ruser = \"bob\"", 92),
            rule("tty = \"ttyS*\"", 93),
            rule("rhost = \"127.0.0.0/8\"", 101),
            rule("ruser = \"root\"", 102),
            rule("tty = \"pts/*\"", 103),
        ];
        machine.policy_text(&format!(
            "version = 1\nhost.roles = [\"web\", \"lab\"]\n\
             [[rule]]\nname = \"elsewhere\"\nrole = \"login\"\naction = \"deny\"\n{}\
             [[rule]]\naction = \"deny\"\n",
            rules.concat()
        ));
        for (door, files) in [(Door::Ssh, "101"), (Door::Su, "102"), (Door::Login, "103")] {
            let said = machine.through(door, "alice", "ulimit -n");
            assert_eq!(said, files, "{door:?}");
        }
        // Nor is there anything of the kind to test.
        machine.jobs_are_refused("alice");
    });
}

#[test]
fn users_are_told_their_caps_at_login_where_a_terminal_shows_it() {
    Machine::run(|machine| {
        let mut policy = Policy::with_profile("motd = true\nuser = { tasks_max = 50 }");
        policy.defaults = "missing_controller = \"warn\"".into();
        machine.policy(&policy);
        let line = "berth: you have tasks_max 50\n";
        let mut by_ssh = machine.ssh_terminal("alice");
        by_ssh.run("true");
        assert!(by_ssh.shown().contains(line), "{}", by_ssh.shown());
        by_ssh.send("exit");
        by_ssh.wait();
        let mut su = Command::new("su");
        // Without the dash su shows nothing that modules say.
        su.args(["-", "alice"]);
        let mut by_su = Terminal::start(su);
        by_su.run("true");
        assert!(by_su.shown().contains(line), "{}", by_su.shown());
        by_su.send("exit");
        by_su.wait();
        // Not among what a program prints.
        assert_eq!(machine.su("alice", "echo in").ok(), "in");
        assert_eq!(machine.ssh("alice", "echo in").ok(), "in");
    });
}

#[test]
fn a_profile_that_does_not_enforce_changes_nothing_and_says_what_it_would() {
    Machine::run(|machine| {
        machine.policy(&Policy::with_profile(
            "enforce = false\nuser = { tasks_max = 50 }\nsession = { memory_max = \"64M\" }",
        ));
        let look = "readlink /proc/self/ns/mnt; readlink /proc/self/ns/user";
        assert_eq!(machine.ssh("alice", look).ok(), machine.host(look).ok());
        let line = machine.logged("not_enforced");
        assert!(line.contains("user=alice"), "{line}");
        let would = "enforce = false; with it the user has tasks_max 50; this login memory_max 64M; own user,pid,ipc,mount";
        assert!(line.contains(would), "{line}");
        // Nor does it refuse anybody, whatever on_error says.
        let nowhere = "enforce = false\non_error = \"deny\"\nuser = { allowed_cpus = \"4000-\" }";
        machine.policy(&Policy::with_profile(nowhere));
        assert_eq!(machine.ssh("alice", look).ok(), machine.host(look).ok());
        let line = machine.logged("result=error");
        assert!(line.contains("allowed_cpus"), "{line}");
    });
}

#[test]
fn a_login_that_keeps_its_cgroup_is_where_the_daemon_is() {
    Machine::run(|machine| {
        // No cap is set, and so none refuses the login.
        let keep = "cgroup = \"keep\"\nuser = { allowed_cpus = \"4000-\" }";
        machine.policy(&Policy::with_profile(keep));
        let daemon = machine.sshd().process();
        let cgroup = daemon.cgroup().unwrap();
        let (login, process) = machine.stay("alice");
        assert_eq!(process.cgroup().unwrap(), cgroup);
        assert_eq!(
            Process::named("berth-init").len(),
            1,
            "isolated all the same"
        );
        login.end();
    });
}
