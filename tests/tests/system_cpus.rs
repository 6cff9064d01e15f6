//! CPU pinning that is felt, on a booted machine with two CPUs.

use berth_tests::guest::{Boot, Guest};

#[test]
fn allowed_cpus_pins_a_user() {
    Boot::run(Guest::Qemu).assert_passed("allowed_cpus_pins_a_user");
}
