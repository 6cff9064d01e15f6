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
    fn cpus_are_pinned_and_pressure_is_told_under_systemd() {
        let boot = Boot::run(Guest::SystemdOnQemu);
        boot.assert_passed("allowed_cpus_pins_a_user_under_systemd");
        boot.assert_passed("the_pressure_of_a_user_is_told");
    }
}

macro_rules! cases {
    ($suite:ident $boot:literal unless $cannot:meta: $($case:ident)*) => {
        mod $suite {
            $(
                #[test]
                #[cfg_attr($cannot, ignore = "what is built here needs a newer C library than it has")]
                fn $case() {
                    super::BOOTS[$boot].assert_passed(stringify!($case));
                }
            )*

            #[test]
            #[cfg_attr($cannot, ignore = "what is built here needs a newer C library than it has")]
            fn every_case_is_listed_here() {
                let boot = &super::BOOTS[$boot];
                let mut listed = [$(stringify!($case)),*];
                listed.sort_unstable();
                assert_eq!(boot.cases(), listed, "its console:\n{}", boot.console());
            }
        }
    };
    ($($case:ident)*) => {
        cases! { debian_12 0 unless built_past_debian_12: $($case)* }
        cases! { debian_13 1 unless any(): $($case)* }
    };
}

cases! {
    apply_brings_the_caps_of_sessions_under_systemd
    a_login_by_ssh_is_in_a_scope_of_its_user
    a_berth_is_in_the_scope_that_logind_made
    who_and_logind_show_a_login_in_a_berth_and_its_end
    the_audit_log_has_every_record_of_a_login_under_systemd
    past_memory_max_a_user_is_killed_under_systemd_and_no_other
    two_logins_of_a_user_share_one_cap
    caps_of_cpu_tasks_and_disks_are_felt
    a_cap_of_a_session_is_on_its_scope
    a_missing_controller_is_told_from_one_in_force
    a_user_at_their_tasks_gets_in_to_clean_up
    everyone_together_is_capped_while_anybody_is_in
    an_account_phase_alone_leaves_nothing
    caps_outlive_a_reload_a_reexec_and_logind
    a_lingering_user_gets_back_what_the_machine_gave
    without_pam_systemd_a_login_is_in_a_scope_of_berths
    past_logins_of_logind_nobody_is_uncapped
    su_in_a_session_is_in_its_users_slice
    a_login_without_a_network_is_one_to_logind_and_ends_like_any_other
    the_users_service_manager_is_under_the_caps
    a_killed_part_of_a_capped_login_leaves_nothing_under_systemd
    a_helper_killed_while_it_opens_leaves_nothing_under_systemd
    what_a_login_leaves_running_ends_with_it
    keepers_have_a_place_though_nobody_started_it
    a_systemd_that_does_not_answer_costs_a_moment
    without_its_own_socket_systemd_is_asked_over_the_bus
    a_service_manager_can_be_asked_from_a_berth_unless_it_is_hidden
    a_hidden_manager_starts_what_its_user_has_enabled_outside
    a_hidden_managers_folder_is_the_berths_own_and_usable
    a_manager_that_starts_after_a_login_is_hidden_from_it_too
    an_isolated_manager_runs_in_its_users_berth
    a_lingering_manager_makes_the_berth_that_logins_join
    an_isolated_manager_has_no_network_where_its_berth_has_none
    a_manager_that_berth_does_not_start_is_hidden_and_said_to_be_outside
    a_drop_in_wins_or_loses_as_the_commands_say
    a_users_record_loses_against_the_policy
    with_the_disk_full_a_private_tmp_on_it_is_what_fails
    with_no_memory_for_the_helper_on_error_decides
    with_namespaces_forbidden_on_error_decides_under_systemd
    with_no_bus_and_no_logind_everybody_gets_what_the_policy_says
    a_home_that_is_mounted_when_it_is_looked_into_appears_in_the_berth
    tickets_in_a_file_are_in_the_berth_unless_a_private_tmp_covers_it
    tickets_in_a_keyring_stay_behind_where_there_is_a_user_namespace
    tickets_in_kcm_are_the_same_in_each_berth
    mail_of_cron_needs_a_profile_without_no_new_privs
    an_admin_gets_all_the_way_out_by_sudo
    a_login_at_a_console_is_in_its_berth
    runuser_is_under_the_caps_and_joined_where_a_rule_names_it
    a_unit_with_a_pam_name_is_under_its_users_caps
    a_frozen_user_stands_and_goes_on_under_systemd
    a_frozen_pool_stands_and_can_be_killed_under_systemd
    two_users_of_a_pool_are_held_together_under_systemd
    all_logins_of_a_pools_user_are_in_it_and_what_is_killed_leaves_nothing
    who_is_logged_in_stays_out_of_a_new_pool
    a_pools_tasks_and_cpu_are_shared_and_commands_know_it
    the_package_touches_nothing_of_pam
    the_package_stays_while_pam_needs_it
    berth_pam_puts_the_package_in_force_and_takes_it_out
    an_upgrade_and_a_removal_disturb_nobody_who_is_logged_in
    a_record_has_what_its_session_used_under_systemd
    the_units_for_metrics_have_enough_privilege
    apply_has_systemd_change_caps
    a_login_leaves_memory_in_use_under_systemd
    a_timer_ends_an_exception_under_systemd
    who_burns_is_slowed_under_systemd
}
