//! How a program is started, and who has the terminal while it runs.
#![allow(unsafe_code)]

use std::fs::File;
use std::io::IsTerminal;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigHandler, SigSet, Signal};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Gid, Pid, Uid};

use super::{handle, pidfd_kill, pidfd_open};

/// Which process group has the terminal while a program runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Terminal {
    /// The caller's, as for a command of a script.
    Shared,
    /// The program's own, as an interactive shell needs it.
    Own,
}

impl Terminal {
    /// That of a shell, if somebody types there, or of the command that these words are.
    pub fn of(words: &[String]) -> Terminal {
        match words.is_empty() && std::io::stdin().is_terminal() {
            true => Terminal::Own,
            false => Terminal::Shared,
        }
    }
}

/// Who a program runs as.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The UID.
    pub uid: Uid,
    /// The primary GID.
    pub gid: Gid,
    /// Every GID.
    pub groups: Vec<Gid>,
    /// The working directory, if it is there.
    pub home: PathBuf,
}

impl Identity {
    /// Root, and not at home.
    pub fn root() -> Identity {
        Identity {
            uid: Uid::from_raw(0),
            gid: Gid::from_raw(0),
            groups: vec![Gid::from_raw(0)],
            home: "/".into(),
        }
    }
}

/// Makes a program run as a user. Everything happens in the new process: in the PID namespace that
/// the caller has joined, and in the user's name.
pub fn run_as(command: &mut Command, identity: Identity, terminal: Terminal) {
    let become_user = move || {
        close_on_exec()?;
        SigSet::empty().thread_set_mask()?;
        if terminal == Terminal::Own {
            take_terminal()?;
        }
        nix::unistd::setgroups(&identity.groups)?;
        nix::unistd::setgid(identity.gid)?;
        nix::unistd::setuid(identity.uid)?;
        if nix::unistd::chdir(&identity.home).is_err() {
            nix::unistd::chdir("/")?;
        }
        Ok(())
    };
    // SAFETY: only system calls.
    unsafe { command.pre_exec(become_user) };
}

/// Nothing that the caller has open reaches the program, but for the standard streams.
fn close_on_exec() -> std::io::Result<()> {
    let (first, last, flags) = (3_u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC);
    // SAFETY: no pointers; nothing is closed before exec.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) };
    Ok(Errno::result(result).map(drop)?)
}

/// Makes this process the terminal's foreground group, as shells do it.
fn take_terminal() -> std::io::Result<()> {
    let this = Pid::from_raw(0);
    match nix::unistd::setpgid(this, this) {
        // Already a session's leader.
        Ok(()) | Err(Errno::EPERM) => {}
        Err(errno) => return Err(errno.into()),
    }
    give_terminal()
}

/// Gives the terminal to this process's group.
pub fn give_terminal() -> std::io::Result<()> {
    // Whoever is in the background is stopped by this call otherwise.
    let old = handle(Signal::SIGTTOU, SigHandler::SigIgn)?;
    let given = nix::unistd::tcsetpgrp(std::io::stdin(), nix::unistd::getpgrp());
    handle(Signal::SIGTTOU, old)?;
    Ok(given?)
}

/// Leaves the keyboard's signals to the program that runs.
pub fn ignore_keyboard_signals() -> std::io::Result<()> {
    for signal in [Signal::SIGINT, Signal::SIGQUIT] {
        handle(signal, SigHandler::SigIgn)?;
    }
    Ok(())
}

/// The keyboard's signals are ignored as long as this is there.
#[derive(Debug)]
pub struct KeyboardIgnored(Vec<(Signal, SigHandler)>);

/// Starts a program that has the keyboard's signals for itself.
pub fn with_keyboard(command: &mut Command) -> std::io::Result<(Child, KeyboardIgnored)> {
    let mut before = KeyboardIgnored(Vec::new());
    let signals = [Signal::SIGINT, Signal::SIGQUIT];
    // The program would inherit it if they were ignored now. Once they are, what has come meanwhile is gone.
    let held: SigSet = signals.into_iter().collect();
    held.thread_block()?;
    let child = hold_nothing_back(command).spawn();
    let ignored = signals.into_iter().try_for_each(|signal| {
        before.0.push((signal, handle(signal, SigHandler::SigIgn)?));
        Ok::<_, Errno>(())
    });
    held.thread_unblock()?;
    let child = child?;
    ignored?;
    Ok((child, before))
}

impl Drop for KeyboardIgnored {
    fn drop(&mut self) {
        for (signal, handler) in &self.0 {
            // It was so before, so it can be so again.
            let _ = handle(*signal, *handler);
        }
    }
}

/// Has a program begin with no signal held back, and with the umask of who types: it would inherit this one's.
pub fn hold_nothing_back(command: &mut Command) -> &mut Command {
    let begin = || {
        super::own_umask();
        Ok(SigSet::empty().thread_set_mask()?)
    };
    // SAFETY: only system calls.
    unsafe { command.pre_exec(begin) }
}

/// Runs something in a child, which is killed if it takes too long. Gives back its exit status and what it
/// said. It dies with this process. Only for where no other thread is left: the child has none, but their locks.
pub fn in_child(deadline: Duration, work: impl FnOnce() -> i32) -> std::io::Result<(i32, String)> {
    let (from, to) = nix::unistd::pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
    let nothing = File::options().read(true).write(true).open("/dev/null")?;
    // SAFETY: `berth pam`, which alone calls this, has no other thread: those that ask NSS are joined, and where one is not it
    // does not come here. So the child may do whatever the parent may.
    let child = match unsafe { nix::unistd::fork() }? {
        ForkResult::Parent { child } => child,
        ForkResult::Child => {
            let prepared = nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)
                .and_then(|()| nix::unistd::setsid())
                .and_then(|_| nix::unistd::dup2_stdin(&nothing))
                .and_then(|()| nix::unistd::dup2_stdout(&to))
                .and_then(|()| nix::unistd::dup2_stderr(&to));
            let status = match prepared {
                Ok(()) => work(),
                Err(_) => 125,
            };
            // SAFETY: ends this process; what the parent would do at its end is not done twice.
            unsafe { libc::_exit(status) }
        }
    };
    drop(to);
    let process = pidfd_open(child)?;
    let until = Instant::now() + deadline;
    let in_time = loop {
        let left = until.saturating_duration_since(Instant::now());
        let left = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(process.as_fd(), PollFlags::POLLIN)], left) {
            Err(Errno::EINTR) => {}
            ended => break ended? > 0,
        }
    };
    if !in_time {
        pidfd_kill(process.as_fd(), Signal::SIGKILL)?;
    }
    let status = waitpid(child, None)?;
    // What it started may still have the other end, so this does not wait for its end.
    let mut said = vec![0; 4096];
    let length = nix::unistd::read(&from, &mut said).unwrap_or_default();
    said.truncate(length);
    match status {
        WaitStatus::Exited(_, status) => Ok((status, String::from_utf8_lossy(&said).into())),
        _ if !in_time => Err(std::io::ErrorKind::TimedOut.into()),
        other => Err(std::io::Error::other(format!("{other:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::super::hold_signals_back;
    use super::*;

    #[test]
    fn what_is_held_back_here_is_not_in_a_program_that_is_started() {
        hold_signals_back().unwrap();
        let [mut by_run_as, mut as_is] = [(); 2].map(|()| Command::new("grep"));
        run_as(&mut by_run_as, Identity::root(), Terminal::Shared);
        for command in [&mut by_run_as, hold_nothing_back(&mut as_is)] {
            let said = command.args(["SigBlk", "/proc/self/status"]).output();
            assert_eq!(said.unwrap().stdout, b"SigBlk:\t0000000000000000\n");
        }
    }
}
