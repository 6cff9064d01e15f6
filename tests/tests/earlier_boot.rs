//! What an earlier boot left on the disk is no part of a login, and goes with it. Session ids begin anew at
//! each boot, and /var/lib does not.

use std::fs;
use std::path::Path;

use berth_tests::{Machine, Policy};

const TMPS: &str = "/var/lib/berth/tmp";

/// A private /tmp of somebody's, as a machine that lost power leaves it.
fn left_behind(at: &Path, owner: u32) {
    let deep = at.join("tmp/deep");
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("secret"), "old").unwrap();
    std::os::unix::fs::chown(&deep, Some(owner), Some(owner)).unwrap();
}

#[test]
fn an_earlier_boots_private_tmp_is_not_the_next_sessions_and_goes_with_it() {
    Machine::run(|machine| {
        machine.policy(&Policy::with_namespaces(
            r#"user = "identity", pid = true, mount = true, private_tmp = "disk""#,
        ));
        let before = machine.settled();
        let bob = machine.uid("bob");
        // Once more where a boot before that had left one, too.
        for put_aside_already in [false, true] {
            let next = machine.next_session();
            let own = Path::new(TMPS).join(next.to_string());
            left_behind(&own, bob);
            let aside = Path::new(TMPS).join(format!("stale-{next}"));
            if put_aside_already {
                left_behind(&aside, bob);
            }
            let (login, inside) = machine.stay("alice");
            let environment = inside.file("environ");
            assert!(
                environment.contains(&format!("BERTH_SESSION={next}\0")),
                "{environment}"
            );
            assert!(own.join("tmp").exists(), "the session's own is here");
            assert!(aside.exists(), "it may be large, and the login waited");
            for tmp in ["tmp", "var/tmp"] {
                let tmp = format!("/proc/{}/root/{tmp}", inside.0);
                let seen: Vec<_> = fs::read_dir(tmp).unwrap().flatten().collect();
                assert!(seen.is_empty(), "{seen:?}");
            }
            login.end();
            machine.assert_nothing_left(&before);
            let left: Vec<_> = fs::read_dir(TMPS).unwrap().flatten().collect();
            assert!(left.is_empty(), "{left:?}");
        }
    });
}
