//! The session keyring, which a login must not take along into its berth, nor `berth enter`.

use nix::errno::Errno;
use nix::libc;

/// From linux/keyctl.h.
const KEYCTL_JOIN_SESSION_KEYRING: libc::c_int = 1;

/// No operation of keyctl(2), now or later: they count up from 0.
const KEYCTL_NONE: libc::c_int = -1;

/// A new, empty session keyring in place of the one that came along.
pub fn new_session_keyring() -> Result<(), Errno> {
    let anonymous = std::ptr::null::<libc::c_char>();
    // SAFETY: a null name means an anonymous keyring; no other memory.
    let joined = unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, anonymous) };
    match Errno::result(joined) {
        // A container's seccomp profile may forbid keyctl altogether, and a kernel may have no keys. Then no
        // keyring can be read in the session either, since it inherits that; so nothing is lost.
        Err(_) if keys_are_out_of_reach() => Ok(()),
        joined => joined.map(drop),
    }
}

/// Whether keyctl(2) answers nothing at all. The kernel itself says EOPNOTSUPP to what is no operation.
fn keys_are_out_of_reach() -> bool {
    // SAFETY: touches no memory.
    let answer = Errno::result(unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_NONE) });
    matches!(answer, Err(Errno::ENOSYS | Errno::EPERM | Errno::EACCES))
}
