//! CPU pinning that is felt, on a booted machine with two CPUs. One boot runs all cases.

use std::sync::LazyLock;

use berth_tests::guest::{Boot, Guest};

static BOOT: LazyLock<Boot> = LazyLock::new(|| Boot::run(Guest::Qemu));

#[test]
fn allowed_cpus_pins_a_user() {
    BOOT.assert_passed("allowed_cpus_pins_a_user");
}

#[test]
fn after_its_session_an_application_has_all_cpus_again() {
    BOOT.assert_passed("after_its_session_an_application_has_all_cpus_again");
}
