//! What a user may see of their own sessions: their record, and nobody else's.

use berth_tests::namespaces::PROGRAMS;
use berth_tests::{Machine, eventually};

#[test]
fn a_user_sees_their_own_session_in_full_and_no_other() {
    Machine::run(|machine| {
        let (bob, _) = machine.stay("bob");
        let listed = |machine: &Machine| machine.berth("list").ok().contains("active");
        assert!(eventually(|| listed(machine)));
        let berth = |verb: &str| format!("{PROGRAMS}/berth {verb}");
        // From within the berth, and its own session.
        let see = format!(
            "{0} $BERTH_SESSION && {1} $BERTH_SESSION",
            berth("show"),
            berth("explain")
        );
        let seen = machine.ssh("alice", &see).ok();
        for line in [
            "  profile test, rule all\n",
            "    State: active\n",
            "    Login: sshd from 127.0.0.1\n",
            "opened with profile test, rule all",
            "BOTH   all",
        ] {
            assert!(seen.contains(line), "{line}: {seen}");
        }
        let json = machine.ssh(
            "alice",
            &format!("{} $BERTH_SESSION", berth("explain --json")),
        );
        assert!(json.ok().contains("\"rule\": \"all\""));

        let record = "/run/berth/sessions/1";
        assert!(
            machine
                .host(&format!("cat {record}"))
                .ok()
                .contains("\"bob\"")
        );
        for verb in ["show 1", "explain 1"] {
            let refused = machine.ssh("alice", &berth(verb));
            assert_eq!(refused.status.code(), Some(4), "{refused:?}");
            assert!(!format!("{refused:?}").contains("bob"), "{refused:?}");
            machine.su("bob", &berth(verb)).ok();
        }
        // Neither a group in common nor the owner's rights: it is theirs to read, and no more.
        let group = machine.host("id -g bob").ok();
        let mate = format!("setpriv --reuid alice --regid {group} --clear-groups cat {record}");
        assert!(!machine.host(&mate).status.success());
        let write = format!("echo >>{record} || chmod 600 {record} || rm -f {record}");
        assert!(!machine.su("bob", &write).status.success());
        bob.end();
    });
}
