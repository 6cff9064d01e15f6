//! Whom the policy exempts, Berth leaves alone.

use berth_tests::{Door, Machine, Policy, Process, eventually};

/// Everything in which a login could differ from one without Berth.
const LOOK: &str = "for kind in user pid ipc mnt; do readlink /proc/self/ns/$kind; done; \
    sed -n 's/^0:://p' /proc/self/cgroup; \
    grep -E '^(CapBnd|NoNewPrivs|Seccomp:)' /proc/self/status; echo berth=$BERTH_SESSION";

fn untouched(machine: &mut Machine, user: &str) {
    let outside = machine.host(LOOK).ok();
    let no_init = || Process::named("berth-init").is_empty();
    assert!(eventually(no_init), "of a login before");
    for door in Door::ALL {
        assert_eq!(
            machine.through(door, user, LOOK),
            outside,
            "{door:?} of {user}"
        );
        assert!(no_init(), "{door:?} of {user}");
    }
}

#[test]
fn root_is_untouched_whatever_the_policy_says() {
    Machine::run(|machine| {
        machine.policy_text("version = 1\n[[rule]]\nname = \"all\"\naction = \"deny\"\n");
        let outside = machine.host(LOOK).ok();
        for door in [
            Door::Ssh,
            Door::SshTerminal,
            Door::Su,
            Door::SuLogin,
            Door::Login,
        ] {
            assert_eq!(machine.through(door, "root", LOOK), outside, "{door:?}");
        }
        machine.ssh("alice", "true").refused();
    });
}

#[test]
fn users_and_groups_that_the_policy_exempts_are_untouched() {
    Machine::run(|machine| {
        let gid = machine.uid("alice") + 30;
        machine.add_group("admins", gid, &["carol"]);
        let uid = machine.uid("alice");
        for exempt in [
            "users = [\"alice\"]".to_owned(),
            "groups = [\"alice\"]".to_owned(),
            format!("uids = [\"{uid}\"]"),
        ] {
            machine.policy(&Policy::with_rest(&format!("[exempt]\n{exempt}\n")));
            untouched(machine, "alice");
            let bob = machine.ssh("bob", "cat /proc/1/comm").ok();
            assert_eq!(bob, "berth-init", "{exempt}");
        }
        machine.policy(&Policy::with_rest("[exempt]\ngroups = [\"admins\"]\n"));
        assert_eq!(machine.su("carol", LOOK).ok(), machine.host(LOOK).ok());
    });
}

#[test]
fn a_rule_can_exempt_one_service_and_no_match_can_be_exempt() {
    Machine::run(|machine| {
        machine.policy_text(
            "version = 1\n[profile.test]\nnamespaces = { user = \"identity\", pid = true, mount = true }\n\
             [[rule]]\nname = \"cron\"\nservice = \"cron\"\naction = \"exempt\"\n\
             [[rule]]\nname = \"alice\"\nuser = \"alice\"\nprofile = \"test\"\n",
        );
        assert_eq!(machine.cron("alice", LOOK), machine.host(LOOK).ok());
        assert_eq!(machine.ssh("alice", "cat /proc/1/comm").ok(), "berth-init");
        untouched(machine, "bob");
    });
}
