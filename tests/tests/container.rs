//! On a machine that is itself a container: /proc is masked, the cgroup tree is a part of another.

use berth_tests::{Door, Machine};

#[test]
fn where_proc_is_masked_a_session_still_sees_its_own_processes_only() {
    Machine::run(|machine| {
        machine.host("mount --bind /dev/null /proc/kcore && mount --bind /dev/null /proc/keys && mount -t tmpfs -o ro none /proc/scsi 2>/dev/null || mount -t tmpfs -o ro none /proc/fs; mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys").ok();
        assert!(
            !machine
                .host("echo 1 >/proc/sys/kernel/randomize_va_space")
                .success(),
            "masked"
        );
        for door in Door::ALL {
            let names = machine.through(door, "alice", "cat /proc/[0-9]*/comm");
            assert!(
                names.lines().any(|name| name == "berth-init"),
                "{door:?}: {names}"
            );
            assert!(!names.contains("login-machine"), "{door:?}: {names}");
        }
    });
}

#[test]
fn where_root_is_private_a_session_is_as_anywhere() {
    Machine::run(|machine| {
        machine.host("mount --make-rprivate /").ok();
        let before = machine.snapshot();
        assert_eq!(
            machine.su("alice", "cat /proc/1/comm; ls -A /tmp").ok(),
            "berth-init"
        );
        machine.assert_nothing_left(&before);
    });
}
