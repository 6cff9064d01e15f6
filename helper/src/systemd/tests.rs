//! What a login waits for, on folders that look like systemd's cgroups.

use berth_config::outcome::{Caps, Limit};
use berth_session::Backend;

use super::*;
use crate::settings::folder::Folder;

#[test]
fn a_cap_that_systemd_does_not_put_in_force_fails_the_login_or_is_named_as_the_policy_says() {
    let root = Folder::with(&[
        ("cgroup.controllers", "memory pids\n"),
        ("pids.max", "7\n"),
        ("memory.max", "max\n"),
    ]);
    let tree = root.tree(Backend::Systemd);
    let mut place = Place {
        group: None,
        missing: Vec::new(),
        way: Way::Stays,
        slices: Vec::new(),
        session: Vec::new(),
        counts_io: false,
        asked: Vec::new(),
        missing_controller: MissingController::Deny,
    };
    let caps = |tasks, memory: Option<u64>| {
        let caps = Caps {
            tasks_max: Some(Limit::Finite(tasks)),
            memory_max: memory.map(Limit::Finite),
            ..Caps::default()
        };
        settings::of(&caps, &tree).unwrap()
    };
    let now = Instant::now();
    let wait = |place: &Place, caps: &[Setting], until| {
        let missing = place.wait_for(&tree, tree.root(), "user 1001", caps, until);
        missing.map_err(|error| error.to_string())
    };
    assert_eq!(wait(&place, &caps(7, None), now), Ok(Vec::new()));
    let error = wait(&place, &caps(7, Some(8192)), now).unwrap_err();
    assert!(
        error.starts_with("cannot set memory_max of user 1001: systemd has set memory.max"),
        "{error}"
    );
    place.missing_controller = MissingController::Warn;
    assert_eq!(wait(&place, &caps(7, Some(8192)), now), Ok(vec![error]));
    // It is not given up before its time.
    let soon = now + Duration::from_secs(60);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| wait(&place, &caps(7, Some(8192)), soon));
        std::thread::sleep(Duration::from_millis(50));
        root.write("memory.max", "8192\n");
        assert_eq!(waiting.join().unwrap(), Ok(Vec::new()));
    });
}
