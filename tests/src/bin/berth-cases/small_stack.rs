//! What an ordinary user limits before running su does not reach the helper. Here, because raising a hard limit
//! needs a right that some containers lack.

use std::process::{Command, Stdio};

use berth_tests::{Background, Machine, Process, eventually};

use super::Case;

pub const CASES: &[Case] = &[(
    "a_tiny_stack_of_the_user_who_runs_su_is_not_the_helpers",
    tiny_stack,
)];

/// The stack limit of bob's, who runs su, and that of the helper. The first is as small as su itself can bear.
const LIMITS: [(&str, &str); 3] = [
    ("49152:unlimited", "8388608:unlimited"),
    ("49152:67108864", "8388608:67108864"),
    ("49152:49152", "8388608:8388608"),
];

fn stack_of(process: Process) -> String {
    let limits = process.file("limits");
    let line = limits.lines().find(|line| line.contains("Max stack size"));
    let words: Vec<&str> = line.unwrap_or_default().split_whitespace().collect();
    words.get(3..5).unwrap_or_default().join(":")
}

fn tiny_stack(machine: &mut Machine) {
    let before = machine.settled();
    let (alice, bob) = (machine.uid("alice"), machine.uid("bob").to_string());
    for (limit, of_helper) in LIMITS {
        let su = Command::new("setpriv")
            .args(["--reuid", &bob, "--regid", &bob, "--clear-groups"])
            .args(["prlimit", &format!("--stack={limit}")])
            .args(["su", "alice", "-c", "exec sleep 1000"])
            .stdin(Stdio::null())
            .spawn();
        let su = Background(su.unwrap());
        let sleep = || {
            let mut all = Process::named("sleep").into_iter();
            all.find(|one| one.uid() == Some(alice))
        };
        assert!(eventually(|| sleep().is_some()), "{limit}: no login");
        assert_eq!(stack_of(sleep().unwrap()), limit, "the login's own stays");
        let helpers = Process::named("berth-helper");
        assert_eq!(helpers.len(), 2, "{limit}");
        for helper in helpers {
            assert_eq!(stack_of(helper), of_helper, "{limit}");
        }
        sleep().unwrap().kill();
        drop(su);
        machine.assert_nothing_left(&before);
    }
}
