//! One traced process: its memory, its registers, and the call that it stands at.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;

use nix::errno::Errno;
use nix::sys::ptrace;
use nix::unistd::Pid;

use super::calls::{Call, Shown};

/// The longest path that is shown.
const LONGEST: usize = 256;

/// What a process that has stopped for its system call stands at.
#[derive(Debug, Clone, Copy)]
pub enum Stop {
    /// It is about to make this call.
    Entry {
        /// Which.
        number: u64,
        /// With what.
        arguments: [u64; 6],
    },
    /// It has made it.
    Exit,
    /// Neither.
    None,
}

/// Why a process has stopped for its system call.
pub fn stop(pid: Pid) -> Stop {
    // struct ptrace_syscall_info: what it is in the first byte; the number and six arguments from byte 24 on.
    let mut info = [0_u64; 11];
    let size = size_of_val(&info);
    // SAFETY: the kernel writes at most `size` bytes.
    let got = unsafe {
        libc::ptrace(
            libc::PTRACE_GET_SYSCALL_INFO,
            pid.as_raw(),
            size,
            info.as_mut_ptr(),
        )
    };
    if got < 0 {
        return Stop::None; // It was killed meanwhile.
    }
    let [first, _, _, number, a, b, c, d, e, f, _] = info;
    match first & 0xff {
        1 => Stop::Entry {
            number,
            arguments: [a, b, c, d, e, f],
        },
        2 => Stop::Exit,
        _ => Stop::None,
    }
}

fn memory(pid: Pid) -> io::Result<File> {
    let path = format!("/proc/{pid}/mem");
    OpenOptions::new().read(true).write(true).open(path)
}

/// A word of its memory.
pub fn word(pid: Pid, at: u64) -> io::Result<u64> {
    let mut bytes = [0; 8];
    memory(pid)?.read_exact_at(&mut bytes, at)?;
    Ok(u64::from_ne_bytes(bytes))
}

fn text(pid: Pid, at: u64) -> String {
    let mut bytes = vec![0; LONGEST];
    let read = memory(pid).and_then(|memory| memory.read_at(&mut bytes, at));
    bytes.truncate(read.unwrap_or(0));
    let end = bytes.iter().position(|byte| *byte == 0);
    String::from_utf8_lossy(&bytes[..end.unwrap_or(bytes.len())]).into_owned()
}

/// What tells this call from others of its name.
pub fn shown(pid: Pid, call: &Call, arguments: &[u64; 6]) -> String {
    match call.shown {
        Shown::Path(argument) => text(pid, arguments[argument]),
        Shown::Descriptor => {
            let path = format!("/proc/{pid}/fd/{}", arguments[0]);
            let target = fs::read_link(path).unwrap_or_default();
            target.display().to_string()
        }
        Shown::Numbers(count) => {
            let numbers = arguments[..count].iter().map(|one| format!("{one:#x}"));
            numbers.collect::<Vec<_>>().join(" ")
        }
    }
}

/// A place in the text of a program at which it stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Breakpoint {
    at: u64,
    /// What stood there.
    original: u8,
}

/// The instruction that stops a program: int3.
const STOP: u8 = 0xcc;

impl Breakpoint {
    /// Sets one.
    pub fn set(pid: Pid, at: u64) -> io::Result<Breakpoint> {
        let memory = memory(pid)?;
        let mut original = [0];
        memory.read_exact_at(&mut original, at)?;
        memory.write_all_at(&[STOP], at)?;
        Ok(Breakpoint {
            at,
            original: original[0],
        })
    }

    /// Whether it is at this address.
    pub fn is_at(self, at: u64) -> bool {
        self.at == at
    }

    /// Takes it away.
    pub fn clear(self, pid: Pid) -> io::Result<()> {
        memory(pid)?.write_all_at(&[self.original], self.at)
    }

    /// Whether the program stands here. If so, it goes on as if there were none.
    pub fn is_hit(self, pid: Pid) -> nix::Result<bool> {
        let mut registers = ptrace::getregs(pid)?;
        if registers.rip != self.at + 1 {
            return Ok(false);
        }
        registers.rip = self.at;
        ptrace::setregs(pid, registers)?;
        Ok(true)
    }
}

/// Where the function that a program is about to begin will return to.
pub fn returns_to(pid: Pid) -> io::Result<u64> {
    word(pid, ptrace::getregs(pid)?.rsp)
}

/// Keeps the call that the process stands at from being made. In its place one is made that does nothing and that each of
/// Berth's filters lets through: they look at a call after its tracer, and end an init at what is none.
pub fn skip(pid: Pid) -> nix::Result<()> {
    let mut registers = ptrace::getregs(pid)?;
    registers.orig_rax = libc::SYS_restart_syscall as u64;
    ptrace::setregs(pid, registers)
}

/// Exchanges the first argument of the call that the process stands at.
pub fn first_argument(pid: Pid, argument: u64) -> nix::Result<()> {
    let mut registers = ptrace::getregs(pid)?;
    registers.rdi = argument;
    ptrace::setregs(pid, registers)
}

/// What the call has returned that the process has made.
pub fn result(pid: Pid) -> nix::Result<i64> {
    Ok(ptrace::getregs(pid)?.rax as i64)
}

/// Gives the call that the process has made another result.
pub fn give(pid: Pid, result: i64) -> nix::Result<()> {
    let mut registers = ptrace::getregs(pid)?;
    registers.rax = result as u64;
    ptrace::setregs(pid, registers)
}

/// Makes the call that the process stands at fail. Says what its result is to be; `None` leaves it as it is.
pub fn fail(pid: Pid, call: &Call, errno: Errno) -> nix::Result<Option<i64>> {
    match call.name() {
        // The descriptor is gone whatever close(2) says.
        "close" => {}
        // It says where the heap ends, and that it has not moved.
        "brk" => {
            first_argument(pid, 0)?;
            return Ok(None);
        }
        _ => skip(pid)?,
    }
    Ok(Some(-i64::from(errno as i32)))
}
