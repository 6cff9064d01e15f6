//! Joining namespaces of the host's, and making new ones.

use std::fs::{self, File};
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{getegid, setgroups};

use super::Promise::{NoNestedUserns, UserNamespace};
use super::Without::{Never, NoBerth};
use super::targets::Targets;
use super::{Attempt, Verdict, call, shell, system_call};

/// From linux/nsfs.h.
const NS_GET_USERNS: u64 = 0xb701;
const NS_GET_PARENT: u64 = 0xb702;
/// In linux/sched.h; not in libc.
const CLONE_NEWTIME: i32 = 0x80;

pub const ATTEMPTS: &[Attempt] = &[
    call("join-user", "setns into the init's user namespace", |to| {
        join(to, libc::CLONE_NEWUSER)
    }),
    call(
        "join-mount",
        "setns into the init's mount namespace",
        |to| join(to, libc::CLONE_NEWNS),
    ),
    call("join-pid", "setns into the init's PID namespace", |to| {
        join(to, libc::CLONE_NEWPID)
    }),
    call("join-ipc", "setns into the init's IPC namespace", |to| {
        join(to, libc::CLONE_NEWIPC)
    }),
    call(
        "join-net",
        "setns into the init's network namespace",
        |to| join(to, libc::CLONE_NEWNET),
    ),
    call("join-keeper", "setns into the keeper's namespaces", |to| {
        let keeper = to.number("KEEPER").into();
        let pidfd = system_call(libc::SYS_pidfd_open, &[keeper, 0]);
        let kinds = libc::CLONE_NEWNS | libc::CLONE_NEWIPC;
        Verdict::of(pidfd.and_then(|fd| system_call(libc::SYS_setns, &[fd as u64, kinds as u64])))
    }),
    call("parent", "the PID namespace above, by ioctl", |to| {
        related(to, NS_GET_PARENT)
    }),
    call(
        "owner",
        "the user namespace that owns the PID namespace, by ioctl",
        |to| related(to, NS_GET_USERNS),
    )
    .promised_by(UserNamespace)
    .without(NoBerth),
    // New ones.
    call("user-by-unshare", "a user namespace by unshare", |_| {
        fresh(libc::CLONE_NEWUSER)
    })
    .promised_by(NoNestedUserns)
    .without(NoBerth),
    call("user-by-clone", "a user namespace by clone", |_| {
        let flags = libc::CLONE_NEWUSER | libc::SIGCHLD;
        child(system_call(libc::SYS_clone, &[flags as u64, 0, 0, 0, 0]))
    })
    .promised_by(NoNestedUserns)
    .without(NoBerth),
    call("user-by-clone3", "a user namespace by clone3", |_| {
        clone3(libc::CLONE_NEWUSER, None)
    })
    .promised_by(NoNestedUserns)
    .without(NoBerth),
    call(
        "user-by-32-bit-unshare",
        "a user namespace by the 32-bit unshare",
        |_| {
            Verdict::of(super::terminals::call_32(
                310,
                [libc::CLONE_NEWUSER as u32, 0, 0],
            ))
        },
    )
    .promised_by(NoNestedUserns)
    .without(NoBerth),
    call(
        "user-sharing-root",
        "a user namespace that shares root and working directory with the one above, by clone",
        |_| {
            let flags = libc::CLONE_NEWUSER | libc::CLONE_FS | libc::SIGCHLD;
            child(system_call(libc::SYS_clone, &[flags as u64, 0, 0, 0, 0]))
        },
    )
    .without(Never("the kernel refuses it to everybody")),
    shell(
        "six-extents",
        "a map of six extents for a user namespace",
        SIX_EXTENTS,
    ),
    call(
        "drop-groups",
        "rid of one's groups, and of what is closed to these, by setgroups in a user namespace",
        |_| {
            let group = getegid();
            Verdict::of(super::mounts::nest().and_then(|()| {
                // Without it no group is there to be set; the host's root needs none.
                let _ = fs::write("/proc/self/gid_map", format!("0 {group} 1"));
                setgroups(&[])
            }))
        },
    ),
    call("new-mount", "a mount namespace", |_| {
        fresh(libc::CLONE_NEWNS)
    }),
    call("new-pid", "a PID namespace", |_| fresh(libc::CLONE_NEWPID)),
    call("new-net", "a network namespace", |_| {
        fresh(libc::CLONE_NEWNET)
    }),
    call("new-ipc", "an IPC namespace", |_| fresh(libc::CLONE_NEWIPC)),
    call("new-uts", "a UTS namespace", |_| fresh(libc::CLONE_NEWUTS)),
    call("new-cgroup", "a cgroup namespace", |_| {
        fresh(libc::CLONE_NEWCGROUP)
    }),
    call("new-time", "a time namespace", |_| {
        Verdict::of(system_call(libc::SYS_unshare, &[CLONE_NEWTIME as u64]))
    }),
    call("new-mount-by-clone3", "a mount namespace by clone3", |_| {
        clone3(libc::CLONE_NEWNS, None)
    }),
];

/// Who may not make one has no process to write it for.
const SIX_EXTENTS: &str = r#"
    unshare -U sleep 5 & child=$!
    while [ "$(readlink /proc/$child/ns/user)" = "$(readlink /proc/self/ns/user)" ]; do sleep 0.05; done
    printf '0 0 1\n1 1 1\n2 2 1\n3 3 1\n4 4 1\n5 5 1\n' >/proc/$child/uid_map; written=$?
    kill $child
    exit $written
"#;

fn join(to: &Targets, kind: i32) -> Verdict {
    let pidfd = system_call(libc::SYS_pidfd_open, &[to.number("INIT").into(), 0]);
    Verdict::of(pidfd.and_then(|fd| system_call(libc::SYS_setns, &[fd as u64, kind as u64])))
}

/// Of one's own, or of the berth's for who is outside it.
fn related(to: &Targets, request: u64) -> Verdict {
    let process = match to.text("INIT") {
        "1" => "self",
        init => init,
    };
    let found = File::open(format!("/proc/{process}/ns/pid"));
    let found = found.map_err(|_| Errno::EACCES);
    Verdict::of(
        found.and_then(|file| system_call(libc::SYS_ioctl, &[file.as_raw_fd() as u64, request])),
    )
}

fn fresh(kind: i32) -> Verdict {
    Verdict::of(unshare(CloneFlags::from_bits_retain(kind)))
}

/// Makes a child, in this cgroup if one is named.
pub fn clone3(flags: i32, cgroup: Option<&File>) -> Verdict {
    const INTO_CGROUP: u64 = 0x2_0000_0000;
    let mut arguments = [0_u64; 11];
    arguments[0] = flags as u64;
    arguments[4] = libc::SIGCHLD as u64;
    if let Some(cgroup) = cgroup {
        arguments[0] |= INTO_CGROUP;
        arguments[10] = cgroup.as_raw_fd() as u64;
    }
    let size = size_of_val(&arguments) as u64;
    child(system_call(
        libc::SYS_clone3,
        &[arguments.as_ptr() as u64, size],
    ))
}

/// The child of a call that forks has nothing more to do.
fn child(result: Result<i64, Errno>) -> Verdict {
    if result == Ok(0) {
        std::process::exit(0);
    }
    Verdict::of(result)
}
