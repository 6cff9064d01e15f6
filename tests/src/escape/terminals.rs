//! Typing into a terminal that somebody else reads from.

use std::fs::OpenOptions;
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::pty::{OpenptyResult, openpty};

use super::Without::NoBerth;
use super::{Attempt, DENIED, Verdict, call, system_call};

const TIOCSTI: u64 = 0x5412;
const TIOCLINUX: u64 = 0x541c;

pub const ATTEMPTS: &[Attempt] = &[
    call("tiocsti", "TIOCSTI", |_| {
        typed(|fd, byte| system_call(libc::SYS_ioctl, &[fd, TIOCSTI, byte]))
    })
    .without(NoBerth),
    call(
        "tiocsti-high-bits",
        "TIOCSTI with bits above those that the kernel looks at",
        |_| {
            typed(|fd, byte| {
                system_call(
                    libc::SYS_ioctl,
                    &[fd, 0xffff_ffff_0000_0000 | TIOCSTI, byte],
                )
            })
        },
    )
    .without(NoBerth),
    call(
        "tiocsti-32-bit",
        "TIOCSTI by the 32-bit system call",
        |_| typed(|fd, byte| call_32(54, [fd as u32, TIOCSTI as u32, byte as u32])),
    )
    .stopped_by(BY_32_BIT)
    .without(NoBerth),
    call("tioclinux", "TIOCLINUX", |_| {
        typed(|fd, byte| system_call(libc::SYS_ioctl, &[fd, TIOCLINUX, byte]))
    })
    .without(NoBerth),
    call(
        "tioclinux-32-bit",
        "TIOCLINUX by the 32-bit system call",
        |_| typed(|fd, byte| call_32(54, [fd as u32, TIOCLINUX as u32, byte as u32])),
    )
    .stopped_by(BY_32_BIT)
    .without(NoBerth),
    call("roots", "opening a terminal of root's", |to| {
        let path = to.path("ROOTS_TERMINAL");
        Verdict::of_io(OpenOptions::new().write(true).open(path))
    }),
    call("victims", "opening a terminal of another user's", |to| {
        let path = to.path("VICTIMS_TERMINAL");
        Verdict::of_io(OpenOptions::new().read(true).open(path))
    }),
];

/// Only x86 has calls of a 32-bit program's for this one.
const BY_32_BIT: &[&str] = match cfg!(target_arch = "x86_64") {
    true => DENIED,
    false => &["ENOSYS"],
};

/// On a terminal of one's own: the filter refuses these before the terminal knows of them, and any other refusal is the
/// terminal's (it may be told to refuse by dev.tty.legacy_tiocsti, and is no console).
fn typed(call: impl FnOnce(u64, u64) -> Result<i64, Errno>) -> Verdict {
    let OpenptyResult { master, slave } = openpty(None, None).expect("a terminal");
    let _ = nix::unistd::setsid();
    let _ = system_call(
        libc::SYS_ioctl,
        &[slave.as_raw_fd() as u64, libc::TIOCSCTTY, 0],
    );
    // Where a 32-bit call can name it.
    let low = low_page(b"");
    let verdict = match call(slave.as_raw_fd() as u64, low.into()) {
        Err(errno @ (Errno::EPERM | Errno::ENOSYS)) => Verdict::of::<()>(Err(errno)),
        Ok(_) => Verdict::Escaped("typed".into()),
        Err(errno) => Verdict::Escaped(format!("the terminal was asked, and said {errno:?}")),
    };
    // Its end would hang this process up, whose terminal it is.
    std::mem::forget(master);
    verdict
}

/// A page below 4 GB that begins with these bytes.
pub fn low_page(bytes: &[u8]) -> u32 {
    let access = (libc::PROT_READ | libc::PROT_WRITE) as u64;
    let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_32BIT;
    let page = system_call(libc::SYS_mmap, &[0, 4096, access, kind as u64, u64::MAX, 0]);
    let page = page.expect("a page") as usize;
    // SAFETY: the kernel has just mapped this page for this process, and there are fewer bytes.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), page as *mut u8, bytes.len()) };
    page as u32
}

/// A system call of a 32-bit program's.
#[cfg(target_arch = "x86_64")]
pub fn call_32(number: u32, arguments: [u32; 3]) -> Result<i64, Errno> {
    let [first, second, third] = arguments.map(u64::from);
    let result: i64;
    // SAFETY: the kernel reads the registers and writes the result; rbx is the compiler's, and is put back.
    unsafe {
        std::arch::asm!(
            "xchg {first}, rbx",
            "int 0x80",
            "xchg {first}, rbx",
            first = inout(reg) first => _,
            inlateout("rax") u64::from(number) => result,
            in("rcx") second,
            in("rdx") third,
            out("r8") _, out("r9") _, out("r10") _, out("r11") _,
        );
    }
    match result as i32 {
        errno @ -4095..0 => Err(Errno::from_raw(-errno)),
        result => Ok(result.into()),
    }
}

/// Other machines have no such calls for this program.
#[cfg(not(target_arch = "x86_64"))]
pub fn call_32(_: u32, _: [u32; 3]) -> Result<i64, Errno> {
    Err(Errno::ENOSYS)
}
