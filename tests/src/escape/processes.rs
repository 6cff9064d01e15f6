//! Reaching a process that is not the session's own: by signals, by tracing, by its memory, by /proc.

use std::fs;
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::Process;

use super::Promise::{Namespaces, OwnBerth};
use super::Without::{HostRoot, NoBerth};
use super::targets::Targets;
use super::{Attempt, Verdict, call, errno, shell, system_call};

pub const ATTEMPTS: &[Attempt] = &[
    // The init, which everybody inside can name.
    call("init-kill", "SIGKILL to the init", |to| {
        Verdict::of(kill(to.pid("INIT"), Signal::SIGKILL))
    }),
    call("init-stop", "SIGSTOP to the init", |to| {
        Verdict::of(kill(to.pid("INIT"), Signal::SIGSTOP))
    }),
    call("init-oom", "oom_score_adj of the init", |to| {
        write_again(to, "oom_score_adj")
    }),
    call("init-priority", "another priority for the init", |to| {
        let pid = to.number("INIT").into();
        Verdict::of(system_call(
            libc::SYS_setpriority,
            &[libc::PRIO_PROCESS.into(), pid, 5],
        ))
    }),
    call("init-cpus", "other CPUs for the init", |to| {
        let (pid, cpus) = (to.number("INIT").into(), u64::MAX);
        let pointer = &raw const cpus as u64;
        Verdict::of(system_call(libc::SYS_sched_setaffinity, &[pid, 8, pointer]))
    }),
    call(
        "init-nested-kill",
        "SIGKILL to the init by root of a user namespace",
        |to| Verdict::nested(|| kill(to.pid("INIT"), Signal::SIGKILL)),
    ),
    call(
        "init-nested-root",
        "/proc/PID/root of the init by root of a user namespace",
        |to| Verdict::nested(|| fs::read_dir(to.file("INIT", "root/")).map_err(errno)),
    ),
    call(
        "init-nested-enter",
        "the init's mount namespace by root of a user namespace",
        |to| {
            Verdict::nested(|| {
                let namespace = fs::File::open(to.file("INIT", "ns/mnt")).map_err(errno)?;
                setns(namespace, CloneFlags::CLONE_NEWNS)
            })
        },
    ),
    // The login program.
    call(
        "application-seen",
        "seeing the login program's process that is root",
        |_| {
            let mut parents = std::iter::successors(Some(Process::own()), |one| one.parent());
            let root = parents.find(|one| one.0 > 1 && one.uid() == Some(0));
            Verdict::found(root.map(Process::name))
        },
    )
    .stopped_by(NOTHING)
    .without(NoBerth),
    // The user's own processes outside: of before Berth, or of a service that it does not see.
    call(
        "outside-all",
        "a signal to every process of the user's, by kill(-1)",
        |to| {
            let mark = to.path("SIGNALLED");
            let _ = fs::remove_file(&mark);
            // Which nobody minds who has not asked for it. Whether there was a process at all does not matter.
            let _ = kill(Pid::from_raw(-1), Signal::SIGURG);
            let felt = crate::within(std::time::Duration::from_secs(4), || mark.exists());
            Verdict::found(felt.then(|| "it was felt outside".into()))
        },
    )
    .stopped_by(NOTHING)
    .without(NoBerth),
    // Others.
    call("hosts-seen", "seeing processes of the host", |_| {
        Verdict::of(hosts_process_in("/proc"))
    })
    .stopped_by(&["ESRCH"])
    .without(NoBerth),
    call(
        "ssh-rc",
        "seeing them from ~/.ssh/rc, before the login's command",
        |to| said_in(to, "by-rc"),
    )
    .stopped_by(&["ESRCH"])
    .without(NoBerth),
    call(
        "profile",
        "seeing them from ~/.profile, before the login's first prompt",
        |to| said_in(to, "by-profile"),
    )
    .stopped_by(&["ESRCH"])
    .without(NoBerth),
    call("victim-seen", "seeing a process of another user's", |to| {
        Verdict::of_io(fs::read_to_string(to.file("VICTIM", "comm")))
    })
    .stopped_by(&["ENOENT"])
    .without(NoBerth),
    shell(
        "dump-helper",
        "another program for core dumps, /proc/sys/kernel/core_pattern",
        ": >>/proc/sys/kernel/core_pattern",
    ),
];

/// What is said of what was looked for and is not to be seen.
const NOTHING: &[&str] = &["nothing there"];

/// How a process is out of reach: by number there is none, or it is somebody else's.
struct OutOfReach {
    call: &'static [&'static str],
    file: &'static [&'static str],
}

const HIDDEN: OutOfReach = OutOfReach {
    call: &["ESRCH"],
    file: &["ENOENT"],
};
const FOREIGN: OutOfReach = OutOfReach {
    call: &["EPERM"],
    file: &["EACCES"],
};

/// The same for one process, by the number that the stage has for it.
macro_rules! ways {
    (@ $name:literal, $who:literal, $target:literal, $find:path, $out:expr, $promise:expr, $without:expr;
     $($end:literal, $tries:literal, $by:ident, $way:ident, $what:expr;)*) => {
        &[$(
            call(concat!($name, $end), concat!($tries, $who), |to| {
                $way(&$find(to), $target, $what)
            })
            .stopped_by($out.$by)
            .promised_by($promise)
            .without($without)
        ),*]
    };
    (signals: $($of:tt)*) => {
        ways!(@ $($of)*;
            "-signal", "a signal to ", call, signal, None;
            "-signal-by-pidfd", "a signal by a pidfd to ", call, signal_by_pidfd, 0;
        )
    };
    ($($of:tt)*) => {
        ways!(@ $($of)*;
            "-attach", "PTRACE_ATTACH to ", call, ptrace, libc::PTRACE_ATTACH;
            "-seize", "PTRACE_SEIZE of ", call, ptrace, libc::PTRACE_SEIZE;
            "-read", "process_vm_readv from ", call, memory, libc::SYS_process_vm_readv;
            "-write", "process_vm_writev into ", call, memory, libc::SYS_process_vm_writev;
            "-descriptor", "pidfd_getfd from ", call, descriptor, 0;
            "-root", "/proc/PID/root of ", file, list, "root/";
            "-cwd", "/proc/PID/cwd of ", file, list, "cwd/";
            "-fd", "/proc/PID/fd of ", file, list, "fd/";
            "-environ", "/proc/PID/environ of ", file, open, "environ";
            "-maps", "/proc/PID/maps of ", file, open, "maps";
            "-mem", "/proc/PID/mem of ", file, open, "mem";
            "-exe", "/proc/PID/exe of ", file, link, "exe";
            "-ns", "/proc/PID/ns of ", file, link, "ns/pid";
        )
    };
}

/// Which everybody inside sees.
pub const OF_INIT: &[Attempt] = ways!(
    "init",
    "the init",
    "INIT",
    Targets::clone,
    FOREIGN,
    Namespaces,
    HostRoot
);
pub const TO_INIT: &[Attempt] =
    ways!(signals: "init", "the init", "INIT", Targets::clone, FOREIGN, Namespaces, HostRoot);

/// Which is the host's root, and holds the session.
pub const OF_KEEPER: &[Attempt] = ways!(
    "keeper",
    "the keeper",
    "KEEPER",
    Targets::clone,
    HIDDEN,
    Namespaces,
    HostRoot
);
pub const TO_KEEPER: &[Attempt] =
    ways!(signals: "keeper", "the keeper", "KEEPER", Targets::clone, HIDDEN, Namespaces, HostRoot);

/// Which waits for the keeper to be killed.
pub const OF_STANDBY: &[Attempt] = ways!(
    "standby",
    "the standby",
    "STANDBY",
    Targets::clone,
    HIDDEN,
    Namespaces,
    HostRoot
);
pub const TO_STANDBY: &[Attempt] = ways!(
    signals: "standby", "the standby", "STANDBY", Targets::clone, HIDDEN, Namespaces, HostRoot
);

/// The part of the login program that has become the user is in the berth, and holds what the program keeps open. The
/// user may send it signals.
pub const OF_APPLICATION: &[Attempt] = ways!(
    "application",
    "the login program's process that is the user",
    "PARENT",
    application,
    FOREIGN,
    Namespaces,
    HostRoot
);

/// Of before Berth, or of a service that it does not see.
pub const OF_OUTSIDE: &[Attempt] = ways!(
    "outside",
    "the user's process outside",
    "OUTSIDE",
    Targets::clone,
    HIDDEN,
    Namespaces,
    NoBerth
);
pub const TO_OUTSIDE: &[Attempt] = ways!(
    signals: "outside", "the user's process outside", "OUTSIDE", Targets::clone, HIDDEN, Namespaces, NoBerth
);

/// Where each login has a berth of its own.
pub const OF_OTHER: &[Attempt] = ways!(
    "other",
    "the user's other login",
    "OTHER",
    Targets::clone,
    HIDDEN,
    OwnBerth,
    NoBerth
);
pub const TO_OTHER: &[Attempt] = ways!(
    signals: "other", "the user's other login", "OTHER", Targets::clone, HIDDEN, OwnBerth, NoBerth
);

/// The nearest parent that is sshd (`sshd-session` from OpenSSH 9.8 on), if the stage names no other.
fn application(to: &Targets) -> Targets {
    let mut parents = std::iter::successors(Some(Process::own()), |one| one.parent());
    let sshd = parents.find(|one| one.name().starts_with("sshd"));
    to.with("PARENT", sshd.map(|sshd| sshd.0))
}

fn pidfd(to: &Targets, process: &str) -> Result<u64, Errno> {
    let fd = system_call(libc::SYS_pidfd_open, &[to.number(process).into(), 0])?;
    Ok(fd as u64)
}

fn signal(to: &Targets, process: &str, signal: Option<Signal>) -> Verdict {
    Verdict::of(kill(to.pid(process), signal))
}

fn signal_by_pidfd(to: &Targets, process: &str, signal: u64) -> Verdict {
    let sent = pidfd(to, process)
        .and_then(|fd| system_call(libc::SYS_pidfd_send_signal, &[fd, signal, 0, 0]));
    Verdict::of(sent)
}

/// The tracer's end lets go of the process. One that was attached to would stay stopped.
fn ptrace(to: &Targets, process: &str, request: libc::c_uint) -> Verdict {
    let pid = to.pid(process);
    let traced = system_call(
        libc::SYS_ptrace,
        &[request.into(), pid.as_raw() as u64, 0, 0],
    );
    if traced.is_ok() && request == libc::PTRACE_ATTACH {
        let _ = nix::sys::wait::waitpid(pid, Some(nix::sys::wait::WaitPidFlag::__WALL));
        let detach = [libc::PTRACE_DETACH.into(), pid.as_raw() as u64, 0, 0];
        let _ = system_call(libc::SYS_ptrace, &detach);
    }
    Verdict::of(traced)
}

/// From or to an address where nothing is: who may not is told EPERM before that.
fn memory(to: &Targets, process: &str, number: libc::c_long) -> Verdict {
    let mut bytes = [0_u8; 8];
    let here = libc::iovec {
        iov_base: bytes.as_mut_ptr().cast(),
        iov_len: bytes.len(),
    };
    let there = libc::iovec {
        iov_base: std::ptr::without_provenance_mut(8),
        iov_len: bytes.len(),
    };
    let (here, there) = (&raw const here as u64, &raw const there as u64);
    let pid = to.number(process).into();
    Verdict::but(
        system_call(number, &[pid, here, 1, there, 1, 0]),
        &[Errno::EFAULT],
    )
}

/// Number 0 is one that the init does not have.
fn descriptor(to: &Targets, process: &str, number: u64) -> Verdict {
    let got =
        pidfd(to, process).and_then(|fd| system_call(libc::SYS_pidfd_getfd, &[fd, number, 0]));
    Verdict::but(got, &[Errno::EBADF])
}

fn list(to: &Targets, process: &str, file: &str) -> Verdict {
    Verdict::of_io(fs::read_dir(to.file(process, file)))
}

fn link(to: &Targets, process: &str, file: &str) -> Verdict {
    Verdict::of_io(fs::read_link(to.file(process, file)))
}

/// Most of these are checked when they are opened, the others when they are read.
fn open(to: &Targets, process: &str, file: &str) -> Verdict {
    let opened = fs::File::open(to.file(process, file)).and_then(|file| {
        let mut byte = 0_u8;
        let count = system_call(
            libc::SYS_read,
            &[file.as_raw_fd() as u64, &raw mut byte as u64, 1],
        );
        match count {
            // Memory has nothing at its start; a process that is about to be gone has an empty file.
            Ok(_) | Err(Errno::EIO) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    });
    Verdict::of_io(opened)
}

fn write_again(to: &Targets, file: &str) -> Verdict {
    let path = to.file("INIT", file);
    Verdict::of_io(fs::read_to_string(&path).and_then(|text| fs::write(&path, text)))
}

/// Looks for a process of the host's in a procfs, where at least this one has to be seen.
pub fn hosts_process_in(proc: &str) -> Result<(), Errno> {
    let entries = fs::read_dir(proc).map_err(errno)?;
    let lines = entries
        .flatten()
        .filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    let lines: Vec<Vec<u8>> = lines.collect();
    if lines.is_empty() {
        return Err(Errno::ENODATA);
    }
    let found = lines.iter().any(|line| line == b"sleep\x004711\x00");
    found.then_some(()).ok_or(Errno::ESRCH)
}

/// What came of it where the user's login has tried to see the host's processes by itself.
fn said_in(to: &Targets, file: &str) -> Verdict {
    let said = fs::read_to_string(to.path("HOME").join(file)).unwrap_or_default();
    match said.trim_end().split_once('\t') {
        Some(("ESCAPED", why)) => Verdict::Escaped(why.into()),
        Some(("HELD", why)) => Verdict::Held(why.into()),
        _ => Verdict::Stuck(format!("it was not run: {said:?}")),
    }
}
