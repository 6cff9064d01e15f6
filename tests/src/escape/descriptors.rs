//! Descriptors, directories and programs that a login might have been left with.

use std::ffi::CString;
use std::fs;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::{Mode, SFlag, fstat};

use crate::{Process, within};

use super::Without::{NoBerth, RootInside};
use super::targets::Targets;
use super::{Attempt, Verdict, call, errno, shell, system_call};

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
    )
    .stopped_by(NOTHING),
    call("directory", "a directory that was left open", |_| {
        let is_directory = |fd: &RawFd| {
            let mode = fstat(borrowed(*fd)).map_or(0, |is| is.st_mode);
            SFlag::from_bits_truncate(mode) & SFlag::S_IFMT == SFlag::S_IFDIR
        };
        Verdict::found(inherited().find(is_directory).map(target))
    })
    .stopped_by(NOTHING),
    call("namespace", "setns with every descriptor", |_| {
        let joins = |fd: &RawFd| system_call(libc::SYS_setns, &[*fd as u64, 0]).is_ok();
        Verdict::found((0..1024).find(joins).map(target))
    })
    .stopped_by(NOTHING),
    call(
        "working-directory",
        "out of the working directory by ..",
        |_| {
            let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
            let mut at = open(".", flags, Mode::empty()).expect("the working directory");
            for _ in 0..64 {
                at = openat(&at, "..", flags, Mode::empty()).expect("above it");
            }
            let tmp = openat(&at, "tmp", flags, Mode::empty()).expect("a /tmp");
            Verdict::of(openat(&tmp, "of-the-host", OFlag::O_PATH, Mode::empty()))
        },
    )
    .stopped_by(&["ENOENT"]),
    call(
        "chroot-in-a-chroot",
        "out of a chroot by a second one, as root of a user namespace",
        |to| {
            let jail = to.path("HOME").join("jail");
            let _ = fs::create_dir(&jail);
            Verdict::nested(|| out_of_a_chroot(&jail).map_err(errno))
        },
    )
    .stopped_by(&["ENOENT"])
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
    )
    .stopped_by(NOTHING),
    call(
        "handle",
        "a file of the host's by its handle, open_by_handle_at",
        |_| by_handle(),
    ),
    call(
        "entered",
        "what root holds open who has come in by `berth enter`",
        |_| Verdict::of_io(fs::read_dir(format!("/proc/{}/fd", entered().0))),
    )
    .without(RootInside),
    call(
        "entered-trace",
        "tracing root who has come in by `berth enter`",
        |_| Verdict::of(seize(entered())),
    )
    .without(RootInside),
    call(
        "entering",
        "the same while `berth enter` comes in, before its program runs",
        who_comes_in,
    )
    .stopped_by(&["it was seen and out of reach"])
    .without(RootInside),
    // What a process of the user's outside passes in. It may open what it likes, for both.
    shell(
        "passed-directory",
        "a directory of the host's that the user's process outside passes in",
        PASSED_DIRECTORY,
    )
    .promised_by(super::Promise::Nothing(
        "two processes of one user may pass each other whatever they can open",
    ))
    .without(NoBerth),
    shell(
        "passed-namespace",
        "setns with a namespace that the user's process outside passes in",
        PASSED_NAMESPACE,
    ),
    shell(
        "passed-procs",
        "into a cgroup whose cgroup.procs was opened outside, by who may write to it",
        PASSED_PROCS,
    ),
];

const NOTHING: &[&str] = &["nothing there"];

/// What is passed in: the host's root directory, the host's mount namespace, and the cgroup.procs of a cgroup of the
/// user's. What counts for the last is what its opener may do, so where nothing protects it is root's.
const PASSED_DIRECTORY: &str = r#"exec python3 -c '
import os, socket
s = socket.socket(socket.AF_UNIX); s.connect("/home/alice/passing")
fds = socket.recv_fds(s, 1, 2)[1]
os.stat("tmp/of-the-host", dir_fd=fds[0])'"#;
const PASSED_NAMESPACE: &str = r#"exec python3 -c '
import ctypes, os, socket, sys
s = socket.socket(socket.AF_UNIX); s.connect("/home/alice/passing")
fds = socket.recv_fds(s, 1, 2)[1]
libc = ctypes.CDLL(None, use_errno=True)
if libc.setns(fds[1], 0): sys.exit(os.strerror(ctypes.get_errno()))'"#;
const PASSED_PROCS: &str = r#"exec python3 -c '
import os, socket, sys
s = socket.socket(socket.AF_UNIX); s.connect("/home/alice/passing" if os.getuid() else "/root/passing")
fds = socket.recv_fds(s, 1, 3)[1]
try: os.write(fds[2], b"0")
except OSError as error: sys.exit(error.strerror)'"#;

/// Root's process that the stage has had come in.
fn entered() -> Process {
    let all = Process::all().into_iter();
    let mut found = all.filter(|one| one.command_line() == "sleep 4712");
    found.next().expect("nobody has come in")
}

fn seize(process: Process) -> Result<i64, Errno> {
    let arguments = [libc::PTRACE_SEIZE.into(), process.0 as u64, 0, 0];
    system_call(libc::SYS_ptrace, &arguments)
}

/// The stage has root come in again and again as long as this file is there, as a program that does nothing.
fn who_comes_in(to: &Targets) -> Verdict {
    let come = to.path("COME_IN");
    let before = Process::all();
    fs::write(&come, "").expect("a sign");
    let (mut seen, mut led_out) = (0, None);
    within(Duration::from_secs(15), || {
        let new = Process::all()
            .into_iter()
            .filter(|one| !before.contains(one));
        for one in new.filter(|one| one.name() == "berth") {
            let results = [
                seize(one).map(drop),
                fs::read_dir(format!("/proc/{}/fd", one.0))
                    .map(drop)
                    .map_err(errno),
                fs::read_dir(format!("/proc/{}/root/", one.0))
                    .map(drop)
                    .map_err(errno),
                fs::read_link(format!("/proc/{}/exe", one.0))
                    .map(drop)
                    .map_err(errno),
                fs::File::open(format!("/proc/{}/mem", one.0))
                    .map(drop)
                    .map_err(errno),
            ];
            let denied = |one: &Result<(), Errno>| matches!(one, Err(Errno::EPERM | Errno::EACCES));
            seen += usize::from(results.iter().all(denied));
            if results.iter().any(Result::is_ok) {
                led_out = Some(format!("{results:?} of {}", one.command_line()));
            }
        }
        seen >= 10 || led_out.is_some()
    });
    let _ = fs::remove_file(&come);
    match (led_out, seen) {
        (Some(how), _) => Verdict::Escaped(how),
        (None, 0) => Verdict::Stuck("nobody was seen to come in".into()),
        (None, _) => Verdict::Held("it was seen and out of reach".into()),
    }
}

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

/// Out of it, and then to what the berth hides.
fn out_of_a_chroot(jail: &Path) -> std::io::Result<()> {
    let root = fs::File::open("/")?;
    nix::unistd::chroot(jail)?;
    // The working directory is outside of the new root, and so nothing stops it on its way up.
    nix::unistd::fchdir(&root)?;
    for _ in 0..64 {
        std::env::set_current_dir("..")?;
    }
    nix::unistd::chroot(".")?;
    assert!(jail.exists(), "it is still in the chroot");
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
    let root = fs::File::open("/etc").expect("/etc");
    let opened = named.and_then(|_| {
        let arguments = [root.as_raw_fd() as u64, &raw const handle as u64, 0];
        system_call(libc::SYS_open_by_handle_at, &arguments)
    });
    Verdict::of(opened.map(|fd| {
        // SAFETY: the kernel has just made it for this process.
        unsafe { OwnedFd::from_raw_fd(fd as RawFd) }
    }))
}
