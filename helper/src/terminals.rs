//! A session's terminals, and writing on them.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};

use berth_session::Group;

/// More terminals than a person looks at.
const MOST: usize = 64;

/// The longest line.
const LINE: usize = 400;

/// Says a line on each terminal of a user's that a program of the session has for its own, unless its user has said
/// `mesg n`. Who has no terminal (sftp, a cron job) is told nothing: what programs print is not for us to mix with.
pub fn say(group: &Group, uid: u32, text: &str) {
    let line = format!("\r\n{}\r\n", harmless(text));
    let pids = group.processes().unwrap_or_default();
    let terminals: BTreeSet<u64> = pids.into_iter().filter_map(terminal_of).collect();
    for device in terminals.into_iter().take(MOST) {
        // A terminal that is stopped, or gone, is not waited for.
        let _ = write(device, uid, line.as_bytes());
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
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // Behind the name, which may have anything in it: state, parent, group, session.
    let device = stat.rsplit_once(") ")?.1.split(' ').nth(4)?;
    device.parse().ok().filter(|device| *device != 0)
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
    let printable = |c: char| if c.is_control() { '?' } else { c };
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
        assert_eq!(harmless(&"x".repeat(1000)).len(), LINE);
    }
}
