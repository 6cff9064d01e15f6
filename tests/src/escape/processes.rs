//! Reaching a process that is not the session's own: by signals, by tracing, by its memory, by /proc.

use std::fs;
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::Process;

use super::Promise::OwnBerth;
use super::Without::NoBerth;
use super::targets::Targets;
use super::{Attempt, Verdict, call, shell, system_call};

pub const ATTEMPTS: &[Attempt] = &[
    // The init, which everybody inside can name.
    call("init-kill", "SIGKILL to the init", |to| {
        Verdict::of(kill(to.pid("INIT"), Signal::SIGKILL))
    }),
    call("init-stop", "SIGSTOP to the init", |to| {
        Verdict::of(kill(to.pid("INIT"), Signal::SIGSTOP))
    }),
    call(
        "init-signal-by-pidfd",
        "a signal to the init by a pidfd",
        |to| {
            Verdict::of(pidfd(to, "INIT").and_then(|fd| {
                system_call(
                    libc::SYS_pidfd_send_signal,
                    &[fd, Signal::SIGCONT as u64, 0, 0],
                )
            }))
        },
    ),
    call("init-attach", "PTRACE_ATTACH to the init", |to| {
        attach(to, "INIT")
    }),
    call("init-seize", "PTRACE_SEIZE of the init", |to| {
        ptrace(to, "INIT", libc::PTRACE_SEIZE)
    }),
    call("init-read", "process_vm_readv from the init", |to| {
        read(to, "INIT")
    }),
    call("init-write", "process_vm_writev into the init", |to| {
        memory(to, "INIT", libc::SYS_process_vm_writev)
    }),
    call(
        "init-descriptor",
        "pidfd_getfd of the init's descriptors",
        |to| descriptor(to, "INIT"),
    ),
    call("init-root", "/proc/PID/root of the init", |to| {
        list(to, "INIT", "root/")
    }),
    call("init-cwd", "/proc/PID/cwd of the init", |to| {
        list(to, "INIT", "cwd/")
    }),
    call("init-fd", "/proc/PID/fd of the init", |to| {
        list(to, "INIT", "fd/")
    }),
    call("init-environ", "/proc/PID/environ of the init", |to| {
        open(to, "INIT", "environ")
    }),
    call("init-maps", "/proc/PID/maps of the init", |to| {
        open(to, "INIT", "maps")
    }),
    call("init-mem", "/proc/PID/mem of the init", |to| {
        open(to, "INIT", "mem")
    }),
    call("init-exe", "/proc/PID/exe of the init", |to| {
        link(to, "INIT", "exe")
    }),
    call("init-ns", "/proc/PID/ns of the init", |to| {
        link(to, "INIT", "ns/pid")
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
    shell(
        "init-nested-kill",
        "SIGKILL to the init by root of a user namespace",
        "if [ $(id -u) = 0 ]; then kill -KILL $INIT; else unshare -Ur kill -KILL $INIT; fi",
    ),
    shell(
        "init-nested-root",
        "/proc/PID/root of the init by root of a user namespace",
        "if [ $(id -u) = 0 ]; then ls /proc/$INIT/root/; else unshare -Ur ls /proc/$INIT/root/; fi",
    ),
    shell(
        "init-nested-enter",
        "the init's mount namespace by root of a user namespace",
        "if [ $(id -u) = 0 ]; then nsenter -t $INIT -m true; else unshare -Ur nsenter -t $INIT -m true; fi",
    ),
    // The keeper, which is the host's root and holds the session.
    call("keeper-signal", "a signal to the keeper", |to| {
        signal(to, "KEEPER")
    }),
    call("keeper-attach", "PTRACE_ATTACH to the keeper", |to| {
        attach(to, "KEEPER")
    }),
    call("keeper-fd", "the keeper's descriptors", |to| {
        list(to, "KEEPER", "fd/")
    }),
    call("keeper-mem", "the keeper's memory", |to| {
        open(to, "KEEPER", "mem")
    }),
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
    .without(NoBerth),
    // The part of it that has become the user is in the berth, and holds what the program keeps open.
    call(
        "application-fd",
        "the descriptors of the login program's process that is the user",
        |to| list(&application(to), "PARENT", "fd/"),
    ),
    call("application-mem", "the memory of that process", |to| {
        open(&application(to), "PARENT", "mem")
    }),
    call(
        "application-attach",
        "PTRACE_ATTACH to that process",
        |to| attach(&application(to), "PARENT"),
    ),
    call(
        "application-descriptor",
        "pidfd_getfd from that process",
        |to| descriptor(&application(to), "PARENT"),
    ),
    // The user's own processes outside: of before Berth, or of a service that it does not see.
    call(
        "outside-signal",
        "a signal to the user's process outside",
        |to| signal(to, "OUTSIDE"),
    )
    .without(NoBerth),
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
    .without(NoBerth),
    call(
        "outside-attach",
        "PTRACE_ATTACH to the user's process outside",
        |to| attach(to, "OUTSIDE"),
    )
    .without(NoBerth),
    call(
        "outside-read",
        "process_vm_readv from the user's process outside",
        |to| read(to, "OUTSIDE"),
    )
    .without(NoBerth),
    call(
        "outside-descriptor",
        "pidfd_getfd from the user's process outside",
        |to| descriptor(to, "OUTSIDE"),
    )
    .without(NoBerth),
    call(
        "outside-root",
        "/proc/PID/root of the user's process outside",
        |to| list(to, "OUTSIDE", "root/"),
    )
    .without(NoBerth),
    call(
        "outside-environ",
        "the environment of the user's process outside",
        |to| open(to, "OUTSIDE", "environ"),
    )
    .without(NoBerth),
    // The user's other login, where each has a berth of its own.
    call("other-signal", "a signal to the user's other login", |to| {
        signal(to, "OTHER")
    })
    .promised_by(OwnBerth)
    .without(NoBerth),
    call(
        "other-attach",
        "PTRACE_ATTACH to the user's other login",
        |to| attach(to, "OTHER"),
    )
    .promised_by(OwnBerth)
    .without(NoBerth),
    call(
        "other-read",
        "process_vm_readv from the user's other login",
        |to| read(to, "OTHER"),
    )
    .promised_by(OwnBerth)
    .without(NoBerth),
    call(
        "other-descriptor",
        "pidfd_getfd from the user's other login",
        |to| descriptor(to, "OTHER"),
    )
    .promised_by(OwnBerth)
    .without(NoBerth),
    call(
        "other-root",
        "/proc/PID/root of the user's other login",
        |to| list(to, "OTHER", "root/"),
    )
    .promised_by(OwnBerth)
    .without(NoBerth),
    call(
        "other-environ",
        "the environment of the user's other login",
        |to| open(to, "OTHER", "environ"),
    )
    .promised_by(OwnBerth)
    .without(NoBerth),
    // Others.
    shell(
        "hosts-seen",
        "seeing processes of the host",
        "reach_process /proc",
    )
    .without(NoBerth),
    shell(
        "ssh-rc",
        "seeing them from ~/.ssh/rc, before the login's command",
        "test -e $HOME/by-rc",
    )
    .without(NoBerth),
    call("victim-seen", "seeing a process of another user's", |to| {
        let pid = to.number("VICTIM");
        let there = fs::read_to_string(format!("/proc/{pid}/comm"));
        Verdict::found(there.ok())
    })
    .without(NoBerth),
    shell(
        "dump-helper",
        "another program for core dumps, /proc/sys/kernel/core_pattern",
        ": >>/proc/sys/kernel/core_pattern",
    ),
];

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

fn signal(to: &Targets, process: &str) -> Verdict {
    Verdict::of(kill(to.pid(process), None))
}

fn ptrace(to: &Targets, process: &str, request: libc::c_uint) -> Verdict {
    let pid = to.number(process).into();
    Verdict::of(system_call(libc::SYS_ptrace, &[request.into(), pid, 0, 0]))
}

/// The tracer's end lets go of the process, but it stays stopped.
fn attach(to: &Targets, process: &str) -> Verdict {
    let verdict = ptrace(to, process, libc::PTRACE_ATTACH);
    if let Verdict::Escaped(_) = verdict {
        let pid = to.pid(process);
        let _ = nix::sys::wait::waitpid(pid, Some(nix::sys::wait::WaitPidFlag::__WALL));
        let _ = system_call(
            libc::SYS_ptrace,
            &[libc::PTRACE_DETACH.into(), pid.as_raw() as u64],
        );
    }
    verdict
}

fn read(to: &Targets, process: &str) -> Verdict {
    memory(to, process, libc::SYS_process_vm_readv)
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
fn descriptor(to: &Targets, process: &str) -> Verdict {
    let got = pidfd(to, process).and_then(|fd| system_call(libc::SYS_pidfd_getfd, &[fd, 0, 0]));
    Verdict::but(got, &[Errno::EBADF])
}

fn list(to: &Targets, process: &str, file: &str) -> Verdict {
    Verdict::of_io(fs::read_dir(to.file(process, file)).map(drop))
}

fn link(to: &Targets, process: &str, file: &str) -> Verdict {
    Verdict::of_io(fs::read_link(to.file(process, file)).map(drop))
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
