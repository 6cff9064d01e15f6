//! What a user tries who wants out of a berth of the example policies.

use berth_tests::{Machine, Policy};

/// The profiles of the example policies that differ in their namespaces and privileges.
const PROFILES: [(&str, &str); 4] = [
    (include_str!("../../packaging/examples/hpc.toml"), "login"),
    (include_str!("../../packaging/examples/tilde.toml"), "paid"),
    (include_str!("../../packaging/examples/tilde.toml"), "free"),
    (include_str!("../../packaging/examples/lab.toml"), "base"),
];

/// Whether the same works for a user without a berth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outside {
    Works,
    Fails,
}
use Outside::{Fails, Works};

/// Each ends with success if it has led out. In `reach` there is a test for each thing of the host's.
const WAYS: &[(Outside, &str)] = &[
    (Works, "reach_tmp /tmp"),
    (Works, "reach_process /proc"),
    (Works, "kill -0 $(cat /home/alice/outside)"),
    (
        Works,
        "strace -o /dev/null -p $(cat /home/alice/outside) & sleep 0.3; kill $!",
    ),
    // The init, by everything that leads from one process into another.
    (Fails, "kill -KILL 1"),
    (Fails, "kill -STOP 1"),
    (Fails, "system_call ptrace 16 1 0 0"),
    (Fails, "system_call ptrace 16902 1 0 0"),
    (Fails, "into_init pidfd_getfd 0"),
    (Fails, "into_init pidfd_getfd 3"),
    (Fails, "into_init setns 0x10000000"),
    (Fails, "into_init setns 0x20000"),
    (Fails, "into_init setns 0x20000000"),
    (Fails, "ls /proc/1/root/"),
    (Fails, "ls /proc/1/fd/"),
    (Fails, "cat /proc/1/environ"),
    (Fails, "cat /proc/1/maps"),
    (Fails, "cat /proc/1/mem"),
    (Fails, "readlink /proc/1/ns/pid"),
    (Fails, "unshare -Ur kill -KILL 1"),
    (Fails, "unshare -Ur ls /proc/1/root/"),
    (Fails, "unshare -Ur nsenter -t 1 -m true"),
    // Mounts, as they are and in a user namespace of one's own, where the policy allows one.
    (Fails, "umount /tmp"),
    (Fails, "umount -l /proc"),
    (Fails, "mount --bind / /mnt"),
    (Fails, "mount --move /tmp /mnt"),
    (Fails, "mount -o remount,suid /tmp"),
    (Fails, "mount -t proc proc /mnt"),
    (Fails, "system_call open_tree -100 /tmp 1"),
    (Fails, "system_call fsopen tmpfs 0"),
    (Fails, "system_call pivot_root /mnt /mnt"),
    (Fails, "system_call chroot /home"),
    (Fails, "unshare -m true"),
    (Fails, "unshare -p true"),
    (Fails, "unshare -C true"),
    (
        Works,
        "unshare -Urm sh -c '. /berth/reach; umount /tmp; reach_tmp /tmp'",
    ),
    (
        Works,
        "unshare -Urm sh -c '. /berth/reach; umount -l /tmp; reach_tmp /tmp'",
    ),
    (
        Works,
        "unshare -Urm sh -c '. /berth/reach; mount --move /tmp /mnt; reach_tmp /tmp'",
    ),
    (
        Fails,
        "unshare -Urm sh -c '. /berth/reach; mount --bind / /mnt && reach_tmp /mnt/tmp'",
    ),
    (
        Works,
        "unshare -Urm sh -c '. /berth/reach; mount --rbind / /mnt; umount -l /mnt/tmp; reach_tmp /mnt/tmp'",
    ),
    (
        Fails,
        "unshare -Urm sh -c '. /berth/reach; mount -t overlay -o lowerdir=/:/usr none /mnt && reach_tmp /mnt/tmp'",
    ),
    (
        Works,
        "unshare -Urm sh -c '. /berth/reach; umount -l /proc; reach_process /proc'",
    ),
    (
        Fails,
        "unshare -Urm sh -c '. /berth/reach; mount -t proc none /mnt && reach_process /mnt'",
    ),
    (
        Fails,
        "unshare -Urmpf sh -c '. /berth/reach; mount -t proc none /mnt && reach_process /mnt'",
    ),
    (Fails, "unshare -Urm mount -o remount,bind,suid,dev /tmp"),
    // The caps.
    (Fails, "echo 0 >$TREE/cgroup.procs"),
    (Fails, "echo 0 >$TREE/berth/cgroup.procs"),
    (Fails, "mkdir $TREE/berth/mine"),
    (
        Fails,
        "echo max >$TREE$(sed -n s/^0:://p /proc/self/cgroup)/pids.max",
    ),
    (
        Fails,
        "mkdir $TREE$(sed -n s/^0:://p /proc/self/cgroup)/mine",
    ),
    (
        Fails,
        "unshare -UrmC sh -c 'mount -t cgroup2 none /mnt && echo 0 >/mnt/cgroup.procs'",
    ),
    (
        Fails,
        "unshare -UrmC sh -c 'mount -t cgroup2 none /mnt && mkdir /mnt/mine'",
    ),
    (Fails, "echo -1000 >/proc/self/oom_score_adj"),
    // What Berth writes.
    (Fails, "cat /run/berth/sessions/*"),
    (Fails, "ls /run/berth/users/*/"),
    (Fails, "rm -r /run/berth"),
    (Fails, "flock -n /run/berth/users/$(id -u) true"),
];

/// The numbers are those of all architectures that have the calls, but the first four are x86-64's.
const REACH: &str = r#"
number() {
    case $1 in ptrace) echo 101;; pivot_root) echo 155;; chroot) echo 161;; setns) echo 308;;
    open_tree) echo 428;; fsopen) echo 430;; pidfd_getfd) echo 438;; esac
}
system_call() {
    call=$(number $1); shift
    perl -e 'my @a = map { /^-?\d+$/ ? 0 + $_ : $_ } @ARGV; exit(syscall(shift @a, @a) < 0)' -- $call "$@"
}
into_init() {
    perl -e 'my $init = syscall(434, 1, 0); exit(syscall($ARGV[0] + 0, $init, oct $ARGV[1], 0) < 0)' $(number $1) $2
}
reach_tmp() { test -e $1/of-the-host; }
reach_process() { cat $1/[0-9]*/cmdline 2>/dev/null | tr '\0' ' ' | grep -q 'sleep 471[1]'; }
"#;

#[test]
fn no_way_out_of_the_examples_berths_leads_out() {
    Machine::run(|machine| {
        std::fs::write("/tmp/of-the-host", "").unwrap();
        std::fs::write("/berth/reach", REACH).unwrap();
        let uid = machine.uid("alice");
        // One of the user's own processes, of before Berth or of a service that it does not see.
        let start = format!(
            "setpriv --reuid={uid} --regid={uid} --clear-groups sleep 4711 >/dev/null 2>&1 & echo $! >/home/alice/outside"
        );
        machine.host(&start).ok();
        let tree = machine.cgroups().root().display().to_string();
        let mut script = format!(". /berth/reach; TREE={tree}\n");
        for (number, (_, way)) in WAYS.iter().enumerate() {
            // Standard output is for the numbers of those that lead out.
            script += &format!("({way}) >/dev/null 2>&1 </dev/null && echo {number}\n");
        }
        script += "echo tried";
        std::fs::write("/berth/ways", script).unwrap();
        let mut led_out = |policy: &str| {
            machine.policy_text(policy);
            let said = machine.ssh("alice", "sh /berth/ways").ok();
            let (numbers, end) = said.rsplit_once('\n').unwrap_or(("", &said));
            assert_eq!(end, "tried");
            let number = |line: &str| line.parse::<usize>().expect("a number");
            numbers.lines().map(number).collect::<Vec<_>>()
        };
        // What these find they would find in a berth that does not hold.
        let outside = led_out("version = 1\n[[rule]]\nname = \"none\"\naction = \"exempt\"\n");
        for (number, (works, way)) in WAYS.iter().enumerate() {
            if *works == Works {
                assert!(outside.contains(&number), "without a berth: {way}");
            }
        }
        for (example, profile) in PROFILES {
            let found = led_out(&Policy::of_example(example, profile).text());
            let found: Vec<&str> = found.iter().map(|number| WAYS[*number].1).collect();
            assert!(found.is_empty(), "{profile}: {found:#?}");
        }
    });
}
