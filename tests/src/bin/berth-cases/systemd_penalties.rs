//! Penalties where systemd has the caps, and its timer looks.

use berth_tests::{Booted, within};

use super::BootedCase;
use super::penalties::{FILE, SEVERAL_MINUTES, once_a_window_is_full, policy};

pub const CASES: &[BootedCase] = cases! {
    who_burns_is_slowed_under_systemd
};

fn who_burns_is_slowed_under_systemd(machine: &Booted) {
    machine.berth("sshd", &policy("1min"));
    machine.host("berth reload").ok();
    let before = machine.settled();
    let timer = "systemctl show --property=ActiveState berth-due.timer";
    assert_eq!(machine.host(timer).ok(), "ActiveState=active");
    let mut terminal = machine.terminal("alice");
    terminal.run("true");
    let (login, _) = machine.background("alice", "exec sha256sum /dev/zero", "sha256sum");
    assert_eq!(machine.of_user("alice", "cpu.max"), "40000 100000");
    // What the timer starts each minute is started here, too, so that nobody waits for it; and more often than systemd
    // lets anything be started, without the first of these.
    let look = || {
        let start = "systemctl reset-failed berth-due.service && systemctl start berth-due.service";
        machine.host(start).ok()
    };
    once_a_window_is_full(|| {
        look();
        let quota = machine.of_user("alice", "cpu.max");
        if quota == "40000 100000" {
            String::new()
        } else {
            quota
        }
    });
    assert_eq!(machine.of_user("alice", "cpu.max"), "20000 100000");
    terminal.expect(
        " over 1min, above 12%: penalty hog, step 1 of 2, leaves you 50% of your cpu_quota until ",
    );
    machine.host("systemctl daemon-reload").ok();
    assert_eq!(machine.of_user("alice", "cpu.max"), "20000 100000");
    let shown = machine.host("berth show alice").ok();
    assert!(
        shown.contains("  Penalty: hog, step 1 of 2 until "),
        "{shown}"
    );
    login.end();
    assert!(within(SEVERAL_MINUTES, || {
        look();
        machine.of_user("alice", "cpu.max") == "40000 100000"
    }));
    terminal.expect("\nberth: penalty hog is over: your cpu_quota is whole again");
    terminal.send("exit");
    terminal.wait();
    machine.host(&format!("rm -f {FILE}")).ok();
    machine.assert_nothing_left(&before);
}
