//! The floor: the bare system calls that put a process into new user, PID, IPC and mount namespaces, in
//! the order in which Berth makes them, with nothing else around them.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{pipe, read, write};

/// Any UID that is no account's.
const OWNER: libc::uid_t = 2_000_000_000;

/// Everything that is joined.
const ALL: libc::c_int =
    libc::CLONE_NEWUSER | libc::CLONE_NEWPID | libc::CLONE_NEWIPC | libc::CLONE_NEWNS;

/// Puts the calling process into new namespaces. The init dies with the descriptor's end of the pipe.
pub fn enter() -> io::Result<OwnedFd> {
    let (ready, say_ready) = pipe()?;
    let (mapped, say_mapped) = pipe()?;
    let (pid, pidfd) = match clone_init()? {
        None => {
            drop((ready, say_mapped));
            init(&say_ready, &mapped);
        }
        Some(child) => child,
    };
    drop((say_ready, mapped));
    if read(&ready, &mut [0])? != 1 {
        return Err(io::Error::other("the init failed"));
    }
    let identity = "0 0 4294967295";
    fs::write(format!("/proc/{pid}/uid_map"), identity)?;
    fs::write(format!("/proc/{pid}/gid_map"), identity)?;
    write(&say_mapped, &[1])?;
    // SAFETY: no pointers.
    Errno::result(unsafe { libc::setns(pidfd.as_raw_fd(), ALL) })?;
    Ok(say_mapped)
}

/// Clones a child into new mount, PID and IPC namespaces. `None` in the child.
fn clone_init() -> io::Result<Option<(i32, OwnedFd)>> {
    let mut pidfd: libc::c_int = -1;
    // SAFETY: a structure of integers, for which zeroes are valid.
    let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
    let flags = libc::CLONE_NEWNS | libc::CLONE_NEWPID | libc::CLONE_NEWIPC | libc::CLONE_PIDFD;
    arguments.flags = u64::try_from(flags).map_err(io::Error::other)?;
    arguments.pidfd = &raw mut pidfd as u64;
    arguments.exit_signal = libc::SIGCHLD as u64;
    let size = size_of::<libc::clone_args>();
    // SAFETY: without CLONE_VM this is fork, of a process with one thread.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw mut arguments, size) };
    let pid = i32::try_from(Errno::result(pid)?).map_err(io::Error::other)?;
    if pid == 0 {
        return Ok(None);
    }
    // SAFETY: the kernel has just made this descriptor for us.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(Some((pid, pidfd)))
}

fn init(say_ready: &OwnedFd, mapped: &OwnedFd) -> ! {
    // An end of file tells the parent that something failed.
    if prepare().is_ok() && write(say_ready, &[1]).is_ok() {
        // The first byte says that the maps are written; the end of file, that the login is over.
        while read(mapped, &mut [0]).is_ok_and(|count| count == 1) {}
    }
    // SAFETY: ends the process without running what its parent registered.
    unsafe { libc::_exit(0) }
}

fn prepare() -> nix::Result<()> {
    let none = None::<&str>;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_SLAVE, none)?;
    mount(Some("proc"), "/proc", Some("proc"), MsFlags::empty(), none)?;
    // By the bare call, as the effective UID of this process only.
    // SAFETY: no pointers.
    Errno::result(unsafe { libc::syscall(libc::SYS_setresuid, -1, OWNER, -1) })?;
    unshare(CloneFlags::CLONE_NEWUSER)
}
