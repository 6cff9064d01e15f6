//! What keeps the application as it was while a child of its shares its memory.

use std::ffi::c_int;

/// The kernel's signal set has this many bytes.
pub const SIGNAL_SET: usize = 8;

/// Sets this thread's signal mask, glibc's internal signals included, and returns the old one.
pub fn set_mask(mask: u64) -> u64 {
    let mut old = 0u64;
    // SAFETY: both are 8 bytes, as SIGNAL_SET says; it cannot fail with these arguments.
    let _ = unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_SETMASK,
            &raw const mask,
            &raw mut old,
            SIGNAL_SET,
        )
    };
    old
}

/// While this lives, no signal is delivered to this thread.
pub struct Blocked(u64);

impl Blocked {
    pub fn all() -> Blocked {
        Blocked(set_mask(u64::MAX))
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        set_mask(self.0);
    }
}

/// A child that becomes root in full makes the memory that it shares undumpable, where its group changed
/// (`su` again, or any application with another effective group). The application gets its own setting back.
pub struct Dumpable(c_int);

impl Dumpable {
    pub fn remember() -> Dumpable {
        // SAFETY: touches no memory.
        Dumpable(unsafe { libc::prctl(libc::PR_GET_DUMPABLE, 0, 0, 0, 0) })
    }

    pub fn restore(self) {
        if self.0 == 1 {
            // SAFETY: touches no memory. Where it fails the application is only more private than before.
            let _ = unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 1, 0, 0, 0) };
        }
    }
}
