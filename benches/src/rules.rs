//! Whether logins take longer by a loaded policy of many rules.

use std::fs;

use berth_tests::Machine;

use crate::POLICY;
use crate::pam;
use crate::sample::{Kind, Regime, milliseconds};

/// What may depend on the rules: the account phase, in which the helper decides, and the opening behind it.
const KINDS: [Kind; 3] = [Kind::Floor, Kind::Account, Kind::Namespaces];

/// The rules of a drop-in, which may not be larger than a file of the policy may.
const PART: usize = 50_000;

/// Measures logins by so many rules of others', each number larger than the one before.
pub fn measure(machine: &mut Machine, sizes: &[usize], samples: usize) {
    // The loaded policy, not one that is read at each login.
    let stack = format!("/etc/pam.d/{}", pam::WITH);
    let text = fs::read_to_string(&stack).expect("a PAM stack");
    fs::write(&stack, text.replace("policy=/etc/berth/policy.toml", "")).expect("a PAM stack");
    let (profiles, own) = POLICY.split_at(POLICY.find("[[rule]]").expect("rules"));
    machine.policy_text(profiles);
    fs::create_dir_all("/etc/berth/policy.d").expect("a folder");
    // The rules of who logs in come last.
    fs::write("/etc/berth/policy.d/z.toml", own).expect("a drop-in");
    println!("a login by a loaded policy of so many rules, hot, milliseconds\n");
    println!("{:>8}  {:<14} {:>8} {:>8}", "rules", "what", "p50", "p99");
    for size in sizes {
        for (part, first) in (0..*size).step_by(PART).enumerate() {
            let numbers = first..(first + PART).min(*size);
            let rules = numbers
                .map(|number| format!("[[rule]]\nuser = \"u{number}\"\nprofile = \"cgroup\"\n"));
            let path = format!("/etc/berth/policy.d/{part:03}.toml");
            fs::write(path, rules.collect::<String>()).expect("a drop-in");
        }
        machine.berth("reload").ok();
        let measured = Regime::Hot.measure(samples, &KINDS, Kind::once);
        for kind in KINDS {
            let figures = measured.figures(kind);
            println!(
                "{size:>8}  {:<14} {:>8.3} {:>8.3}",
                crate::table::label(kind),
                milliseconds(figures.p50),
                milliseconds(figures.p99)
            );
        }
    }
}
