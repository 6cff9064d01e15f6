//! Where the users of a pool are, and what becomes of the pool. That its caps are felt is tested on a booted
//! machine.

use std::thread;

use berth_tests::{Machine, eventually};

/// The name of a pool that no test has that runs at the same time, in the same tree of cgroups.
fn named(machine: &Machine, pool: &str) -> String {
    format!("{pool}{}", machine.uid("alice"))
}

/// Pools by user: alice's is the first, bob's the second; whoever is not named has none.
fn pools(machine: &Machine, alice: &str, bob: &str) {
    let [one, two, alice, bob] = ["one", "two", alice, bob].map(|pool| named(machine, pool));
    machine.policy_text(&format!(
        "version = 1\n[defaults]\nmissing_controller = \"warn\"\n\
         [pool]\n{one}.memory_max = \"1G\"\n{two}.memory_max = \"1G\"\n\
         [profile.test]\nlogout = {{ grace = \"1s\" }}\n\
         [[rule]]\nuser = \"alice\"\nprofile = \"test\"\npool = \"{alice}\"\n\
         [[rule]]\nuser = \"bob\"\nprofile = \"test\"\npool = \"{bob}\"\n\
         [[rule]]\nprofile = \"test\"\n"
    ));
}

const WHERE: &str = "sed -n 's/^0:://p' /proc/self/cgroup";

#[test]
fn a_user_of_a_pool_is_in_it_and_it_goes_with_its_last_user() {
    Machine::run(|machine| {
        let before = machine.settled();
        pools(machine, "one", "one");
        let pool = named(machine, "one");
        let uid = |user: &str| machine.uid(user);
        let (alice, bob, carol) = (uid("alice"), uid("bob"), uid("carol"));
        let (login, _) = machine.stay("alice");
        let at = machine.ssh("bob", WHERE).ok();
        assert!(
            at.starts_with(&format!("/berth/pool-{pool}/user-{bob}/sessions/")),
            "{at}"
        );
        let at = machine.su("carol", WHERE).ok();
        assert!(
            at.starts_with(&format!("/berth/user-{carol}/sessions/")),
            "{at}"
        );
        let folder = machine.cgroups().root().join(format!("berth/pool-{pool}"));
        assert!(eventually(|| !folder.join(format!("user-{bob}")).exists()));
        assert!(folder.join(format!("user-{alice}")).exists());
        let list = machine.berth("list").ok();
        assert!(
            list.contains("test") && list.contains(&format!(" {pool} ")),
            "{list}"
        );
        let show = machine.berth("show alice").ok();
        assert!(show.contains(&format!("pool {pool}")), "{show}");
        login.end();
        machine.assert_nothing_left(&before);
        assert!(eventually(|| !folder.exists()));
    });
}

#[test]
fn who_is_logged_in_keeps_their_pool_and_has_their_caps_once() {
    Machine::run(|machine| {
        let before = machine.settled();
        let alice = machine.uid("alice");
        let [one, two] = ["one", "two"].map(|pool| named(machine, pool));
        pools(machine, "one", "one");
        let (login, _) = machine.stay("alice");
        pools(machine, "two", "one");
        let at = machine.ssh("alice", WHERE).ok();
        assert!(
            at.starts_with(&format!("/berth/pool-{one}/user-{alice}/")),
            "{at}"
        );
        let line = machine.logged(&format!(
            "pool {two}: the user's earlier sessions are in pool {one}"
        ));
        assert!(line.contains("not_enforced="), "{line}");
        login.end();
        machine.assert_nothing_left(&before);
        let at = machine.ssh("alice", WHERE).ok();
        assert!(
            at.starts_with(&format!("/berth/pool-{two}/user-{alice}/")),
            "{at}"
        );
    });
}

#[test]
fn logins_that_race_for_a_pool_all_get_in() {
    Machine::run(|machine| {
        let before = machine.settled();
        pools(machine, "one", "one");
        let pool = format!("/pool-{}/", named(machine, "one"));
        // Each logout of the one removes the pool if the other is not in it at the moment.
        let log_in = |user: &'static str| {
            (0..40).for_each(|_| {
                let login = machine.su(user, WHERE).ok();
                assert!(login.contains(&pool), "{login}");
            });
        };
        thread::scope(|scope| {
            for user in ["alice", "bob", "alice"] {
                scope.spawn(move || log_in(user));
            }
        });
        machine.assert_nothing_left(&before);
    });
}
