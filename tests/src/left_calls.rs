//! The system calls that a process is left by its filters, as the kernel gives these to root.

use nix::errno::Errno;
use nix::sys::ptrace;
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

use crate::Process;

/// `PTRACE_SECCOMP_GET_FILTER` (linux/ptrace.h).
const GET_FILTER: u32 = 0x420c;

/// Lets a call by.
pub const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
/// Lets it fail with ENOSYS.
pub const ENOSYS: u32 = libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32;
/// Ends who makes it.
pub const KILL: u32 = libc::SECCOMP_RET_KILL_PROCESS;

/// The architectures of which the kernel runs programs (`AUDIT_ARCH_*`), the tests' own first.
#[cfg(target_arch = "x86_64")]
pub const ARCHITECTURES: [u32; 2] = [0xc000_003e, 0x4000_0003];
/// The architectures of which the kernel runs programs (`AUDIT_ARCH_*`), the tests' own first.
#[cfg(target_arch = "aarch64")]
pub const ARCHITECTURES: [u32; 2] = [0xc000_00b7, 0x4000_0028];

/// All filters of a process.
#[derive(Debug)]
pub struct Filters(Vec<Vec<libc::sock_filter>>);

impl Filters {
    /// Reads them. The process is stopped for a moment.
    pub fn of(process: Process) -> Filters {
        let pid = Pid::from_raw(process.0);
        ptrace::seize(pid, ptrace::Options::empty()).expect("seize");
        ptrace::interrupt(pid).expect("interrupt");
        waitpid(pid, Some(WaitPidFlag::__WALL)).expect("wait");
        let filters = (0..).map_while(|number| read(pid, number)).collect();
        ptrace::detach(pid, None).expect("detach");
        Filters(filters)
    }

    /// What becomes of a call by its number, whatever its arguments: the strictest answer, as the kernel takes it.
    pub fn answer(&self, architecture: u32, call: i64) -> u32 {
        let call = u32::try_from(call).expect("a call");
        let answers = self.0.iter().map(|one| run(one, architecture, call));
        answers.min_by_key(|answer| *answer as i32).unwrap_or(ALLOW)
    }
}

/// One of the filters, counted from the first; `None` where there are no more.
fn read(pid: Pid, number: usize) -> Option<Vec<libc::sock_filter>> {
    let ask = |into: *mut libc::sock_filter| {
        // SAFETY: the kernel writes as many instructions as it says that there are; none to a null pointer.
        Errno::result(unsafe { libc::ptrace(GET_FILTER, pid.as_raw(), number, into) })
    };
    let length = match ask(std::ptr::null_mut()) {
        Err(Errno::ENOENT | Errno::EINVAL) => return None, // EINVAL where there is none at all
        length => length.expect("the kernel gives no filters (CONFIG_CHECKPOINT_RESTORE)"),
    };
    let nothing = libc::sock_filter {
        code: 0,
        jt: 0,
        jf: 0,
        k: 0,
    };
    let mut program = vec![nothing; usize::try_from(length).expect("a length")];
    ask(program.as_mut_ptr()).expect("the same again");
    Some(program)
}

/// Runs a filter that looks at nothing but the architecture and the number.
fn run(program: &[libc::sock_filter], architecture: u32, call: u32) -> u32 {
    const LOAD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    const IF_EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    const RETURN: u32 = libc::BPF_RET | libc::BPF_K;
    let (mut at, mut value) = (0, 0);
    loop {
        let libc::sock_filter { code, jt, jf, k } = program[at];
        at += 1;
        match u32::from(code) {
            LOAD if k == 0 => value = call,
            LOAD if k == 4 => value = architecture,
            IF_EQUAL => at += usize::from(if value == k { jt } else { jf }),
            RETURN => return k,
            code => panic!("instruction {code:#x} of {k}"),
        }
    }
}
