//! Starting the helper so that the application does not notice.
//!
//! The helper must be no child of the application: exec makes SIGCHLD the exit signal of whatever was
//! cloned, and sshd or cron would find a child in wait(2) that they do not know. So a first child (no exit
//! signal, reaped here, by its PID alone) starts the second, which becomes the helper, and ends; the helper
//! is init's then. Both share the application's memory until exec (CLONE_VM), so that a large application
//! costs no copy of its page tables, and the application's thread stands still meanwhile (CLONE_VFORK). They
//! may therefore only make system calls: no allocation, no lock, no panic, and nothing of glibc that keeps
//! state. Its set*id functions, for one, walk the application's list of threads.
//!
//! One who waits for the other to leave the memory stops waiting when it is killed, and whoever types `su` can have the
//! first child killed: by the cgroup.kill of a cgroup of theirs. Where that has not come to its own end, all that the second
//! may still use stays for ever.

use std::cell::Cell;
use std::ffi::{CString, c_char, c_int, c_long, c_void};
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr;
use std::time::Instant;

use berth_protocol::{Channel, Stat, past_standard};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::stack::Stack;
use super::undisturbed::{Blocked, Dumpable, SIGNAL_SET, set_mask};
use crate::error::Error;

/// The helper's only argument.
const ARGUMENT: &std::ffi::CStr = c"--session";

/// The helper's whole environment.
const ENVIRONMENT: &std::ffi::CStr = c"PATH=/usr/sbin:/usr/bin:/sbin:/bin";

/// Where the helper finds its socket.
const SOCKET: c_int = 3;

/// Descriptors from here on are free of 0 to 3, whatever the application has closed.
const ABOVE: c_int = 10;

/// 1 to 64 are the signals.
const SIGNALS: c_int = 64;

/// The kernel's `struct sigaction`, zeroed, is SIG_DFL; no architecture has a longer one.
const DEFAULT_ACTION: [u64; 4] = [0; 4];

#[derive(Debug)]
pub struct Process {
    pid: c_int,
    /// By which it is known again: a PID can be somebody else's by then.
    start: Option<u64>,
    fd: Option<OwnedFd>,
}

impl Process {
    /// Closes its descriptor. What an application keeps open, its user may come to have. And before Linux 6.9 all
    /// pidfds, eventfds and the like are one file by their numbers: what the application has put there could not be told
    /// from ours.
    pub fn let_go(&mut self) {
        self.fd = None;
    }

    /// Opens it again, if it is still there. The socket does not say so: after the account phase its worker has that.
    pub fn find(&mut self, ours: BorrowedFd<'_>) {
        self.fd = open(self.pid, ours).filter(|_| start_of(self.pid) == self.start);
    }

    /// Ends it. By SIGTERM: past a point the process is the one that cleans up after its worker, which it
    /// could not do if it were killed; before that point SIGTERM kills it. SIGCONT, should it be stopped.
    pub fn end(&self) {
        let Some(fd) = &self.fd else { return };
        for signal in [libc::SIGTERM, libc::SIGCONT] {
            // SAFETY: touches no memory (no siginfo is passed).
            let _ = unsafe {
                libc::syscall(
                    libc::SYS_pidfd_send_signal,
                    fd.as_raw_fd(),
                    signal,
                    ptr::null::<c_void>(),
                    0,
                )
            };
            // It can only fail where the process has ended by itself, which is as good.
        }
    }

    /// Waits until it has ended, or for as long as there is patience.
    pub fn wait(&self, deadline: Instant) {
        let Some(fd) = &self.fd else { return };
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            let mut ended = [PollFd::new(fd.as_fd(), PollFlags::POLLIN)];
            // A signal to the application is no reason to go on.
            if poll(&mut ended, timeout) != Err(Errno::EINTR) {
                return;
            }
        }
    }
}

/// All that the children need, made before they start, and what they report.
struct Plan {
    path: *const c_char,
    argv: [*const c_char; 3],
    environment: [*const c_char; 2],
    socket: c_int,
    null: c_int,
    second_stack: *mut c_void,
    /// The helper's PID.
    pid: Cell<c_int>,
    /// How it failed; 0 for not at all.
    errno: Cell<c_int>,
    /// What failed. Clone and exec speak for themselves.
    step: Cell<Option<&'static str>>,
}

/// Starts `helper --session` with `theirs` as descriptor 3; `ours` is the other end.
pub fn start(helper: &Path, ours: BorrowedFd<'_>, theirs: Channel) -> Result<Process, Error> {
    let failed = |step, errno| Error::Start {
        path: helper.into(),
        step,
        errno,
    };
    let path = CString::new(helper.as_os_str().as_bytes())
        .map_err(|_| Error::HelperPath(helper.into()))?;
    let null = File::options()
        .read(true)
        .write(true)
        .open("/dev/null")
        .map_err(|error| failed(Some("opening /dev/null"), super::join::errno(&error)))?;
    let (first, second) = Stack::new()
        .and_then(|first| Ok((first, Stack::new()?)))
        .map_err(|errno| failed(Some("memory for it"), errno))?;
    let plan = Box::new(Plan {
        path: path.as_ptr(),
        argv: [path.as_ptr(), ARGUMENT.as_ptr(), ptr::null()],
        environment: [ENVIRONMENT.as_ptr(), ptr::null()],
        socket: theirs.as_fd().as_raw_fd(),
        null: null.as_raw_fd(),
        second_stack: second.top(),
        pid: Cell::new(0),
        errno: Cell::new(0),
        step: Cell::new(None),
    });
    let dumpable = Dumpable::remember();
    let is_over = {
        // No handler of the application's may run in a child that has its memory.
        let _blocked = Blocked::all();
        // SAFETY: stack and plan outlive the child, since this thread stands still until it has ended, and only touches the
        // plan's cells. They outlive the child that it starts, too, where that may go on: see `is_over` below.
        let child = Errno::result(unsafe {
            libc::clone(
                first_child,
                first.top(),
                libc::CLONE_VM | libc::CLONE_VFORK,
                (&raw const *plan).cast_mut().cast(),
            )
        })
        .map_err(|errno| failed(None, errno))?;
        reap(child)
    };
    dumpable.restore();
    // Whether it started or not: as long as we hold its end, no end of file comes.
    drop(theirs);
    if !is_over {
        // The second may run yet, and start the helper, whose socket has ended by then. Only its code goes, if the
        // application unloads the module first: then it ends by SIGSEGV.
        std::mem::forget((first, second, path, plan));
        return Err(failed(Some("who starts it was killed"), Errno::EINTR));
    }
    match plan.errno.get() {
        0 => {
            let pid = plan.pid.get();
            let start = start_of(pid);
            let fd = open(pid, ours);
            Ok(Process { pid, start, fd })
        }
        errno => Err(failed(plan.step.get(), Errno::from_raw(errno))),
    }
}

/// When the process was started that has this PID, as the kernel counts (proc_pid_stat(5), field 22); none where that is not to
/// be seen.
fn start_of(pid: c_int) -> Option<u64> {
    let stat = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    Stat::parse(&stat).start()
}

/// A descriptor for the helper's process, if it still runs.
///
/// It is no child of ours, so its PID could be another's by now. But at first nobody else holds the other end of our socket:
/// while that is open the helper lives, and so the descriptor that was opened before is the helper's.
fn open(pid: c_int, ours: BorrowedFd<'_>) -> Option<OwnedFd> {
    // SAFETY: touches no memory.
    let fd = Errno::result(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) }).ok()?;
    // SAFETY: the kernel has just made it for us (close-on-exec, as every pidfd), and nobody else knows it.
    let fd = unsafe { OwnedFd::from_raw_fd(c_int::try_from(fd).ok()?) };
    let fd = past_standard(fd).ok()?;
    let mut socket = [PollFd::new(ours, PollFlags::empty())];
    match poll(&mut socket, PollTimeout::ZERO) {
        Ok(0) => Some(fd),
        _ => None,
    }
}

/// The first child: becomes what the helper shall be, and starts it.
extern "C" fn first_child(plan: *mut c_void) -> c_int {
    // SAFETY: `start` passes its plan, which outlives both children.
    let plan = unsafe { &*plan.cast_const().cast::<Plan>() };
    match prepare(plan) {
        Ok(()) => start_second(plan),
        Err(step) => {
            plan.errno.set(Errno::last_raw());
            plan.step.set(Some(step));
        }
    }
    0
}

fn start_second(plan: &Plan) {
    // SAFETY: as in `start`: this child stands still until the second has left the memory, by exec or exit, or is
    // killed.
    let pid = unsafe {
        libc::clone(
            second_child,
            plan.second_stack,
            libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD,
            ptr::from_ref(plan).cast_mut().cast(),
        )
    };
    if pid < 0 {
        return plan.errno.set(Errno::last_raw());
    }
    plan.pid.set(pid);
    if plan.errno.get() != 0 {
        // Its exec failed. Reaped here, so as not to need an init that does.
        wait(pid, 0);
    }
}

/// The second child: the helper.
extern "C" fn second_child(plan: *mut c_void) -> c_int {
    // SAFETY: as in `first_child`.
    let plan = unsafe { &*plan.cast_const().cast::<Plan>() };
    // All dispositions are the default now, so an unblocked signal runs none of the application's code.
    set_mask(0);
    // SAFETY: both arrays end in a null pointer, and their strings outlive the call.
    let _ = unsafe { libc::execve(plan.path, plan.argv.as_ptr(), plan.environment.as_ptr()) };
    plan.errno.set(Errno::last_raw());
    1
}

/// Everything that is to be different from the application, but for the signal mask. The step that failed,
/// with its errno still set.
fn prepare(plan: &Plan) -> Result<(), &'static str> {
    // SAFETY: touches no memory. Out of the terminal's session: ^C there must not end the session's keeper.
    check(unsafe { libc::syscall(libc::SYS_setsid) }, "new session")?;
    for signal in 1..=SIGNALS {
        // SAFETY: reads one zeroed action. Fails for SIGKILL and SIGSTOP, whose disposition is fixed.
        let _ = unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                DEFAULT_ACTION.as_ptr(),
                ptr::null_mut::<c_void>(),
                SIGNAL_SET,
            )
        };
    }
    // Out of the way first: the application may have closed any of 0 to 3.
    let socket = duplicate(plan.socket)?;
    let null = duplicate(plan.null)?;
    for (from, to) in [(null, 0), (null, 1), (null, 2), (socket, SOCKET)] {
        // SAFETY: touches no memory; this child's table of descriptors is its own.
        let moved = unsafe { libc::syscall(libc::SYS_dup3, from, to, 0) };
        check(moved, DESCRIPTORS)?;
    }
    // SAFETY: as before.
    let closed = unsafe { libc::syscall(libc::SYS_close_range, SOCKET + 1, c_int::MAX, 0) };
    check(closed, "closing other descriptors")?;
    // SAFETY: a constant string; this child's working directory is its own.
    let moved = unsafe { libc::syscall(libc::SYS_chdir, c"/".as_ptr()) };
    check(moved, "going to /")?;
    // SAFETY: touches no memory, cannot fail.
    let _ = unsafe { libc::syscall(libc::SYS_umask, 0o022) };
    // All three of each, since exec sets AT_SECURE where they differ (`su` has its user's real UID), and the
    // raw calls, since glibc's lock and walk the application's list of threads.
    // SAFETY: no groups, so no memory is read.
    let groups = unsafe { libc::syscall(libc::SYS_setgroups, 0, ptr::null::<libc::gid_t>()) };
    check(groups, "dropping the groups")?;
    // SAFETY: touches no memory.
    let changed = unsafe { libc::syscall(libc::SYS_setresgid, 0, 0, 0) };
    check(changed, "becoming group 0")?;
    // SAFETY: touches no memory.
    let changed = unsafe { libc::syscall(libc::SYS_setresuid, 0, 0, 0) };
    check(changed, "becoming user 0")?;
    own_context();
    raise_stack();
    Ok(())
}

/// The SELinux context of the next program: pam_selinux has set the user's, for the shell, and the helper would get it.
/// Nothing to clear, or nobody who knows of such a thing (AppArmor has EINVAL), is no failure; where SELinux forbids it, it
/// says so itself, and forbids the helper next.
fn own_context() {
    let path = c"/proc/self/attr/exec";
    let flags = libc::O_WRONLY | libc::O_CLOEXEC;
    // SAFETY: a constant path.
    let file = unsafe { libc::syscall(libc::SYS_openat, libc::AT_FDCWD, path.as_ptr(), flags) };
    if file >= 0 {
        // SAFETY: one constant byte; the descriptor is closed by the exec.
        let _ = unsafe { libc::syscall(libc::SYS_write, file, c"\n".as_ptr(), 1) };
    }
}

/// The stack that the helper starts with: the kernel's own default.
const STACK: libc::rlim_t = 8 << 20;

/// An ordinary user who runs su under a tiny stack limit must not make the helper crash before it has read
/// the policy. Above the hard limit needs a right that is missing in some containers; then the hard limit is
/// what there is.
fn raise_stack() {
    let mut old = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    let none = ptr::null_mut::<libc::rlimit>();
    let stack = libc::RLIMIT_STACK;
    // SAFETY: writes one structure.
    let got = unsafe { libc::syscall(libc::SYS_prlimit64, 0, stack, none, &raw mut old) };
    if got < 0 {
        return; // cannot fail; without it, the helper starts with what there is
    }
    for (soft, hard) in [
        (STACK, old.rlim_max.max(STACK)),
        (old.rlim_max, old.rlim_max),
    ] {
        let new = libc::rlimit {
            rlim_cur: soft,
            rlim_max: hard,
        };
        // SAFETY: reads one structure.
        if unsafe { libc::syscall(libc::SYS_prlimit64, 0, stack, &raw const new, none) } == 0 {
            return;
        }
    }
}

fn check(result: c_long, step: &'static str) -> Result<(), &'static str> {
    if result < 0 { Err(step) } else { Ok(()) }
}

const DESCRIPTORS: &str = "moving its descriptors";

fn duplicate(fd: c_int) -> Result<c_long, &'static str> {
    // SAFETY: touches no memory.
    let copy = unsafe { libc::syscall(libc::SYS_fcntl, fd, libc::F_DUPFD_CLOEXEC, ABOVE) };
    check(copy, DESCRIPTORS).map(|()| copy)
}

/// Waits for this very child; the application's own are not looked at. Says whether it has come to its own end, and so the one
/// that it started has left the memory.
fn reap(child: c_int) -> bool {
    // A child without an exit signal is one that wait(2) sees only when asked (so no loop of the
    // application's can take it either), and that stays for us even where SIGCHLD is ignored.
    wait(child, libc::__WCLONE).is_some_and(|status| libc::WIFEXITED(status))
}

/// How a child has ended; none of one that is not there.
fn wait(child: c_int, options: c_int) -> Option<c_int> {
    let mut status = 0;
    // SAFETY: writes the status. Once is enough: every signal is blocked here, so none interrupts it.
    let waited = unsafe {
        libc::syscall(
            libc::SYS_wait4,
            child,
            &raw mut status,
            options,
            ptr::null_mut::<c_void>(),
        )
    };
    (waited == c_long::from(child)).then_some(status)
}
