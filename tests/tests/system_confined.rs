//! Logins under AppArmor and SELinux. Each needs a guest with an image of its own; so these run when they are asked for:
//! `tests/run --test system_confined -- --ignored`.

use berth_tests::guest::{Boot, Guest, Security};

/// Boots, runs all cases, and fails unless they are these and passed.
#[track_caller]
fn assert_passed(security: Security, cases: &[&str]) {
    let boot = Boot::run(Guest::Confined(security));
    cases.iter().for_each(|case| boot.assert_passed(case));
    boot.assert_cases(cases);
}

#[test]
#[ignore = "needs a guest with AppArmor's packages"]
fn logins_under_apparmor() {
    assert_passed(
        Security::AppArmor,
        &[
            "a_confined_sshd_gets_its_berth_by_the_rules_of_the_documents",
            "a_hat_before_the_berth_stays_and_one_after_it_does_not",
            "a_program_in_a_berth_has_its_profile",
            "a_scrubbed_environment_is_refused_and_the_log_says_so",
            "an_sshd_that_is_only_complained_of_gets_its_berth",
        ],
    );
}

#[test]
#[ignore = "needs a guest with SELinux's packages"]
fn logins_under_selinux() {
    assert_passed(
        Security::SeLinux,
        &[
            "with_the_policy_module_enforcing_logins_have_their_berths",
            "without_the_policy_module_users_are_refused_and_root_is_not",
        ],
    );
}
