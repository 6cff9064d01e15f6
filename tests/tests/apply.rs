//! Who may have caps changed. What comes of it is looked at where there are controllers (berth-cases/apply.rs).

use berth_tests::namespaces::PROGRAMS;
use berth_tests::{Machine, Policy};

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
            assert!(said.stdout.contains(&format!("`{key}`")), "{said:?}");
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
        assert_eq!(machine.berth("apply --due --json").status.code(), Some(3));
        machine.policy_text(&good);
        assert_eq!(due(machine).ok(), "");
        assert!(machine.logged("due result=ok").contains("berth["));
        assert_eq!(due(machine).ok(), "");
        // After that it is news again.
        machine.policy_text(&broken("[profile.test2]\nsecond = 1"));
        assert!(due(machine).stdout.contains("`second`"));

        // What is wrong with one thing keeps nobody from the others.
        machine
            .host("mkdir -p /var/lib/berth/exceptions; echo x >/var/lib/berth/exceptions/1")
            .ok();
        let said = due(machine);
        assert!(said.stderr.contains("/exceptions/1 is damaged"), "{said:?}");
        assert!(said.stdout.contains("`second`"), "{said:?}");
        machine.logged("due result=error error=\"/var/lib/berth/exceptions/1 is damaged");
        let lines = machine.log_lines().into_iter();
        let told = lines.filter(|line| line.contains("due result=error"));
        assert_eq!(told.count(), 4);
    });
}
