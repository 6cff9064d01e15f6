//! Logins on booted machines that systemd runs. One boot of each Debian runs all cases; the two boot side by
//! side, because user-mode Linux has one CPU each.

use std::sync::LazyLock;

use berth_tests::guest::{Boot, Guest, Suite};

static BOOTS: LazyLock<[Boot; 2]> = LazyLock::new(|| {
    std::thread::scope(|scope| {
        [Suite::Bookworm, Suite::Trixie]
            .map(|suite| scope.spawn(move || Boot::run(Guest::Systemd(suite))))
            .map(|boot| boot.join().expect("a boot"))
    })
});

/// What user-mode Linux lacks. One test and no more, and first by its name: so it boots beside the two others.
mod a_second_cpu {
    use super::{Boot, Guest};

    #[test]
    fn cpus_are_pinned_every_cap_is_set_and_pressure_is_told_under_systemd() {
        let boot = Boot::run(Guest::SystemdOnQemu);
        let cases = [
            "allowed_cpus_pins_a_user_under_systemd",
            "every_cap_is_in_its_file_under_systemd",
            "the_pressure_of_a_user_is_told",
        ];
        cases.iter().for_each(|case| boot.assert_passed(case));
        boot.assert_cases(&cases);
    }
}

berth_tests::cases_of_debians! {
    apply_brings_the_caps_of_sessions_under_systemd
    the_audit_log_has_every_record_of_a_login_under_systemd
    past_memory_max_a_user_is_killed_under_systemd_and_no_other
    two_logins_of_a_user_share_one_cap
    caps_of_cpu_tasks_and_disks_are_felt
    every_cap_is_in_its_file_under_systemd
    a_cap_of_a_session_is_on_its_scope
    a_missing_controller_is_told_from_one_in_force
    a_user_at_their_tasks_gets_in_to_clean_up
    everyone_together_is_capped_while_anybody_is_in
    caps_outlive_a_reload_a_reexec_and_logind
    a_manager_that_outlives_its_users_last_login_keeps_the_caps
    without_pam_systemd_a_login_is_in_a_scope_of_berths
    past_logins_of_logind_nobody_is_uncapped
    su_in_a_session_is_in_its_users_slice
    the_users_service_manager_is_under_the_caps
    without_its_own_socket_systemd_is_asked_over_the_bus
    an_isolated_manager_runs_in_its_users_berth
    an_isolated_manager_is_frozen_with_its_user_and_goes_on
    a_drop_in_wins_or_loses_as_the_commands_say
    a_users_record_loses_against_the_policy
    with_the_disk_full_a_private_tmp_is_in_memory
    with_namespaces_forbidden_on_error_decides_under_systemd
    with_no_bus_and_no_logind_everybody_gets_what_the_policy_says
    a_home_that_is_mounted_when_it_is_looked_into_appears_in_the_berth
    homes_that_root_may_not_look_into_are_used_through_every_door
    an_admin_gets_all_the_way_out_by_sudo
    a_unit_with_a_pam_name_keeps_its_oom_score_unless_no_cap_would_hold_under_it
    a_frozen_user_stands_and_goes_on_under_systemd
    a_frozen_pool_stands_and_can_be_killed_under_systemd
    what_waits_for_a_disk_is_named_and_thawed_under_systemd
    a_session_goes_on_when_its_frozen_user_does_under_systemd
    two_users_of_a_pool_are_held_together_under_systemd
    a_pools_tasks_and_cpu_are_shared_and_commands_know_it
    an_upgrade_and_a_removal_disturb_nobody_who_is_logged_in
    a_record_has_what_its_session_used_under_systemd
    the_units_for_metrics_have_enough_privilege
    apply_has_systemd_change_caps
    a_login_leaves_memory_in_use_under_systemd
    a_timer_ends_an_exception_under_systemd
    who_burns_is_slowed_under_systemd
    a_reboot_ends_sessions_and_leaves_what_an_admin_has_set
}
