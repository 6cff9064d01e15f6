//! In a rootless container: its root is an ordinary user of the host's, and it has 65,536 ids.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use berth_tests::{Machine, Output, Policy, Process, eventually};

/// The host's id of the container's root.
const FIRST: u32 = 100_000;
const MAP: &str = "0 100000 65536\n";

/// What a cgroup's new owner gets, as a container manager delegates it.
const DELEGATED: [&str; 3] = ["cgroup.procs", "cgroup.subtree_control", "cgroup.threads"];

fn give(path: &Path) {
    std::os::unix::fs::chown(path, Some(FIRST), Some(FIRST)).unwrap();
}

/// Gives the machine's files to the container's ids, as its image's are.
fn give_files(machine: &Machine) {
    let all = "/etc /var /run /home /berth /root /tmp";
    for id in [0, machine.uid("alice"), machine.uid("bob")] {
        let to = FIRST + id;
        machine
            .host(&format!(
                "chown -hR --from={id} {to} {all} && chown -hR --from=:{id} :{to} {all}"
            ))
            .ok();
    }
}

/// A cgroup of the container's own, or none.
struct Delegated(PathBuf);

impl Delegated {
    fn make(machine: &Machine) -> Delegated {
        let path = machine
            .cgroups()
            .root()
            .join(format!("berth-test-{}", machine.uid("alice")));
        std::fs::create_dir_all(&path).unwrap();
        give(&path);
        DELEGATED.iter().for_each(|file| give(&path.join(file)));
        Delegated(path)
    }
}

impl Drop for Delegated {
    fn drop(&mut self) {
        // Its processes have ended with the container, but their cgroups may be in the middle of it.
        let _ = Command::new("find")
            .arg(&self.0)
            .args(["-depth", "-type", "d", "-exec", "rmdir", "{}", ";"])
            .status();
    }
}

/// Runs a script as the container's root.
fn inside(cgroup: Option<&Delegated>, script: &str) -> Output {
    let script_file = "/srv/inside";
    std::fs::write(script_file, format!("mount -t proc proc /proc\n{script}\n")).unwrap();
    let mut child = Command::new("sh")
        .args(["-c", "read go; exec setpriv --reuid $0 --regid $0 --clear-groups unshare -UmpiC --fork --kill-child sh -c \"read go; exec sh -e $1\""])
        .args([&FIRST.to_string(), script_file])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let process = Process(child.id() as i32);
    if let Some(Delegated(path)) = cgroup {
        std::fs::write(path.join("cgroup.procs"), child.id().to_string()).unwrap();
    }
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"go\n").unwrap();
    let host = Process(1).namespace("user");
    assert!(
        eventually(|| process.namespace("user") != host),
        "no user namespace"
    );
    for map in ["gid_map", "uid_map"] {
        std::fs::write(format!("/proc/{}/{map}", child.id()), MAP).unwrap();
    }
    stdin.write_all(b"go\n").unwrap();
    child.wait_with_output().unwrap().into()
}

fn owners_from(machine: &Machine, base: u32, profile: &str) {
    machine.policy(&Policy {
        defaults: format!("owner_uid_base = {base}"),
        ..Policy::with_profile(profile)
    });
}

/// Mounts the container's own part of the cgroup tree where the host's is.
fn mount_cgroups(machine: &Machine) -> String {
    let root = machine.cgroups().root();
    let above = root.parent().unwrap().display();
    let root = root.display();
    format!("mount -t tmpfs none {above}; mkdir {root}; mount -t cgroup2 none {root}")
}

const LOOK: &str = "su alice -c 'cat /proc/1/comm; id -u; xargs </proc/self/uid_map; sed -n s/^0:://p /proc/self/cgroup'";

#[test]
fn a_login_works_where_the_owners_fit() {
    Machine::run(|machine| {
        let uid = machine.uid("alice");
        let cgroup = Delegated::make(machine);
        owners_from(machine, 32_768, "logout = { grace = \"1s\" }");
        give_files(machine);
        let mount = mount_cgroups(machine);
        // The users' cgroups and Berth's own processes end a moment after the login; else this waits for ever.
        let root = machine.cgroups().root().display();
        let left = format!("find {root} -name 'user-*'; cat {root}/*keepers/cgroup.procs");
        let gone = format!("while [ -n \"$({left})\" ]; do sleep 0.1; done");
        let said = inside(Some(&cgroup), &format!("{mount}; {LOOK}; {gone}")).ok();
        let lines: Vec<&str> = said.lines().collect();
        let uid = uid.to_string();
        assert_eq!(lines[..3], ["berth-init", &uid, "0 0 32768"], "{said}");
        let session = format!("/berth/user-{uid}/sessions/1");
        assert_eq!(lines[3..], [session], "{said}");
    });
}

#[test]
fn owners_that_do_not_fit_are_refused_and_the_setting_is_named() {
    Machine::run(|machine| {
        let cgroup = Delegated::make(machine);
        give_files(machine);
        let mount = mount_cgroups(machine);
        inside(Some(&cgroup), &format!("{mount}; {LOOK}")).refused();
        let line = machine.logged("owner_uid_base");
        let owner = 2_000_000_000 + machine.uid("alice");
        assert!(line.contains(&owner.to_string()), "{line}");
        assert!(line.contains("this container has no such id"), "{line}");
        let root = inside(Some(&cgroup), &format!("{mount}; su root -c 'echo in'"));
        assert_eq!(root.ok(), "in");
    });
}

#[test]
fn without_a_cgroup_of_the_containers_own_a_berth_that_keeps_the_logins_works() {
    Machine::run(|machine| {
        let logout = "logout = { grace = \"1s\" }";
        owners_from(machine, 32_768, logout);
        give_files(machine);
        inside(None, LOOK).refused();
        // Whether it is the first there or not.
        let line = machine.logged("Permission denied");
        let tree = machine.cgroups().root().join("berth");
        assert!(line.contains(tree.to_str().unwrap()), "{line}");
        owners_from(machine, 32_768, &format!("cgroup = \"keep\"\n{logout}"));
        let said = inside(None, LOOK).ok();
        assert!(said.starts_with("berth-init\n"), "{said}");
        assert!(!said.contains("/user-"), "{said}");
    });
}
