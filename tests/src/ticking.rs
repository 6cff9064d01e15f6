//! Whether what a user runs goes on: a login that counts.

use std::fs;
use std::process::Command;

use crate::kernel::eventually;

/// Counts in a file of the user's home, twenty times a second or so.
pub const COUNT: &str = "i=0; while :; do i=$((i+1)); echo $i >~/count; sleep 0.05; done";

fn count(user: &str) -> u32 {
    let text = fs::read_to_string(format!("/home/{user}/count")).unwrap_or_default();
    text.trim().parse().unwrap_or(0)
}

/// Fails unless such a login of the user's counts on.
#[track_caller]
pub fn assert_goes_on(user: &str) {
    let before = count(user);
    let goes_on = eventually(|| count(user) > before + 2);
    assert!(goes_on, "{user} has stopped at {before}");
}

/// Fails if it does while somebody else goes on, who is started as often and waits as long for a turn.
#[track_caller]
pub fn assert_stands(user: &str) {
    let before = count(user);
    for _ in 0..20 {
        let slept = Command::new("sleep").arg("0.05").status();
        assert!(slept.expect("sleep").success());
    }
    assert_eq!(count(user), before, "{user} goes on");
}
