//! Caps that are felt, on a booted machine without systemd. One boot runs all cases.

use std::sync::LazyLock;

use berth_tests::guest::{Boot, Guest};

static BOOT: LazyLock<Boot> = LazyLock::new(|| Boot::run(Guest::UserModeLinux));

macro_rules! cases {
    ($($case:ident)*) => {
        $(
            #[test]
            fn $case() {
                BOOT.assert_passed(stringify!($case));
            }
        )*

        #[test]
        fn every_case_is_listed_here() {
            let mut listed = [$(stringify!($case)),*];
            listed.sort_unstable();
            assert_eq!(BOOT.cases(), listed, "its console:\n{}", BOOT.console());
        }
    };
}

cases! {
    past_memory_max_a_user_is_killed_and_another_is_not
    memory_max_holds_through_every_door
    memory_max_holds_under_a_daemon_that_cannot_be_killed
    ten_small_hogs_are_held_together
    the_keeper_outlives_the_users_oom_and_cleans_up
    a_fork_bomb_stops_at_tasks_max_and_everybody_can_log_in
    a_fork_bomb_is_over_when_its_login_is
    a_quota_of_half_a_cpu_is_half_a_cpu
    two_logins_share_one_quota
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
}
