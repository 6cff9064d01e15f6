//! A session's terminals, and writing on them.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::time::Duration;

use berth_protocol::is_invisible;
use berth_session::{Group, Tree, stat_of};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::sys::{self, Cloned};

/// More terminals than a person looks at.
const MOST: usize = 64;

/// The longest line.
const LINE: usize = 400;

/// Writes on a session's terminals, in a child process.
///
/// A user can make any call on a terminal of theirs wait for as long as they like: while a program writes from a page
/// of a FUSE file whose server does not answer, and others ask for another line discipline, even close(2) waits,
/// O_NONBLOCK or not. The keeper must see the end of the login meanwhile.
#[derive(Debug, Default)]
pub struct Speaker {
    child: Option<(Pid, OwnedFd)>,
    /// The cgroup of the child; its parent's where there is none.
    place: Option<File>,
}

impl Speaker {
    /// One whose child is among the keepers: whoever waits for all that is in their own cgroup, as systemd does at a
    /// unit's end, waits for no terminal.
    pub fn among_keepers(tree: &Tree) -> Speaker {
        Speaker {
            child: None,
            // Users have sessions, so it is there; a line is not worth more.
            place: File::open(tree.keepers().path()).ok(),
        }
    }

    /// Says lines on each terminal of a user's that a program of these sessions has for its own, unless its user has said
    /// `mesg n`. Who has no terminal (sftp, a cron job) is told nothing: what programs print is not for us to mix with.
    pub fn say(&mut self, groups: &[Group], uid: u32, lines: &[String]) {
        if lines.is_empty() {
            return;
        }
        let lines: Vec<String> = lines.iter().map(|line| harmless(line)).collect();
        let text = format!("\r\n{}\r\n", lines.join("\r\n"));
        let pids = groups
            .iter()
            .flat_map(|group| group.processes().unwrap_or_default());
        let terminals: BTreeSet<u64> = pids.filter_map(terminal_of).collect();
        self.in_child(|| {
            for device in terminals.into_iter().take(MOST) {
                // A terminal that is stopped, or gone, is not waited for.
                let _ = write(device, uid, text.as_bytes());
            }
        });
    }

    /// Waits until all is said, for at most so long.
    pub fn wait(&self, at_most: Duration) {
        let Some((_, pidfd)) = &self.child else {
            return;
        };
        let timeout = PollTimeout::try_from(at_most).unwrap_or(PollTimeout::MAX);
        // Whatever it returns: who is still at it then ends with the speaker.
        let _ = poll(
            &mut [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)],
            timeout,
        );
    }

    /// Ends it, however long that takes. Left to whoever reaps orphans it would stay, where that is a user's program that reaps
    /// none, among the keepers, of which there may be any number.
    pub fn end(&self) {
        let Some((child, pidfd)) = &self.child else {
            return;
        };
        let _ = sys::pidfd_kill(pidfd.as_fd(), Signal::SIGKILL); // it may have ended
        while waitpid(*child, None) == Err(Errno::EINTR) {}
    }

    /// One at a time: whose terminals keep the last one waiting is told no more.
    fn in_child(&mut self, speak: impl FnOnce()) {
        if self.is_speaking() {
            return;
        }
        let place = self.place.as_ref().map(AsFd::as_fd);
        self.child = match sys::clone(0, place) {
            Ok(Cloned::Child) => {
                // The keeper's locks must not live longer than the keeper, nor its sockets.
                if sys::close_all().is_ok() {
                    speak();
                }
                sys::exit(0)
            }
            Ok(Cloned::Parent { child, pidfd }) => Some((child, pidfd)),
            Err(_) => None, // Not worth more than a lost line.
        };
    }

    fn is_speaking(&self) -> bool {
        let ended = |child| waitpid(child, Some(WaitPidFlag::WNOHANG));
        let child = self.child.as_ref().map(|(child, _)| *child);
        child.is_some_and(|child| matches!(ended(child), Ok(WaitStatus::StillAlive)))
    }
}

impl Drop for Speaker {
    fn drop(&mut self) {
        if let Some((_, pidfd)) = &self.child {
            let _ = sys::pidfd_kill(pidfd.as_fd(), Signal::SIGKILL); // it may have ended
        }
        self.is_speaking(); // reaps it, if it is not held up
    }
}

fn write(device: u64, uid: u32, line: &[u8]) -> Option<()> {
    let mut options = OpenOptions::new();
    let flags = libc::O_NOCTTY | libc::O_NONBLOCK | libc::O_NOFOLLOW;
    let mut terminal = options
        .write(true)
        .custom_flags(flags)
        .open(path(device)?)
        .ok()?;
    let is = terminal.metadata().ok()?;
    // Another instance of devpts (in a container of the user's) has the same numbers for other terminals.
    let is_theirs = is.file_type().is_char_device() && is.rdev() == device && is.uid() == uid;
    let wants_messages = is.mode() & libc::S_IWGRP != 0;
    (is_theirs && wants_messages).then(|| terminal.write(line).ok())?;
    Some(())
}

/// A process's controlling terminal (proc_pid_stat(5), tty_nr).
fn terminal_of(pid: i32) -> Option<u64> {
    let device = stat_of(pid).ok()??.field(7);
    device.filter(|device| *device != 0)
}

/// Where it is (kernel documentation, admin-guide/devices).
fn path(device: u64) -> Option<String> {
    match (libc::major(device), libc::minor(device)) {
        (major @ 136..=143, minor) => Some(format!("/dev/pts/{}", (major - 136) * 256 + minor)),
        (4, minor @ 0..64) => Some(format!("/dev/tty{minor}")),
        (4, minor) => Some(format!("/dev/ttyS{}", minor - 64)),
        _ => None,
    }
}

/// What cannot move a cursor or rename a window: programs choose their own names.
fn harmless(text: &str) -> String {
    let printable = |c: char| if is_invisible(c) { '?' } else { c };
    text.chars().take(LINE).map(printable).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminals_are_found_by_their_numbers() {
        for (major, minor, expected) in [
            (136, 7, Some("/dev/pts/7")),
            (137, 1, Some("/dev/pts/257")),
            (4, 1, Some("/dev/tty1")),
            (4, 64, Some("/dev/ttyS0")),
            (1, 3, None),
        ] {
            assert_eq!(path(libc::makedev(major, minor)).as_deref(), expected);
        }
    }

    #[test]
    fn a_programs_name_cannot_steer_a_terminal() {
        assert_eq!(harmless("killed a\x1b[2Jb\u{9b}c"), "killed a?[2Jb?c");
        // Nor change the order in which the line is read.
        assert_eq!(harmless("killed \u{202e}a"), "killed ?a");
        assert_eq!(harmless(&"x".repeat(1000)).len(), LINE);
    }

    #[test]
    fn a_terminal_that_keeps_its_writer_waiting_holds_up_nobody() {
        let mut speaker = Speaker::default();
        let begun = std::time::Instant::now();
        speaker.in_child(|| std::thread::sleep(std::time::Duration::from_secs(30)));
        let held = speaker.child.as_ref().map(|(child, _)| *child);
        speaker.in_child(|| {});
        let second = speaker.child.as_ref().map(|(child, _)| *child);
        assert_eq!(held, second, "one at a time");
        assert!(speaker.is_speaking());
        drop(speaker);
        assert!(begun.elapsed().as_secs() < 10);
        // It ends with its keeper.
        let mut state = waitpid(held.unwrap(), Some(WaitPidFlag::WNOHANG));
        while state == Ok(WaitStatus::StillAlive) && begun.elapsed().as_secs() < 10 {
            state = waitpid(held.unwrap(), Some(WaitPidFlag::WNOHANG));
        }
        assert_ne!(state, Ok(WaitStatus::StillAlive));
    }

    #[test]
    fn nothing_is_left_of_a_writer_that_is_waited_for() {
        let mut speaker = Speaker::default();
        speaker.end();
        speaker.in_child(|| std::thread::sleep(std::time::Duration::from_secs(30)));
        let child = speaker.child.as_ref().map(|(child, _)| *child);
        speaker.end();
        let left = waitpid(child.unwrap(), Some(WaitPidFlag::WNOHANG));
        assert_eq!(left, Err(Errno::ECHILD));
    }

    #[test]
    fn a_writer_has_no_descriptor_of_its_keepers() {
        let (mut here, there) = std::os::unix::net::UnixStream::pair().unwrap();
        let mut speaker = Speaker::default();
        speaker.in_child(|| std::thread::sleep(std::time::Duration::from_secs(30)));
        drop(there);
        here.set_read_timeout(Some(std::time::Duration::from_secs(10)))
            .unwrap();
        assert_eq!(std::io::Read::read(&mut here, &mut [0]).ok(), Some(0));
    }
}
