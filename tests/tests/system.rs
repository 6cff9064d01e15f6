//! Caps that are felt, on a booted machine without systemd. One boot runs all cases.

berth_tests::cases! { UserModeLinux:
    past_memory_max_a_user_is_killed_and_another_is_not
    memory_max_holds_through_every_door
    memory_max_holds_under_a_daemon_that_cannot_be_killed
    an_application_that_outlives_a_failed_login_has_its_oom_protection_back
    ten_small_hogs_are_held_together
    the_keeper_outlives_the_users_oom_and_cleans_up
    past_memory_high_a_user_is_slowed_and_not_killed
    memory_swap_max_is_what_a_user_may_swap
    memory_min_and_low_keep_a_users_memory_from_reclaim
    a_session_has_a_memory_max_of_its_own
    a_fork_bomb_stops_at_tasks_max_and_everybody_can_log_in
    a_fork_bomb_is_over_when_its_login_is
    a_quota_of_half_a_cpu_is_half_a_cpu
    two_logins_share_one_quota
    cpu_weights_share_a_cpu_between_users
    an_idle_user_gets_what_others_leave_of_a_cpu
    io_max_slows_a_write_of_the_users_only
    a_cap_of_a_session_is_in_its_own_cgroup
    every_cap_is_in_its_file
    a_missing_controller_refuses_or_warns_as_the_policy_says
    a_logout_through_any_door_leaves_nothing
    a_killed_part_of_a_capped_login_leaves_nothing
    in_a_container_the_root_is_cleared_and_caps_hold
    a_limit_above_the_applications_own_can_be_had
    the_audit_log_has_every_record_of_a_login
    a_program_in_the_applications_place_stays_under_its_caps
    a_tiny_stack_of_the_user_who_runs_su_is_not_the_helpers
    no_limit_of_the_user_who_runs_su_leads_past_the_berth
    two_users_of_a_pool_are_held_together
    two_users_of_a_pool_share_its_quota
    a_pool_at_its_tasks_max_refuses_tasks
    everyone_is_held_together_and_the_keepers_are_not
}
