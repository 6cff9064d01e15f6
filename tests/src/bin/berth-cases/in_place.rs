//! Caps of a program that runs in the place of the application that opened its session.

use berth_tests::{Machine, Policy};

use super::Case;

pub const CASES: &[Case] = cases! {
    a_program_in_the_applications_place_stays_under_its_caps
};

fn a_program_in_the_applications_place_stays_under_its_caps(machine: &mut Machine) {
    machine.policy(&Policy::with_profile("user = { memory_max = \"64M\" }"));
    // One that is joined, and one that always execs in place and gets caps only.
    std::fs::copy("/etc/pam.d/login", "/etc/pam.d/systemd-user").unwrap();
    let before = machine.settled();
    for service in ["login", "systemd-user"] {
        let eat = |megabytes: u32| {
            // Not before the keeper has had all the time that it needs to end a session.
            let eat = machine.probe(&format!("eat {megabytes}"));
            let then = format!("exec-in-place {service} alice sh -c 'sleep 1; exec {eat}'");
            machine.host(&machine.probe(&then))
        };
        assert_eq!(eat(10).ok(), "ate 10 MB", "{service}");
        let killed = eat(100).refused();
        assert!(!killed.stdout.contains("ate"), "{service}: {killed:?}");
        machine.assert_nothing_left(&before);
    }
}
