//! `packaging/try` where there are controllers.

use std::fs;

use berth_tests::Machine;

use super::Case;

pub const CASES: &[Case] = cases! {
    the_trial_shows_caps_in_force
};

fn the_trial_shows_caps_in_force(machine: &mut Machine) {
    fs::create_dir("/tmp/packaging").unwrap();
    let trial = include_str!("../../../../packaging/try");
    fs::write("/tmp/packaging/try", trial).unwrap();
    let said = machine
        .host("bash /tmp/packaging/try --on-stage /berth")
        .ok();
    let caps = said.lines().filter(|line| line.ends_with(" ok"));
    let caps: Vec<_> = caps
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    for cap in [
        "memory_max",
        "memory_swap_max",
        "cpu_quota",
        "cpu_weight",
        "tasks_max",
    ] {
        assert!(caps.contains(&cap), "{cap}: {said}");
    }
    assert!(said.contains("Everything is as it should be."), "{said}");
}
