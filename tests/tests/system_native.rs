//! Logins on machines that systemd runs, as containers on this machine's own kernel: what needs systemd and no
//! controllers, ten times as quick as on a booted machine.

use std::sync::LazyLock;

use berth_tests::guest::{Boot, Guest, Suite};

/// One after the other, as other tests run beside them.
static BOOTS: LazyLock<[Boot; 2]> = LazyLock::new(|| {
    [Suite::Bookworm, Suite::Trixie].map(|suite| Boot::run(Guest::Container(suite)))
});

berth_tests::cases_of_debians! {
    a_login_by_ssh_is_in_a_scope_of_its_user
    a_berth_is_in_the_scope_that_logind_made
    who_and_logind_show_a_login_in_a_berth_and_its_end
    what_an_account_phase_leaves_is_taken_back_by_the_worker_alone
    what_an_account_phase_leaves_is_taken_back_although_all_of_berth_is_killed
    what_an_account_phase_leaves_is_taken_back_from_among_the_keepers_where_the_worker_is_killed
    an_account_phase_leaves_no_process_although_its_users_lock_is_never_let_go
    caps_go_with_a_users_last_session_also_where_that_has_no_cgroup
    an_account_phase_alone_leaves_nothing
    a_killed_part_of_a_capped_login_leaves_nothing_under_systemd
    a_helper_killed_while_it_opens_leaves_nothing_under_systemd
    what_a_login_leaves_running_ends_with_it
    keepers_have_a_place_though_nobody_started_it
    a_systemd_that_does_not_answer_costs_a_moment
    all_logins_of_a_pools_user_are_in_it_and_what_is_killed_leaves_nothing
    who_is_logged_in_stays_out_of_a_new_pool
    a_manager_that_restarts_beside_its_users_pool_is_said_to_be_in_none
    a_login_without_a_network_is_one_to_logind_and_ends_like_any_other
    what_goes_on_beside_an_application_that_stays_is_ended
    a_scope_that_its_user_calls_as_logind_does_is_no_session
    a_systemd_that_reloads_for_some_seconds_keeps_nobody_out
    quick_logins_by_ssh_are_all_in_their_users_slice_and_leave_no_unit
    a_service_manager_can_be_asked_from_a_berth_unless_it_is_hidden
    a_hidden_manager_starts_what_its_user_has_enabled_outside
    a_unit_of_the_users_takes_a_login_out_of_its_session_unless_the_bus_forbids_it
    a_scope_of_the_users_own_manager_needs_what_the_bus_forbids_then
    the_cgroups_of_a_manager_take_no_login_out_of_its_session
    a_users_journal_can_be_read_from_a_berth
    a_hidden_managers_folder_is_the_berths_own_and_usable
    a_manager_that_starts_after_a_login_is_hidden_from_it_too
    a_lingering_manager_makes_the_berth_that_logins_join
    an_isolated_manager_has_no_network_where_its_berth_has_none
    a_manager_that_berth_does_not_start_is_hidden_and_said_to_be_outside
    with_no_memory_for_the_helper_on_error_decides
    tickets_in_a_file_are_in_the_berth_unless_a_private_tmp_covers_it
    tickets_in_a_keyring_stay_behind_where_there_is_a_user_namespace
    tickets_in_kcm_are_the_same_in_each_berth
    mail_of_cron_needs_a_profile_without_no_new_privs
    a_login_at_a_console_is_in_its_berth
    runuser_is_in_its_users_slice_and_joined_where_a_rule_names_it
    a_unit_with_a_pam_name_is_in_its_users_slice
    jobs_and_su_in_a_session_are_in_berths_in_scopes_of_berths
    the_package_touches_nothing_of_pam
    the_package_stays_while_pam_needs_it
    berth_pam_puts_the_package_in_force_and_takes_it_out
    after_an_upgrade_the_policy_is_loaded_as_before
    a_purge_takes_nothing_from_who_is_logged_in
    a_removal_takes_the_caps_back_of_what_goes_on_without_a_session
    who_connects_again_and_again_ends_nobodys_figures
}
