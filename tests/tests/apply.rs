//! Who may have caps changed. What comes of it is looked at where there are controllers (berth-cases/apply.rs).

use berth_tests::Machine;
use berth_tests::namespaces::PROGRAMS;

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
