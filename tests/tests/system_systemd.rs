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
    a_login_by_ssh_is_in_a_scope_of_its_user
    a_berth_is_in_the_scope_that_logind_made
    past_memory_max_a_user_is_killed_and_another_is_not
    the_package_touches_nothing_of_pam
    the_package_stays_while_pam_needs_it
    berth_pam_puts_the_package_in_force_and_takes_it_out
}
