//! Resource limits above those of the application, which need a right that not every container has.

use berth_tests::{Machine, Policy};

use super::Case;

pub const CASES: &[Case] = &[(
    "a_limit_above_the_applications_own_can_be_had",
    above_the_applications,
)];

fn above_the_applications(machine: &mut Machine) {
    for user in ["identity", "off"] {
        machine.policy(&Policy {
            profile: "rlimits = { nofile = \"100:900\", memlock = \"2M:3M\" }".into(),
            ..Policy::with_namespaces(&format!("user = \"{user}\", pid = true, mount = true"))
        });
        let look = "ulimit -Sn; ulimit -Hn; ulimit -Sl; ulimit -Hl; cat /proc/1/comm";
        let su = format!("ulimit -n 50; ulimit -l 64; su alice -c '{look}'");
        let said = machine.host(&su).ok();
        assert_eq!(said, "100\n900\n2048\n3072\nberth-init", "{user}");
    }
}
