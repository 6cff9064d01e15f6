//! Caps that are felt on a booted machine with two CPUs, and with a kernel that shares disks out and takes memory
//! back.

berth_tests::cases! { Qemu:
    allowed_cpus_pins_a_user
    every_cap_is_in_its_file
    after_its_session_an_application_has_all_cpus_again
    io_weights_share_a_disk_between_users
    io_weights_share_a_disk_of_bfqs_between_users
    an_io_weight_is_in_the_file_of_each_scheduler
    memory_min_and_low_keep_a_users_memory_from_reclaim
}
