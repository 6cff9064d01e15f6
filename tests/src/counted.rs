//! What the kernel counts, for each user or for the machine, and of which there are so many: one of each.

use std::ffi::CString;
use std::fs::{self, File};
use std::os::fd::{AsRawFd, IntoRawFd};

use nix::errno::Errno;
use nix::mqueue::{MQ_OFlag, MqAttr, MqdT, mq_open, mq_unlink};
use nix::sched::{CloneFlags, unshare};
use nix::sys::inotify::{InitFlags, Inotify};
use nix::sys::stat::Mode;
use nix::unistd::geteuid;

/// An inotify instance.
pub fn inotify() -> Result<Inotify, Errno> {
    Inotify::init(InitFlags::IN_CLOEXEC)
}

/// A POSIX message queue of the usual size.
pub fn queue(name: &str) -> Result<MqdT, Errno> {
    let name = CString::new(name).map_err(|_| Errno::EINVAL)?;
    let flags = MQ_OFlag::O_CREAT | MQ_OFlag::O_RDWR;
    let attributes = MqAttr::new(0, 10, 8192, 0);
    mq_open(name.as_c_str(), flags, Mode::S_IRUSR, Some(&attributes))
}

/// A timer, which counts as a signal that may come.
pub fn timer() -> Result<libc::timer_t, Errno> {
    let mut id: libc::timer_t = std::ptr::null_mut();
    // SAFETY: the kernel writes the id; without an event the timer's signal is SIGALRM, never armed.
    let result =
        unsafe { libc::timer_create(libc::CLOCK_MONOTONIC, std::ptr::null_mut(), &raw mut id) };
    Errno::result(result).map(|_| id)
}

/// A real-time signal, of which any number may wait.
const WAITS: libc::c_int = 40;

/// A signal that waits. It has to be blocked.
pub fn signal() -> Result<(), Errno> {
    let value = libc::sigval {
        sival_ptr: std::ptr::null_mut(),
    };
    let own = nix::unistd::getpid().as_raw();
    // SAFETY: no pointer is followed.
    let sent = unsafe { libc::sigqueue(own, WAITS, value) };
    Errno::result(sent).map(drop)
}

/// Has the signals of [`signal`] wait.
pub fn block_signals() {
    // SAFETY: a set of bits, for which zeroes are valid.
    let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: the set outlives the call.
    unsafe { libc::sigaddset(&raw mut set, WAITS) };
    // SAFETY: as above.
    unsafe { libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) };
}

/// A key, in the process's own keyring.
pub fn key(name: &str) -> Result<(), Errno> {
    let name = CString::new(name).map_err(|_| Errno::EINVAL)?;
    let (kind, secret, ring) = (c"user".as_ptr(), c"secret".as_ptr(), -2);
    // SAFETY: the strings outlive the call.
    let added = unsafe { libc::syscall(libc::SYS_add_key, kind, name.as_ptr(), secret, 6, ring) };
    Errno::result(added).map(drop)
}

/// A pipe that stays open, with as much memory as pipes have.
pub fn pipe() -> Result<(), Errno> {
    let (read, write) = nix::unistd::pipe()?;
    // SAFETY: no pointers.
    let size = unsafe { libc::fcntl(read.as_raw_fd(), libc::F_GETPIPE_SZ) };
    let size = Errno::result(size)?;
    let _ = (read.into_raw_fd(), write.into_raw_fd()); // never closed
    // Who has used up theirs gets smaller ones.
    if size < 65536 {
        return Err(Errno::ENOMEM);
    }
    Ok(())
}

/// A pseudo terminal. The kernel counts them for the machine.
pub fn terminal() -> Result<File, Errno> {
    let mut options = File::options();
    let options = options.read(true).write(true);
    options.open("/dev/ptmx").map_err(errno)
}

/// A namespace, which is there as long as what is given back is open. For who is root, if only in a user namespace.
pub fn namespace() -> Result<File, Errno> {
    unshare(CloneFlags::CLONE_NEWUTS)?;
    File::open("/proc/self/ns/uts").map_err(errno)
}

/// Becomes root of a user namespace, where this machine lets ordinary users have one.
pub fn become_root_of_a_namespace() -> Result<(), Errno> {
    match geteuid().is_root() {
        true => Ok(()),
        false => unshare(CloneFlags::CLONE_NEWUSER),
    }
}

/// Some POSIX shared memory, under a name.
pub fn shared_memory(name: &str) -> Result<(), Errno> {
    fs::write(shared(name), [1; 65536]).map_err(errno)
}

/// Gives that back; false if there is none.
pub fn free_shared_memory(name: &str) -> bool {
    fs::remove_file(shared(name)).is_ok()
}

/// As much of /tmp, under a name.
pub fn temporary(name: &str) -> Result<(), Errno> {
    fs::write(in_tmp(name), [1; 65536]).map_err(errno)
}

/// Gives that back; false if there is none.
pub fn free_temporary(name: &str) -> bool {
    fs::remove_file(in_tmp(name)).is_ok()
}

fn shared(name: &str) -> String {
    format!("/dev/shm/{name}")
}

fn in_tmp(name: &str) -> String {
    format!("/tmp/{name}")
}

fn errno(error: std::io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or_default())
}

/// Takes one of each, and says of which there was none left. A berth may have no namespaces to give, so these are not
/// asked for here.
pub fn one_of_each() -> String {
    told(&refused_of_each())
}

/// The same for a process outside of all berths, with a namespace.
pub fn one_of_each_outside() -> String {
    let mut refused = refused_of_each();
    match become_root_of_a_namespace().and_then(|()| namespace()) {
        // Debian and EL can be told to refuse ordinary users any.
        Ok(_) | Err(Errno::EPERM) => {}
        Err(errno) => refused.push(format!("namespace: {errno:?}")),
    }
    told(&refused)
}

fn told(refused: &[String]) -> String {
    match refused.is_empty() {
        true => "all there".into(),
        false => refused.join(", "),
    }
}

fn refused_of_each() -> Vec<String> {
    let name = format!("one-of-each-{}", std::process::id());
    let mine = format!("/{name}");
    let queue = queue(&mine);
    // Refused where the queue was.
    let _ = mq_unlink(mine.as_str());
    let memory = shared_memory(&name);
    free_shared_memory(&name);
    let temporary = temporary(&name);
    free_temporary(&name);
    block_signals();
    let results = [
        ("inotify", inotify().err()),
        ("queue", queue.err()),
        ("timer", timer().err()),
        ("signal", signal().err()),
        ("key", key("one-of-each").err()),
        ("pipe", pipe().err()),
        ("memory", memory.err()),
        ("tmp", temporary.err()),
        ("terminal", terminal().err()),
    ];
    let refused = results.into_iter();
    refused
        .filter_map(|(what, error)| error.map(|errno| format!("{what}: {errno:?}")))
        .collect()
}
