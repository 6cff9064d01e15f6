//! The system calls that nix does not wrap, behind safe functions.
#![allow(unsafe_code)]

use std::ffi::CStr;
use std::fs::File;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::path::Path;

use nix::NixPath;
use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::Signal;
use nix::unistd::Pid;

/// Where SELinux keeps the context of a file.
pub const SELINUX_CONTEXT: &CStr = c"security.selinux";

/// The SELinux context of a file (getxattr(2)).
pub fn selinux_context(path: &Path) -> nix::Result<Vec<u8>> {
    let mut context = vec![0; 4096]; // No policy has longer ones: procfs could not show them.
    let read = path.with_nix_path(|path| {
        // SAFETY: both names end in NUL, and the buffer is as long as is said.
        unsafe {
            libc::getxattr(
                path.as_ptr(),
                SELINUX_CONTEXT.as_ptr(),
                context.as_mut_ptr().cast(),
                context.len(),
            )
        }
    })?;
    context.truncate(Errno::result(read)?.unsigned_abs());
    Ok(context)
}

/// A descriptor for a process (pidfd_open(2)), close-on-exec.
pub fn pidfd_open(pid: Pid) -> nix::Result<OwnedFd> {
    // SAFETY: no pointers are passed.
    let fd = Errno::result(unsafe { libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0) })?;
    // SAFETY: a new descriptor, which nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// Signals exactly the process that the descriptor names.
pub fn pidfd_kill(pidfd: BorrowedFd<'_>, signal: Signal) -> nix::Result<()> {
    let no_info = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: a null siginfo is allowed and means the one that kill(2) would send.
    let result = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            signal as i32,
            no_info,
            0,
        )
    };
    Errno::result(result).map(drop)
}

/// Lets one user besides root read a file, and nobody else (acl(5)): whoever has a group in common with them is not meant.
pub fn let_read(file: &File, uid: u32) -> nix::Result<()> {
    const NAME: &std::ffi::CStr = c"system.posix_acl_access";
    const NOBODY: u32 = u32::MAX;
    // Owner, user, group, mask, others (linux/posix_acl.h).
    let entries = [
        (0x01_u16, 6_u16, NOBODY),
        (0x02, 4, uid),
        (0x04, 0, NOBODY),
        (0x10, 4, NOBODY),
        (0x20, 0, NOBODY),
    ];
    let mut value = 2_u32.to_le_bytes().to_vec(); // its version
    for (tag, permissions, id) in entries {
        value.extend(tag.to_le_bytes());
        value.extend(permissions.to_le_bytes());
        value.extend(id.to_le_bytes());
    }
    // SAFETY: the name ends in a zero, and the value is as long as is said.
    let set = unsafe {
        libc::fsetxattr(
            file.as_raw_fd(),
            NAME.as_ptr(),
            value.as_ptr().cast(),
            value.len(),
            0,
        )
    };
    Errno::result(set).map(drop)
}
