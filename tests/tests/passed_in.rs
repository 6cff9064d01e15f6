//! What a process of the user's outside hands to one in a berth, over a socket in the home (SCM_RIGHTS, unix(7)).

use std::path::Path;
use std::process::Command;

use berth_tests::{Background, Machine, Policy, eventually};

/// Sends the namespaces that it is in, the root, a folder, and a file of its cgroup.
const OUTSIDE: &str = r#"
import os, socket
names = ["/proc/self/ns/" + kind for kind in "mnt pid net ipc uts cgroup user".split()]
names += ["/", "/tmp/hers", CGROUP]
here = socket.socket(socket.AF_UNIX)
here.bind("/home/alice/door")
here.listen()
while True:
    to, _ = here.accept()
    socket.send_fds(to, [b"x"], [os.open(name, os.O_RDONLY) for name in names])
"#;

/// Takes them, joins what can be joined, and says what came of each.
const INSIDE: &str = r#"
import ctypes, errno, os, socket
there = socket.socket(socket.AF_UNIX)
there.connect("/home/alice/door")
_, fds, _, _ = socket.recv_fds(there, 1, 16)
libc = ctypes.CDLL(None, use_errno=True)
for kind, fd in zip("mnt pid net ipc uts cgroup user".split(), fds):
    joined = libc.setns(fd, 0) == 0
    print(kind, "joined" if joined else errno.errorcode[ctypes.get_errno()])
root, folder, cgroup = fds[7:]
for name, use in [
    ("read", lambda: os.read(os.open("file", os.O_RDONLY, dir_fd=folder), 9).decode()),
    ("write", lambda: os.open(".", os.O_WRONLY | os.O_TMPFILE, dir_fd=folder) and "done"),
    ("chroot", lambda: os.fchdir(root) or os.chroot(".")),
    ("secret", lambda: os.open("etc/shadow", os.O_RDONLY, dir_fd=root)),
    ("cgroup", lambda: os.write(os.open("/proc/self/fd/%d" % cgroup, os.O_WRONLY), b"0")),
]:
    try:
        print(name, use())
    except OSError as error:
        print(name, errno.errorcode[error.errno])
"#;

/// It can pass in files, as the threat model says, and nothing by which the berth is left.
#[test]
fn files_come_in_from_outside_and_no_namespace_or_cgroup_does() {
    Machine::run(|machine| {
        let root = machine.cgroups().root().display().to_string();
        let outside = OUTSIDE.replace("CGROUP", &format!("\"{root}/cgroup.procs\""));
        std::fs::write("/home/alice/outside.py", outside).unwrap();
        std::fs::write("/home/alice/inside.py", INSIDE).unwrap();
        let as_alice = |command: &str| {
            let uid = machine.uid("alice");
            format!("setpriv --reuid={uid} --regid={uid} --clear-groups {command}")
        };
        machine
            .host("mkdir /tmp/hers && echo of-outside >/tmp/hers/file && chown -R alice: /tmp/hers")
            .ok();
        let helper = Command::new("sh")
            .args([
                "-c",
                &format!("exec {}", as_alice("python3 /home/alice/outside.py")),
            ])
            .spawn();
        let _helper = Background(helper.unwrap());
        let is_open = || Path::new("/home/alice/door").exists();
        assert!(eventually(is_open));
        // Whoever may do all that finds nothing in the way.
        let said = machine
            .host("unshare -mnui python3 /home/alice/inside.py")
            .ok();
        let joined = ["mnt", "pid", "net", "ipc", "uts", "cgroup"];
        for what in joined.map(|kind| format!("{kind} joined")) {
            assert!(said.contains(&what), "{said}");
        }
        let nested = "unshare --user --map-root-user python3 inside.py";
        let plain = "python3 inside.py";
        for (user, nested_userns, command) in [
            ("identity", false, plain),
            ("off", false, plain),
            ("identity", true, plain),
            ("identity", true, nested),
            ("off", true, nested),
        ] {
            machine.policy(&Policy {
                profile: format!("privileges = {{ nested_userns = {nested_userns} }}"),
                ..Policy::with_namespaces(&format!(
                    r#"user = "{user}", pid = true, ipc = true, mount = true, uts = true, net = true, private_tmp = "16M""#
                ))
            });
            let said = machine.ssh("alice", command).ok();
            let what: Vec<_> = said
                .lines()
                .map(|line| line.split_once(' ').unwrap())
                .collect();
            assert_eq!(what.len(), 12, "{said}");
            for (name, came_of_it) in what {
                let allowed = match name {
                    "read" => came_of_it == "of-outsid",
                    "write" => came_of_it == "done",
                    // Who is in it already, and asks for the same again.
                    "user" => ["EPERM", "EINVAL"].contains(&came_of_it),
                    "secret" | "cgroup" => ["EACCES", "EPERM"].contains(&came_of_it),
                    "chroot" if command == nested => came_of_it == "None",
                    _ => came_of_it == "EPERM",
                };
                assert!(allowed, "{user} {nested_userns} {command}: {said}");
            }
        }
    });
}
