//! What needs `unsafe`, behind safe functions.
#![allow(unsafe_code)]

mod start;

use std::ffi::CString;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

pub use berth_session::{pidfd_kill, pidfd_open};
use nix::errno::Errno;
use nix::sys::signal::{SigHandler, SigSet, Signal};
use nix::sys::stat::{Mode, umask};
use nix::unistd::Pid;

pub use start::{
    Identity, Terminal, give_terminal, hold_nothing_back, ignore_keyboard_signals, in_child,
    run_as, with_keyboard,
};

/// Has times be the machine's, as those of logins and of the log are, and not of who types: sudo keeps a TZ. To be called
/// before there is a thread.
pub fn forget_zone() {
    // SAFETY: nothing else reads the environment, as there is one thread.
    unsafe { std::env::remove_var("TZ") }
}

/// The umask that this program was started with.
static UMASK: AtomicU32 = AtomicU32::new(0o022);

/// Has all read what this program makes.
pub fn set_umask() {
    let before = umask(Mode::from_bits_truncate(0o022));
    UMASK.store(before.bits(), Ordering::Relaxed);
}

/// Goes back to the umask that this program was started with, for a program of who types. Where PAM opens a session for that,
/// before it does: pam_umask's counts.
pub fn own_umask() {
    umask(Mode::from_bits_truncate(UMASK.load(Ordering::Relaxed)));
}

/// The device and the number of a file, as the kernel has them (statx(2)). Its file system is not asked: that may be a
/// user's own, which need not answer.
pub fn known_file(path: &Path) -> nix::Result<(u64, u64)> {
    let path = CString::new(path.as_os_str().as_encoded_bytes()).map_err(|_| Errno::EINVAL)?;
    let (flags, mask) = (libc::AT_STATX_DONT_SYNC, libc::STATX_INO);
    // SAFETY: a structure of integers, for which zeroes are valid.
    let mut seen: libc::statx = unsafe { std::mem::zeroed() };
    // SAFETY: the path and the structure outlive the call.
    let looked = unsafe { libc::statx(libc::AT_FDCWD, path.as_ptr(), flags, mask, &raw mut seen) };
    Errno::result(looked)?;
    let device = libc::makedev(seen.stx_dev_major, seen.stx_dev_minor);
    Ok((device, seen.stx_ino))
}

/// How many lines the terminal on standard output shows.
pub fn terminal_height() -> Option<u16> {
    terminal_size()
        .map(|size| size.ws_row)
        .filter(|rows| *rows > 0)
}

/// How many columns it has.
pub fn terminal_width() -> Option<u16> {
    terminal_size()
        .map(|size| size.ws_col)
        .filter(|columns| *columns > 0)
}

fn terminal_size() -> Option<libc::winsize> {
    let mut size = libc::winsize {
        ws_row: 0,
        ws_col: 0,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // SAFETY: the pointer is to a live winsize.
    let done = unsafe { libc::ioctl(libc::STDOUT_FILENO, libc::TIOCGWINSZ, &mut size) };
    (done == 0).then_some(size)
}

/// Goes on when all that runs in the same session is asked to end, and its terminal goes.
pub fn outlive_the_session() -> nix::Result<()> {
    for signal in [Signal::SIGTERM, Signal::SIGHUP] {
        handle(signal, SigHandler::SigIgn)?;
    }
    Ok(())
}

fn handle(signal: Signal, handler: SigHandler) -> nix::Result<SigHandler> {
    // SAFETY: no function of this program's is a handler.
    unsafe { nix::sys::signal::signal(signal, handler) }
}

/// Holds back every signal that can be, for [`next_signal`]. A program that [`run_as`] starts has none of it.
pub fn hold_signals_back() -> nix::Result<()> {
    SigSet::all().thread_block()
}

/// Stops this process and what it has started, as Ctrl-Z does, until somebody says to go on. SIGTSTP is held back
/// before and after.
pub fn stop_here() -> nix::Result<()> {
    let stop: nix::sys::signal::SigSet = [Signal::SIGTSTP].into_iter().collect();
    nix::sys::signal::kill(Pid::from_raw(0), Signal::SIGTSTP)?;
    stop.thread_unblock()?;
    stop.thread_block()
}

/// Waits for a signal; its number. nix has no name for those of real time.
pub fn next_signal() -> nix::Result<i32> {
    let mut all = std::mem::MaybeUninit::uninit();
    // SAFETY: writes the set.
    unsafe { libc::sigfillset(all.as_mut_ptr()) };
    let nowhere = std::ptr::null_mut();
    loop {
        // SAFETY: the set is written, and nothing is asked for but the number.
        match Errno::result(unsafe { libc::sigwaitinfo(all.as_ptr(), nowhere) }) {
            // It was stopped, or frozen, and goes on (signal(7)).
            Err(Errno::EINTR) => {}
            other => return other,
        }
    }
}

/// Sends a signal by its number.
pub fn pass_on(signal: i32, process: Pid) -> nix::Result<()> {
    // SAFETY: no pointers.
    Errno::result(unsafe { libc::kill(process.as_raw(), signal) }).map(drop)
}

/// Whether running a file gives capabilities.
pub fn has_file_capabilities(path: &Path) -> bool {
    let Ok(path) = CString::new(path.as_os_str().as_encoded_bytes()) else {
        return false; // No file has a NUL in its name.
    };
    let (name, nowhere) = (c"security.capability", std::ptr::null_mut());
    // SAFETY: strings that end in NUL; nothing is written where the size is 0.
    unsafe { libc::getxattr(path.as_ptr(), name.as_ptr(), nowhere, 0) > 0 }
}

#[cfg(test)]
mod tests {
    use berth_session::stat_of;
    use nix::sys::signal::kill;
    use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
    use nix::unistd::{ForkResult, fork};

    use super::*;

    #[test]
    fn who_waits_for_signals_goes_on_after_a_stop() {
        // SAFETY: the child makes system calls only.
        let child = match unsafe { fork() }.unwrap() {
            ForkResult::Parent { child } => child,
            ForkResult::Child => {
                let signal = hold_signals_back().and_then(|()| next_signal());
                // SAFETY: it ends here.
                unsafe { libc::_exit(signal.unwrap_or(255)) }
            }
        };
        let state = || stat_of(child.as_raw()).unwrap().unwrap().field(3);
        while state() != Some('S') {
            std::thread::yield_now();
        }
        kill(child, Signal::SIGSTOP).unwrap();
        let stopped = waitpid(child, Some(WaitPidFlag::WUNTRACED));
        assert_eq!(stopped, Ok(WaitStatus::Stopped(child, Signal::SIGSTOP)));
        kill(child, Signal::SIGCONT).unwrap();
        assert_eq!(
            waitpid(child, None),
            Ok(WaitStatus::Exited(child, libc::SIGCONT))
        );
    }
}
