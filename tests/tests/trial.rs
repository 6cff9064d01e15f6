//! `packaging/try`, which is to leave nothing on the machine that it was tried on.

use std::fs;

use berth_tests::Machine;

/// At a terminal ^C goes to all that the trial has started, and who is impatient types it again.
#[test]
fn a_trial_that_is_interrupted_again_and_again_leaves_nothing() {
    Machine::run(|machine| {
        let left =
            "ls -d /dev/shm/berth-try* /tmp/berth-try* /var/lib/berth/try; ipcs -m | grep ' 644 '";
        fs::create_dir("/tmp/packaging").unwrap();
        fs::write("/tmp/packaging/try", include_str!("../../packaging/try")).unwrap();
        let interrupt = "set -m; unshare --mount --propagation private -- bash /tmp/packaging/try --on-stage /berth >/tmp/said 2>&1 &
             until grep --quiet 'A login by ssh' /tmp/said; do kill -0 $! || break; done
             while kill -INT -- -$!; do sleep 0.01; done; cat /tmp/said";
        let said = machine.host(&format!("bash -c '{}'", interrupt.replace('\'', "'\\''")));
        let said = said.stdout;
        assert!(
            said.contains("A login by ssh") && !said.contains("should be."),
            "{said}"
        );
        assert_eq!(machine.host(left).stdout, "");
    });
}
