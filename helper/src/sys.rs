//! The system calls that nix does not wrap, behind safe functions. The only unsafe code of this crate.

use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::path::Path;
use std::ptr;

use berth_session::SELINUX_CONTEXT;
pub use berth_session::{pidfd_kill, pidfd_open, selinux_context};
use nix::NixPath;
use nix::errno::Errno;
use nix::sys::signal::SigSet;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use nix::unistd::Pid;

/// From linux/sched.h; the one in libc is an i32, which it does not fit into.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Waits for one of these signals, which are blocked (sigwaitinfo(2)). nix's takes a failure for a signal, and panics at one
/// that it does not know.
pub fn wait_for(signals: &SigSet) {
    // SAFETY: the set is there for as long as the call takes, and nothing is to be written.
    unsafe { libc::sigwaitinfo(signals.as_ref(), ptr::null_mut()) };
}

/// What [`clone`] returns, once in each process.
#[derive(Debug)]
pub enum Cloned {
    Parent {
        /// The child, by its PID here.
        child: Pid,
        /// The child, by a descriptor that can never mean another process.
        pidfd: OwnedFd,
    },
    Child,
}

/// Forks, into new namespaces and straight into a cgroup (clone3(2)): a child that starts in its
/// cgroup does not wait for the grace period that moving a process costs.
pub fn clone(namespaces: i32, cgroup: Option<BorrowedFd<'_>>) -> nix::Result<Cloned> {
    let mut pidfd: i32 = -1;
    // SAFETY: clone_args is plain integers, for which all zeroes is a valid value.
    let mut args: libc::clone_args = unsafe { mem::zeroed() };
    args.flags = u64::from(namespaces as u32) | libc::CLONE_PIDFD as u64;
    args.pidfd = &raw mut pidfd as u64;
    args.exit_signal = libc::SIGCHLD as u64;
    if let Some(cgroup) = cgroup {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = cgroup.as_raw_fd() as u64;
    }
    // SAFETY: the arguments outlive the call, and without CLONE_VM the child has a copy of all memory,
    // as after fork(2). This process starts no thread, so no lock can be held by another one.
    let result =
        unsafe { libc::syscall(libc::SYS_clone3, &raw const args, mem::size_of_val(&args)) };
    match Errno::result(result)? {
        0 => Ok(Cloned::Child),
        pid => Ok(Cloned::Parent {
            child: Pid::from_raw(pid as i32),
            // SAFETY: the kernel has stored a new descriptor there, which nobody else owns.
            pidfd: unsafe { OwnedFd::from_raw_fd(pidfd) },
        }),
    }
}

/// Brings the loopback interface of this network namespace up (netdevice(7)).
pub fn loopback_up() -> nix::Result<()> {
    let (family, kind) = (AddressFamily::Inet, SockType::Datagram);
    let socket = socket(family, kind, SockFlag::SOCK_CLOEXEC, None)?;
    // SAFETY: a structure of integers and a union of such, for which zeroes are valid.
    let mut request: libc::ifreq = unsafe { mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = *from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: the request outlives the call, which reads its name and flags.
    let set = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) };
    Errno::result(set).map(drop)
}

/// What / is: the number of the mount, and of the folder in it.
pub fn mount_of_root() -> nix::Result<(u64, u64)> {
    // SAFETY: a structure of integers, for which zeroes are valid.
    let mut seen: libc::statx = unsafe { std::mem::zeroed() };
    let (flags, mask) = (0, libc::STATX_INO | libc::STATX_MNT_ID);
    // SAFETY: a constant path; the structure outlives the call.
    let result = unsafe { libc::statx(libc::AT_FDCWD, c"/".as_ptr(), flags, mask, &raw mut seen) };
    Errno::result(result).map(|_| (seen.stx_mnt_id, seen.stx_ino))
}

/// Changes the SELinux context of a file (setxattr(2)).
pub fn set_selinux_context(path: &Path, context: &[u8]) -> nix::Result<()> {
    let set = path.with_nix_path(|path| {
        // SAFETY: both names end in NUL, and the context is as long as is said.
        unsafe {
            libc::setxattr(
                path.as_ptr(),
                SELINUX_CONTEXT.as_ptr(),
                context.as_ptr().cast(),
                context.len(),
                0,
            )
        }
    })?;
    Errno::result(set).map(drop)
}

/// Sets a resource limit of another process, if there is a new one, and returns what it was (prlimit(2)).
pub fn prlimit(pid: Pid, resource: u32, new: Option<libc::rlimit>) -> nix::Result<libc::rlimit> {
    let mut old = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    let new = new.as_ref().map_or(ptr::null(), ptr::from_ref);
    // SAFETY: both structures outlive the call.
    let result = unsafe { libc::prlimit(pid.as_raw(), resource, new, &raw mut old) };
    Errno::result(result).map(|_| old)
}

/// Closes every descriptor.
pub fn close_all() -> nix::Result<()> {
    close_range(0, u32::MAX)
}

/// Closes every descriptor but one.
pub fn close_all_but(kept: BorrowedFd<'_>) -> nix::Result<()> {
    let kept = kept.as_raw_fd() as u32;
    if let Some(last) = kept.checked_sub(1) {
        close_range(0, last)?;
    }
    close_range(kept + 1, u32::MAX)
}

/// Closes these descriptors, the last one included (close_range(2)).
fn close_range(first: u32, last: u32) -> nix::Result<()> {
    // SAFETY: only called where nothing that owns one of them is used afterwards.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    Errno::result(result).map(drop)
}

/// Whether the kernel started this program with more privilege than its caller had (a setuid bit or
/// file capabilities; getauxval(3), AT_SECURE).
pub fn is_secure_exec() -> bool {
    // SAFETY: getauxval reads a table that the kernel made at exec.
    unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
}

/// The size of a page of memory, in bytes (getauxval(3), AT_PAGESZ).
pub fn page_size() -> u64 {
    // SAFETY: as above.
    unsafe { libc::getauxval(libc::AT_PAGESZ) }
}

/// Takes over a descriptor that the caller of this program left open for it.
///
/// Returns `None` if it is not open.
pub fn inherited(fd: i32) -> Option<OwnedFd> {
    // SAFETY: asking for the flags of a number that may be no descriptor is harmless.
    let open = unsafe { libc::fcntl(fd, libc::F_GETFD) } >= 0;
    // SAFETY: it is open, and main calls this once for it, before anything else opens descriptors.
    open.then(|| unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Ends this process without running destructors or exit handlers, which belong to the parent.
pub fn exit(status: i32) -> ! {
    // SAFETY: _exit has no preconditions.
    unsafe { libc::_exit(status) }
}

/// Takes off the limits that came from the application: an ordinary user who runs su with a file size
/// limit of 0 must not make the helper fail.
pub fn reset_limits() {
    let infinity = libc::rlimit {
        rlim_cur: libc::RLIM_INFINITY,
        rlim_max: libc::RLIM_INFINITY,
    };
    for resource in [
        libc::RLIMIT_AS,
        libc::RLIMIT_CPU,
        libc::RLIMIT_DATA,
        libc::RLIMIT_FSIZE,
        libc::RLIMIT_NPROC,
    ] {
        // Refused in a container without the right; then the limit is what it was.
        let _ = prlimit(Pid::from_raw(0), resource, Some(infinity));
    }
    let descriptors = libc::rlimit {
        rlim_cur: 1024,
        rlim_max: 4096,
    };
    let _ = prlimit(Pid::from_raw(0), libc::RLIMIT_NOFILE, Some(descriptors));
}

/// Sees the kernel as it is: an ordinary user who runs su may have had it say that it is Linux 2.6, which is too old.
pub fn reset_personality() {
    const ORDINARY: libc::c_ulong = 0; // PER_LINUX, which libc does not have
    // SAFETY: no pointers are passed. Refused by some containers' filters; then it is what it was.
    let _ = unsafe { libc::personality(ORDINARY) };
}

/// Takes off what keeps this process from its turn: an ordinary user who runs su may have put it behind all others, on one
/// processor or on one node's memory, where others of theirs are busy; and what keeps their session would end it late. What an
/// administrator gave their login service more of stays.
pub fn reset_scheduling() {
    const ORDINARY: libc::c_int = 0; // MPOL_DEFAULT, IOPRIO_CLASS_NONE
    // SAFETY: no pointers are passed.
    let policy = unsafe { libc::sched_getscheduler(0) };
    if matches!(policy, libc::SCHED_IDLE | libc::SCHED_BATCH) {
        // SAFETY: a structure of integers, for which zeroes are valid.
        let none: libc::sched_param = unsafe { mem::zeroed() };
        // SAFETY: the structure outlives the call. What is refused here, in a container, is what it was.
        let _ = unsafe { libc::sched_setscheduler(0, libc::SCHED_OTHER, &raw const none) };
    }
    // SAFETY: no pointers are passed.
    if unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) } > 0 {
        // SAFETY: as above.
        let _ = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, 0) };
    }
    // After the two, by which it goes where nobody has set it.
    // SAFETY: no pointers are passed.
    if unsafe { libc::syscall(libc::SYS_ioprio_get, IOPRIO_WHO_PROCESS, 0) } > IOPRIO_MIDDLE {
        // SAFETY: as above.
        let _ = unsafe { libc::syscall(libc::SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, ORDINARY) };
    }
    // Some processors may be kept for other work: where PID 1 may run, whatever the administrator has started may.
    let (now, of_init) = (affinity(0), affinity(1));
    if let Some(all) = of_init.filter(|_| now != of_init) {
        let size = mem::size_of_val(&all);
        // SAFETY: reads as many bytes as there are.
        let _ = unsafe { libc::sched_setaffinity(0, size, all.as_ptr().cast()) };
    }
    // SAFETY: of no nodes nothing is read.
    let _ = unsafe { libc::syscall(libc::SYS_set_mempolicy, ORDINARY, ptr::null::<u64>(), 0) };
}

/// From linux/ioprio.h, where more is worse: best effort, 4 of 7.
const IOPRIO_WHO_PROCESS: libc::c_int = 1;
const IOPRIO_MIDDLE: libc::c_long = (2 << 13) | 4;

/// The processors on which a process may run, a bit for each. As many as a kernel can be built for.
fn affinity(pid: libc::pid_t) -> Option<[u64; 128]> {
    let mut all = [0; 128];
    let size = mem::size_of_val(&all);
    // SAFETY: writes at most as many bytes as there are.
    let got = unsafe { libc::sched_getaffinity(pid, size, all.as_mut_ptr().cast()) };
    (got == 0).then_some(all)
}

#[cfg(test)]
mod tests {
    use nix::sys::wait::{WaitStatus, waitpid};

    use super::*;

    #[test]
    fn who_was_put_behind_all_others_has_a_turn_like_everybody() {
        if !nix::unistd::geteuid().is_root() {
            return; // only root may come before others again
        }
        const BIND: libc::c_int = 2; // MPOL_BIND
        let node = [1_u64];
        let Cloned::Parent { child, .. } = clone(0, None).unwrap() else {
            let mut policy: libc::c_int = -1;
            // SAFETY: each writes or reads what is there.
            #[allow(clippy::multiple_unsafe_ops_per_block)]
            let is_all = unsafe {
                let param: libc::sched_param = mem::zeroed();
                libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const param);
                libc::setpriority(libc::PRIO_PROCESS, 0, 7);
                libc::syscall(libc::SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, 3 << 13);
                let mut one = [0_u64; 128];
                one[0] = 1;
                libc::sched_setaffinity(0, mem::size_of_val(&one), one.as_ptr().cast());
                libc::syscall(libc::SYS_set_mempolicy, BIND, node.as_ptr(), 64);
                reset_scheduling();
                let none = ptr::null_mut::<u64>();
                libc::syscall(libc::SYS_get_mempolicy, &raw mut policy, none, 0, none, 0);
                libc::sched_getscheduler(0) == libc::SCHED_OTHER
                    && libc::getpriority(libc::PRIO_PROCESS, 0) == 0
                    && libc::syscall(libc::SYS_ioprio_get, IOPRIO_WHO_PROCESS, 0) <= IOPRIO_MIDDLE
            };
            exit((!is_all || policy > 0 || affinity(0) != affinity(1)).into());
        };
        assert_eq!(waitpid(child, None).unwrap(), WaitStatus::Exited(child, 0));
    }
}
