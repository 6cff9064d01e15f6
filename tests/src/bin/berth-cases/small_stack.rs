//! What an ordinary user limits before running su does not reach the helper. Here, because raising a hard limit
//! needs a right that some containers lack.

use std::process::{Command, Stdio};

use berth_tests::{Background, Machine, Policy, Process, Stack, eventually};

use super::Case;

pub const CASES: &[Case] = cases! {
    a_tiny_stack_of_the_user_who_runs_su_is_not_the_helpers
    no_limit_of_the_user_who_runs_su_leads_past_the_berth
};

/// Limits that su itself can bear.
const SMALL: [&str; 7] = [
    "--nofile=6",
    "--nofile=7",
    "--nofile=10",
    "--fsize=0",
    "--data=400000",
    "--as=7000000",
    "--as=8000000",
];

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

fn a_tiny_stack_of_the_user_who_runs_su_is_not_the_helpers(machine: &mut Machine) {
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

/// What fails is let pass here, as it would be if the user could make it fail.
fn no_limit_of_the_user_who_runs_su_leads_past_the_berth(machine: &mut Machine) {
    machine.stack(&Stack {
        arguments: "on_error=allow".into(),
        ..Stack::default()
    });
    let user_off = Policy::with_namespaces(r#"user = "off", pid = true, ipc = true, mount = true"#);
    let bob = machine.uid("bob");
    let su_of_bob = |prefix: &str, limit: &str| {
        machine.host(&format!(
            "exec setpriv --reuid={bob} --regid={bob} --clear-groups {prefix} prlimit {limit} \
             su alice -c 'cat /proc/1/comm'"
        ))
    };
    for policy in [Policy::default(), user_off] {
        machine.policy(&policy.on_error("allow"));
        for limit in SMALL {
            let said = su_of_bob("", limit);
            assert_eq!(said.stdout, "berth-init", "{limit}: {said:?}");
        }
        // All descriptors are taken but those that su needs itself.
        let take = "bash -c 'for n in {6..63}; do eval \"exec $n</\"; done; exec \"$@\"' bash";
        assert_eq!(su_of_bob(take, "--nofile=64").ok(), "berth-init");
        // And the limit is far below the next number that is free.
        let take = "bash -c 'for n in {10..900}; do eval \"exec $n</\"; done; exec \"$@\"' bash";
        assert_eq!(su_of_bob(take, "--nofile=10").ok(), "berth-init");
    }
    machine.policy(&Policy::default());
    // Not the address space's, which su itself raises.
    let limits = "prlimit --nofile=20 --data=10240000 su alice -c 'ulimit -n; ulimit -d'";
    assert_eq!(
        machine.host(limits).ok(),
        "20\n10000",
        "the login's own stay"
    );
}
