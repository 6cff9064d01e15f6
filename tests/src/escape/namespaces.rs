//! Joining namespaces of the host's, and making new ones.

use std::fs::{self, File};
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{getegid, geteuid, setgroups};

use super::Promise::{NoNestedUserns, OwnBerth, UserNamespace};
use super::Without::NoBerth;
use super::targets::Targets;
use super::terminals::{call_32, low_page};
use super::{Attempt, NO_USER_NAMESPACE, Verdict, call, errno, shell, system_call};

/// From linux/nsfs.h.
const NS_GET_USERNS: u64 = 0xb701;
const NS_GET_PARENT: u64 = 0xb702;
/// In linux/sched.h; not in libc.
const CLONE_NEWTIME: i32 = 0x80;

pub const ATTEMPTS: &[Attempt] = &[
    call("join-user", "setns into the init's user namespace", |to| {
        join(to, "INIT", libc::CLONE_NEWUSER)
    }),
    call(
        "join-mount",
        "setns into the init's mount namespace",
        |to| join(to, "INIT", libc::CLONE_NEWNS),
    ),
    call("join-pid", "setns into the init's PID namespace", |to| {
        join(to, "INIT", libc::CLONE_NEWPID)
    }),
    call("join-ipc", "setns into the init's IPC namespace", |to| {
        join(to, "INIT", libc::CLONE_NEWIPC)
    }),
    call(
        "join-net",
        "setns into the init's network namespace",
        |to| join(to, "INIT", libc::CLONE_NEWNET),
    ),
    call("join-keeper", "setns into the keeper's namespaces", |to| {
        join(to, "KEEPER", libc::CLONE_NEWNS | libc::CLONE_NEWIPC)
    })
    .stopped_by(&["ESRCH"]),
    call(
        "join-outside",
        "setns into the namespaces of the user's process outside",
        |to| join(to, "OUTSIDE", libc::CLONE_NEWNS | libc::CLONE_NEWIPC),
    )
    .stopped_by(&["ESRCH"]),
    call(
        "join-other",
        "setns into the namespaces of the user's other login",
        |to| join(to, "OTHER", libc::CLONE_NEWNS | libc::CLONE_NEWIPC),
    )
    .stopped_by(&["ESRCH"])
    .promised_by(OwnBerth),
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
    .stopped_by(NO_MORE)
    .promised_by(NoNestedUserns)
    .without(NoBerth),
    call("user-by-clone", "a user namespace by clone", |_| {
        clone(libc::CLONE_NEWUSER)
    })
    .stopped_by(NO_MORE)
    .promised_by(NoNestedUserns)
    .without(NoBerth),
    call("user-by-clone3", "a user namespace by clone3", |_| {
        clone3(libc::CLONE_NEWUSER, None)
    })
    .stopped_by(&["ENOSPC", "ENOSYS"])
    .promised_by(NoNestedUserns)
    .without(NoBerth),
    call(
        "user-by-32-bit-unshare",
        "a user namespace by the 32-bit unshare",
        |_| Verdict::of(call_32(310, [libc::CLONE_NEWUSER as u32, 0, 0])),
    )
    .stopped_by(NO_MORE_32)
    .promised_by(NoNestedUserns)
    .without(NoBerth),
    call(
        "user-by-32-bit-clone",
        "a user namespace by the 32-bit clone",
        |_| {
            let flags = libc::CLONE_NEWUSER | libc::SIGCHLD;
            child(call_32(120, [flags as u32, 0, 0]))
        },
    )
    .stopped_by(NO_MORE_32)
    .promised_by(NoNestedUserns)
    .without(NoBerth),
    call(
        "user-by-32-bit-clone3",
        "a user namespace by the 32-bit clone3",
        |_| {
            let mut arguments = [0_u64; 8];
            arguments[0] = libc::CLONE_NEWUSER as u64;
            arguments[4] = libc::SIGCHLD as u64;
            let bytes: Vec<u8> = arguments.iter().flat_map(|one| one.to_ne_bytes()).collect();
            child(call_32(435, [low_page(&bytes), bytes.len() as u32, 0]))
        },
    )
    .stopped_by(&["ENOSPC", "ENOSYS"])
    .promised_by(NoNestedUserns)
    .without(NoBerth),
    shell(
        "six-extents",
        "a map of six extents for a user namespace",
        SIX_EXTENTS,
    )
    .stopped_by(&["printf: I/O error"]),
    call(
        "drop-groups",
        "rid of one's groups, and of what is closed to these, by setgroups in a user namespace",
        |_| {
            if geteuid().is_root() {
                return Verdict::of(setgroups(&[]));
            }
            let group = getegid();
            if let Err(errno) = unshare(CloneFlags::CLONE_NEWUSER) {
                return Verdict::Held(format!("{NO_USER_NAMESPACE}: {errno:?}"));
            }
            // Without a group there is none to be set. Who has forbidden setgroups for good may map one.
            let mapped = fs::write("/proc/self/gid_map", format!("0 {group} 1"));
            Verdict::of(mapped.map_err(errno).and_then(|()| setgroups(&[])))
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
    call("new-mount-by-clone", "a mount namespace by clone", |_| {
        clone(libc::CLONE_NEWNS)
    }),
    call("new-pid-by-clone", "a PID namespace by clone", |_| {
        clone(libc::CLONE_NEWPID)
    }),
    call("new-net-by-clone", "a network namespace by clone", |_| {
        clone(libc::CLONE_NEWNET)
    }),
    call("new-mount-by-clone3", "a mount namespace by clone3", |_| {
        clone3(libc::CLONE_NEWNS, None)
    })
    .stopped_by(BY_CLONE3),
    call("new-pid-by-clone3", "a PID namespace by clone3", |_| {
        clone3(libc::CLONE_NEWPID, None)
    })
    .stopped_by(BY_CLONE3),
    call("new-net-by-clone3", "a network namespace by clone3", |_| {
        clone3(libc::CLONE_NEWNET, None)
    })
    .stopped_by(BY_CLONE3),
];

/// The limit of the berth's own user namespace, or the filter.
const NO_MORE: &[&str] = &["ENOSPC", "EPERM"];
/// Only x86 has calls of a 32-bit program's for this one.
const NO_MORE_32: &[&str] = match cfg!(target_arch = "x86_64") {
    true => NO_MORE,
    false => &["ENOSYS"],
};
/// Where the filter refuses user namespaces it refuses clone3, which it cannot look into.
const BY_CLONE3: &[&str] = &["EPERM", "ENOSYS"];

const SIX_EXTENTS: &str = r#"
    nested true || exit
    unshare -U sleep 5 & child=$!
    while [ "$(readlink /proc/$child/ns/user)" = "$(readlink /proc/self/ns/user)" ]; do sleep 0.05; done
    printf '0 0 1\n1 1 1\n2 2 1\n3 3 1\n4 4 1\n5 5 1\n' >/proc/$child/uid_map; written=$?
    kill $child
    exit $written
"#;

fn join(to: &Targets, process: &str, kind: i32) -> Verdict {
    let pidfd = system_call(libc::SYS_pidfd_open, &[to.number(process).into(), 0]);
    Verdict::of(pidfd.and_then(|fd| system_call(libc::SYS_setns, &[fd as u64, kind as u64])))
}

/// Of one's own, or of the berth's for who is outside it.
fn related(to: &Targets, request: u64) -> Verdict {
    let process = match to.text("INIT") {
        "1" => "self",
        init => init,
    };
    let found = File::open(format!("/proc/{process}/ns/pid"));
    let found = found.map_err(errno);
    Verdict::of(
        found.and_then(|file| system_call(libc::SYS_ioctl, &[file.as_raw_fd() as u64, request])),
    )
}

fn clone(kind: i32) -> Verdict {
    let flags = (kind | libc::SIGCHLD) as u64;
    child(system_call(libc::SYS_clone, &[flags, 0, 0, 0, 0]))
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
