//! Resource limits above those of the application, which need a right that not every container has.

use std::fs;

use berth_tests::{Machine, Policy, Stack};

use super::Case;

pub const CASES: &[Case] = cases! {
    a_limit_above_the_applications_own_can_be_had
    a_limit_that_pam_limits_has_raised_counts_in_a_user_namespace
};

/// The helper is started in the account phase, before it was raised.
fn a_limit_that_pam_limits_has_raised_counts_in_a_user_namespace(machine: &mut Machine) {
    let limits = "/etc/security/limits.conf";
    machine.policy(&Policy::with_namespaces(r#"user = "identity", ipc = true"#));
    machine.stack(&Stack {
        before: "session required pam_limits.so\n".into(),
        ..Stack::default()
    });
    let queues = |bytes: u32| -> u32 {
        fs::write(limits, format!("alice - msgqueue {bytes}\n")).expect(limits);
        // It keeps what it has made until it is ended.
        let make = format!("timeout 3 {}; true", machine.probe("queues"));
        let said = machine.su("alice", &make).ok();
        let number = said.split_whitespace().next();
        let number = number.and_then(|word| word.parse().ok());
        number.unwrap_or_else(|| panic!("{said}"))
    };
    let (few, many) = (queues(200_000), queues(4_000_000));
    fs::write(limits, "").expect(limits);
    assert!(
        many > 15 * few,
        "{few} with 200,000 bytes, {many} with 4,000,000"
    );
}

fn a_limit_above_the_applications_own_can_be_had(machine: &mut Machine) {
    for user in ["identity", "off"] {
        machine.policy(&Policy {
            profile:
                "rlimits = { nofile = \"100:900\", memlock = \"2M:3M\", nice = -5, rtprio = 7 }"
                    .into(),
            ..Policy::with_namespaces(&format!("user = \"{user}\", pid = true, mount = true"))
        });
        // Priorities by the kernel's names; its nice is 20 less the policy's.
        let look = "ulimit -Sn; ulimit -Hn; ulimit -Sl; ulimit -Hl; cat /proc/1/comm; \
            grep priority /proc/self/limits | tr -s \" \" | cut -d\" \" -f2-5";
        let su = format!("ulimit -n 50; ulimit -l 64; su alice -c '{look}'");
        let said = machine.host(&su).ok();
        assert_eq!(
            said, "100\n900\n2048\n3072\nberth-init\nnice priority 25 25\nrealtime priority 7 7",
            "{user}"
        );
    }
}
