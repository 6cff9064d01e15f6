//! What a key of `top` does to a row: `berth` itself is run, and what it says is shown.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::{Child, Command, Stdio};

use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::unistd::Pid;

use crate::sys;

/// A verb that runs.
pub struct Errand {
    child: Child,
    ended: OwnedFd,
    /// No pipe: nobody reads it before the end, however long it is.
    said: File,
}

impl Errand {
    /// Starts this program with these arguments.
    pub fn start(arguments: &[String]) -> io::Result<Errand> {
        let said = File::from(memfd_create(c"berth-top", MFdFlags::MFD_CLOEXEC)?);
        // Not by its name: an upgrade may have put another program there.
        let mut command = Command::new("/proc/self/exe");
        command
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(said.try_clone()?)
            .stderr(said.try_clone()?);
        let child = sys::hold_nothing_back(&mut command).spawn()?;
        let ended = sys::pidfd_open(Pid::from_raw(i32::try_from(child.id()).unwrap_or(0)))?;
        Ok(Errand { child, ended, said })
    }

    /// Readable when it has ended.
    pub fn ended(&self) -> BorrowedFd<'_> {
        self.ended.as_fd()
    }

    /// What it said, on one line, if it has ended.
    pub fn answer(&mut self) -> io::Result<Option<String>> {
        let Some(status) = self.child.try_wait()? else {
            return Ok(None);
        };
        let mut said = String::new();
        self.said.rewind()?;
        self.said.read_to_string(&mut said)?;
        Ok(Some(line(&said).unwrap_or_else(|| status.to_string())))
    }
}

/// The first line, and how many there are beside.
fn line(said: &str) -> Option<String> {
    let mut lines = said.lines().filter(|line| !line.trim().is_empty());
    let first = lines.next()?;
    Some(match lines.count() {
        0 => first.into(),
        more => format!("{first} (and {more} more)"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_one_line() {
        assert_eq!(
            line("\nfrozen user \"a\"\n").as_deref(),
            Some("frozen user \"a\"")
        );
        assert_eq!(
            line("ended 1\nended 2\n\nended 3\n").as_deref(),
            Some("ended 1 (and 2 more)")
        );
        assert_eq!(line("\n"), None);
    }
}
