//! Many logins: in a row, and at once.

use berth_tests::Machine;

#[test]
fn five_hundred_logins_in_a_row_leave_the_host_as_it_was() {
    Machine::run(|machine| {
        let before = machine.settled();
        for number in 0..500 {
            let said = match number % 10 {
                0 => machine.ssh("alice", "cat /proc/1/comm"),
                1 => machine.su_login("bob", "cat /proc/1/comm"),
                _ => machine.su("alice", "cat /proc/1/comm"),
            };
            assert_eq!(said.ok(), "berth-init", "login {number}");
        }
        machine.assert_nothing_left(&before);
    });
}

#[test]
fn fifty_logins_at_once_each_have_their_own_and_leave_nothing() {
    Machine::run(|machine| {
        let before = machine.settled();
        let look = "readlink /proc/self/ns/pid; echo $BERTH_SESSION; sleep 2";
        let logins: Vec<_> = (0..50)
            .map(|number| {
                let user = if number % 2 == 0 { "alice" } else { "bob" };
                machine.ssh_background(user, look)
            })
            .collect();
        let said: Vec<String> = logins.into_iter().map(|login| login.wait().ok()).collect();
        let mut different = said.clone();
        different.sort();
        different.dedup();
        assert_eq!(different.len(), 50, "{said:?}");
        assert!(said.iter().all(|one| one.lines().count() == 2), "{said:?}");
        machine.assert_nothing_left(&before);
    });
}
