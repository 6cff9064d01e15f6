//! Descriptors, directories and programs that a login might have been left with.

use std::ffi::CString;
use std::fs;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::{Mode, SFlag, fstat};

use crate::Process;

use super::Without::NoBerth;
use super::{Attempt, Verdict, call, system_call};

pub const ATTEMPTS: &[Attempt] = &[
    call(
        "inherited",
        "any descriptor but the standard streams",
        |_| {
            Verdict::found(
                inherited()
                    .map(|fd| format!("{fd} is {}", target(fd)))
                    .next(),
            )
        },
    ),
    call("directory", "a directory that was left open", |_| {
        let is_directory = |fd: &RawFd| {
            let mode = fstat(borrowed(*fd)).map_or(0, |is| is.st_mode);
            SFlag::from_bits_truncate(mode) & SFlag::S_IFMT == SFlag::S_IFDIR
        };
        Verdict::found(inherited().find(is_directory).map(target))
    }),
    call("namespace", "setns with every descriptor", |_| {
        let joins = |fd: &RawFd| system_call(libc::SYS_setns, &[*fd as u64, 0]).is_ok();
        Verdict::found((0..1024).find(joins).map(target))
    }),
    call(
        "working-directory",
        "out of the working directory by ..",
        |_| {
            let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
            let mut at = match open(".", flags, Mode::empty()) {
                Ok(at) => at,
                Err(errno) => return Verdict::of::<()>(Err(errno)),
            };
            for _ in 0..64 {
                match openat(&at, "..", flags, Mode::empty()) {
                    Ok(above) => at = above,
                    Err(errno) => return Verdict::of::<()>(Err(errno)),
                }
            }
            Verdict::of(openat(&at, "tmp/of-the-host", OFlag::O_PATH, Mode::empty()))
        },
    ),
    call(
        "chroot-in-a-chroot",
        "out of a chroot by a second one, as root of a user namespace",
        |to| {
            let jail = to.path("HOME").join("jail");
            let _ = fs::create_dir(&jail);
            Verdict::of_io(out_of_a_chroot(&jail))
        },
    )
    .without(NoBerth),
    call(
        "program",
        "writing on the program of any process, /proc/PID/exe",
        |_| {
            let write = |process: Process| {
                let path = format!("/proc/{}/exe", process.0);
                open(
                    path.as_str(),
                    OFlag::O_WRONLY | OFlag::O_CLOEXEC,
                    Mode::empty(),
                )
            };
            // A program that runs is busy, which is said to those only who may write on it.
            let busy =
                |result: Result<OwnedFd, Errno>| matches!(result, Ok(_) | Err(Errno::ETXTBSY));
            let found = Process::all()
                .into_iter()
                .find(|process| busy(write(*process)));
            Verdict::found(found.map(|process| process.command_line()))
        },
    ),
    call(
        "handle",
        "a file of the host's by its handle, open_by_handle_at",
        |_| by_handle(),
    ),
    call(
        "entered",
        "what root holds open who has come in by `berth enter`",
        |_| {
            let foreign = Process::all()
                .into_iter()
                .filter(|process| process.uid() == Some(0));
            let mut held = foreign.filter_map(|process| {
                let fds = fs::read_dir(format!("/proc/{}/fd", process.0)).ok()?;
                Some(format!("{} of {}", fds.count(), process.command_line()))
            });
            Verdict::found(held.next())
        },
    ),
    call(
        "entered-trace",
        "tracing root who has come in by `berth enter`",
        |_| {
            let foreign = Process::all()
                .into_iter()
                .filter(|process| process.uid() == Some(0));
            let others = foreign.filter(|process| process.0 as u32 != std::process::id());
            let seize = |process: &Process| {
                let arguments = [libc::PTRACE_SEIZE.into(), process.0 as u64, 0, 0];
                system_call(libc::SYS_ptrace, &arguments).is_ok()
            };
            Verdict::found(
                others
                    .into_iter()
                    .find(seize)
                    .map(|process| process.command_line()),
            )
        },
    ),
];

/// Every descriptor above the standard streams that this program did not open. It opens none without CLOEXEC.
fn inherited() -> impl Iterator<Item = RawFd> {
    (3..1024).filter(|fd| {
        let flags = system_call(libc::SYS_fcntl, &[*fd as u64, libc::F_GETFD as u64]);
        flags.is_ok_and(|flags| flags & i64::from(libc::FD_CLOEXEC) == 0)
    })
}

fn target(fd: RawFd) -> String {
    let link = fs::read_link(format!("/proc/self/fd/{fd}")).unwrap_or_default();
    link.display().to_string()
}

fn borrowed(fd: RawFd) -> std::os::fd::BorrowedFd<'static> {
    // SAFETY: nobody closes what this process has inherited.
    unsafe { std::os::fd::BorrowedFd::borrow_raw(fd) }
}

fn out_of_a_chroot(jail: &Path) -> std::io::Result<()> {
    super::mounts::nest()?;
    let root = fs::File::open("/")?;
    nix::unistd::chroot(jail)?;
    // The working directory is outside of the new root, and so nothing stops it on its way up.
    nix::unistd::fchdir(&root)?;
    for _ in 0..64 {
        std::env::set_current_dir("..")?;
    }
    nix::unistd::chroot(".")?;
    fs::metadata("/tmp/of-the-host").map(drop)
}

/// A handle says which file of a file system is meant. With the right to use them no mount stands in the way.
fn by_handle() -> Verdict {
    #[repr(C)]
    struct Handle {
        bytes: u32,
        kind: i32,
        is: [u8; 128],
    }
    let mut handle = Handle {
        bytes: 128,
        kind: 0,
        is: [0; 128],
    };
    let mut mount = 0_i32;
    let path = CString::new("/etc/shadow").expect("a path");
    let cwd = libc::AT_FDCWD as u64;
    let (to, at) = (&raw mut handle as u64, &raw mut mount as u64);
    let named = system_call(
        libc::SYS_name_to_handle_at,
        &[cwd, super::pointer(&path), to, at, 0],
    );
    let root = match fs::File::open("/etc") {
        Ok(root) => root,
        Err(error) => return Verdict::Held(error.to_string()),
    };
    let opened = named.and_then(|_| {
        let arguments = [root.as_raw_fd() as u64, &raw const handle as u64, 0];
        system_call(libc::SYS_open_by_handle_at, &arguments)
    });
    Verdict::of(opened.map(|fd| {
        // SAFETY: the kernel has just made it for this process.
        unsafe { OwnedFd::from_raw_fd(fd as RawFd) }
    }))
}
