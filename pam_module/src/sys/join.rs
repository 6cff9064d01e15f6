//! What a join does to the calling process.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Component, Path};

use berth_protocol::past_standard;
use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat};
use nix::sched::CloneFlags;
use nix::sys::stat::{Mode, fstat};
use nix::unistd::{Uid, chdir, fchdir, geteuid, setfsuid};

use crate::host::Privilege;
use crate::kept::Home;
use crate::sys::held::Held;

/// The kinds of namespace that a session may have, and their names under /proc/self/ns. A user namespace
/// is not among them: out of one there is no way back.
const KINDS: [(i32, &str); 5] = [
    (libc::CLONE_NEWIPC, "ipc"),
    (libc::CLONE_NEWPID, "pid"),
    (libc::CLONE_NEWUTS, "uts"),
    (libc::CLONE_NEWNET, "net"),
    (libc::CLONE_NEWNS, "mnt"),
];

/// The highest capability number that the kernel's 64 bits have room for.
const MOST_CAPABILITIES: libc::c_ulong = 64;

/// The system's word for a failure of std's.
pub fn errno(error: &io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EINVAL, Errno::from_raw)
}

/// Whether this process is root.
pub fn privilege() -> Privilege {
    match geteuid().is_root() {
        true => Privilege::Root,
        false => Privilege::Ordinary,
    }
}

/// Whether the standard output is a terminal. std's `stdout` would make a buffer for it, which stays when the module is
/// unloaded.
pub fn prints_on_a_terminal() -> bool {
    // SAFETY: touches no memory of this process's.
    unsafe { libc::isatty(1) == 1 }
}

/// Opens the namespaces of these kinds that the process is in.
pub fn home(namespaces: i32) -> Result<Home, Errno> {
    let mut home = Home::default();
    for (kind, name) in KINDS {
        if namespaces & kind != 0 {
            let file = File::open(format!("/proc/self/ns/{name}")).map_err(|e| errno(&e))?;
            home.0.push((kind, Held::new(past_standard(file.into())?)));
        }
    }
    Ok(home)
}

/// Joins namespaces of a process (a pidfd), or one namespace (a descriptor from /proc/PID/ns).
pub fn setns(fd: &OwnedFd, namespaces: i32) -> Result<(), Errno> {
    nix::sched::setns(fd, CloneFlags::from_bits_retain(namespaces))
}

/// Goes to a directory by a path that the kernel has told, and so had no link in it. One that has become a link since then
/// is not followed: this process is root, and somebody may have put it there.
pub fn change_directory(path: &Path) -> Result<(), Errno> {
    if path.parent().is_none() {
        return chdir("/"); // also where there is no room for a descriptor
    }
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let mut directory = open("/", flags, Mode::empty())?;
    for component in path.components() {
        if let Component::Normal(name) = component {
            directory = as_owner_of(&directory, || {
                openat(&directory, name, flags, Mode::empty())
            })?;
        }
    }
    as_owner_of(&directory, || fchdir(&directory))
}

/// Enters a directory, and where root may not, as who owns it: a home on NFS with root_squash lets in nobody else.
fn as_owner_of<T>(directory: &OwnedFd, enter: impl Fn() -> Result<T, Errno>) -> Result<T, Errno> {
    match enter() {
        Err(Errno::EACCES) => {
            let root = setfsuid(Uid::from_raw(fstat(directory)?.st_uid));
            let entered = enter();
            setfsuid(root);
            entered
        }
        entered => entered,
    }
}

/// What a resource limit of this process is: soft and hard.
pub fn rlimit(resource: u32) -> Result<(u64, u64), Errno> {
    let mut now = libc::rlimit64 {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the structure outlives the call; there is no new limit.
    Errno::result(unsafe { libc::prlimit64(0, resource, std::ptr::null(), &raw mut now) })?;
    Ok((now.rlim_cur, now.rlim_max))
}

/// Sets a resource limit of this process.
pub fn set_rlimit(resource: u32, soft: u64, hard: u64) -> Result<(), Errno> {
    let new = libc::rlimit64 {
        rlim_cur: soft,
        rlim_max: hard,
    };
    // SAFETY: the structure outlives the call; the old limit is not asked for.
    let set = unsafe { libc::prlimit64(0, resource, &raw const new, std::ptr::null_mut()) };
    Errno::result(set).map(drop)
}

/// Drops every capability that the kernel knows from the bounding set.
pub fn empty_bounding_set() -> Result<(), Errno> {
    for capability in 0..MOST_CAPABILITIES {
        // SAFETY: touches no memory.
        let dropped = unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) };
        match Errno::result(dropped) {
            Ok(_) => {}
            // Past the last one.
            Err(Errno::EINVAL) if capability > 0 => break,
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}
