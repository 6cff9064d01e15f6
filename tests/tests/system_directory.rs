//! Logins of users whom a directory has, by SSSD: containers as those of `system_native`.

use std::sync::LazyLock;

use berth_tests::guest::{Boot, Guest, Suite};

/// One after the other, as other tests run beside them.
static BOOTS: LazyLock<[Boot; 2]> = LazyLock::new(|| {
    [Suite::Bookworm, Suite::Trixie].map(|suite| Boot::run(Guest::Directory(suite)))
});

berth_tests::cases_of_debians! {
    whom_only_the_directory_knows_gets_what_the_rules_for_groups_and_names_say
    what_changes_in_the_directory_counts_from_the_next_login_on
    two_accounts_of_one_uid_are_under_the_same_caps
    a_name_is_what_the_directory_makes_of_it
    while_sssd_is_stopped_nobody_passes_by_a_rule_for_groups
    while_the_server_hangs_who_is_known_logs_in_and_root_does
    while_sssd_hangs_on_error_decides_and_commands_end
}
