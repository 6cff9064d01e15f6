//! Logins while everything is killed now and then; `tests/soak/run` does the same for long.

use std::process::Command;

#[test]
fn whatever_is_killed_nobody_is_outside_their_cgroup_and_nothing_is_left() {
    let ran = Command::new(env!("CARGO_BIN_EXE_berth-soak"))
        .args(["--logins", "150"])
        .output()
        .expect("berth-soak");
    let said = String::from_utf8_lossy(&ran.stdout);
    let complaints = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{said}{complaints}");
    assert!(
        said.ends_with("\n150 logins; left over: nothing\n"),
        "{said}"
    );
}
