//! Rootless podman in berths: where it runs containers, and what it says where it cannot.

use std::fs;
use std::path::Path;

use berth_tests::{Machine, Policy, Process, eventually};

const PID: &str = "pid = true, ipc = true, mount = true";

/// With a folder of its own for what names PIDs of this berth. The image is two programs and their libraries.
const PODMAN: &str = "
    export XDG_RUNTIME_DIR=$(mktemp -d)
    podman() { command podman --cgroup-manager=cgroupfs --events-backend=file --storage-driver=vfs \"$@\"; }
    run() { podman run --quiet --rm --cgroups=disabled --network=none localhost/box \"$@\"; }
    mkdir -p box && cp --parents -L /usr/bin/id /usr/bin/sleep $(ldd /usr/bin/id /usr/bin/sleep | grep -o '/[^ :)]* (' | tr -d '(') box
    tar --owner=0 --group=0 -C box -cf box.tar . && podman import --quiet box.tar localhost/box >/dev/null || exit
";

fn policy(namespaces: &str, privileges: &str) -> Policy {
    Policy {
        profile: format!("logout = {{ grace = \"1s\" }}\nprivileges = {{ {privileges} }}"),
        ..Policy::with_namespaces(namespaces)
    }
}

/// A machine with cgroup v2 alone, as crun wants it, and with alice's range of UIDs.
fn prepare(machine: &Machine) {
    fs::create_dir_all("/etc/containers").unwrap();
    let trust = "{\"default\": [{\"type\": \"insecureAcceptAnything\"}]}";
    fs::write("/etc/containers/policy.json", trust).unwrap();
    for file in ["/etc/subuid", "/etc/subgid"] {
        fs::write(file, "alice:600000:65536\n").unwrap();
    }
    machine
        .host(
            "test \"$(stat -fc %T /sys/fs/cgroup)\" = cgroup2fs || {
                mount --make-rprivate /sys/fs/cgroup
                umount --lazy --recursive /sys/fs/cgroup
                mount -t cgroup2 none /sys/fs/cgroup
            }",
        )
        .ok();
}

#[test]
fn podman_runs_a_container_in_a_berth_without_a_user_namespace_and_it_ends_with_the_login() {
    Machine::run(|machine| {
        prepare(machine);
        machine.policy(&policy(PID, ""));
        let login = machine.ssh_background("alice", &format!("{PODMAN} run /usr/bin/sleep 1234"));
        let inside = || {
            let mut all = Process::running("/usr/bin/sleep 1234").into_iter();
            all.find(|one| one.name() == "sleep")
        };
        assert!(eventually(|| inside().is_some()), "no container");
        let process = inside().unwrap();
        let uid = machine.uid("alice");
        assert_eq!(process.uid(), Some(uid), "root of the container");
        let cgroup = process.cgroup().unwrap();
        let of_user = format!("/berth/user-{uid}/");
        assert!(cgroup.contains(&of_user), "{cgroup}");
        login.end();
        let of_user = format!("/sys/fs/cgroup/berth/user-{uid}");
        let is_left = || process.exists() || Path::new(&of_user).exists();
        assert!(eventually(|| !is_left()), "it is left");
    });
}

#[test]
fn in_a_user_namespace_podman_has_one_uid_and_says_so_to_who_has_more() {
    Machine::run(|machine| {
        prepare(machine);
        let berth = format!("user = \"identity\", {PID}");
        machine.policy(&policy(&berth, "nested_userns = true"));
        let said = machine.ssh("alice", PODMAN).refused().stderr;
        let words = "newuidmap: write to uid_map failed: Operation not permitted";
        assert!(said.contains(words), "{said}");
        // bob has no range.
        let said = machine.ssh("bob", &format!("{PODMAN} run /usr/bin/id -u"));
        assert_eq!(said.ok(), "0");
        let owner = "find /home/bob/.local -path '*/usr/bin/sleep' -printf '%u'";
        assert_eq!(machine.host(owner).ok(), "bob");
    });
}

#[test]
fn where_no_user_namespace_may_be_made_podman_says_so() {
    Machine::run(|machine| {
        prepare(machine);
        for (namespaces, privileges, words) in [
            (
                &*format!("user = \"identity\", {PID}"),
                "",
                "user namespaces are not enabled in /proc/sys/user/max_user_namespaces",
            ),
            (
                PID,
                "nested_userns = false",
                "cannot clone: Operation not permitted",
            ),
        ] {
            machine.policy(&policy(namespaces, privileges));
            let said = machine.ssh("alice", PODMAN).refused().stderr;
            assert!(said.contains(words), "{said}");
            let stored = machine.host("find /home/alice/.local -path '*/usr/bin/sleep'");
            assert_eq!(stored.stdout, "");
        }
    });
}
