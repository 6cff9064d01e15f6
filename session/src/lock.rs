//! Locks that are not waited for without end.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::stat::{major, minor};

use crate::{Error, Result};

/// Who holds a user's lock for longer hangs, or was stopped.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// How long each lock is waited for in any case. An ordinary login holds its user's for less.
pub(crate) const MOMENT: Duration = Duration::from_millis(200);

/// Between two tries for a lock.
const LONGEST_PAUSE: Duration = Duration::from_millis(8);

/// Locks a file, or says who does not let it go.
pub(crate) fn lock_until(mut file: File, path: &Path, until: Instant) -> Result<Flock<File>> {
    let begun = Instant::now();
    let mut pause = Duration::from_millis(1);
    loop {
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Ok(lock),
            Err((same, Errno::EWOULDBLOCK)) if Instant::now() < until => file = same,
            Err((same, Errno::EWOULDBLOCK)) => {
                let by = holder(&same);
                let by = by.map_or("a process that /proc/locks does not name".into(), |pid| {
                    format!("process {pid}")
                });
                return Err(Error::Held {
                    path: path.into(),
                    by,
                    // Some of the time may have passed before this.
                    advice: match begun.elapsed() + MOMENT < PATIENCE {
                        true => "try again: it may be free by then",
                        false => "if it hangs or was stopped, kill it (kill -KILL)",
                    },
                });
            }
            Err((_, errno)) => return Err(Error::file("lock", path, errno)),
        }
        // Most are let go within milliseconds; many who wait longer are not to keep a CPU busy.
        std::thread::sleep(pause);
        pause = (2 * pause).min(LONGEST_PAUSE);
    }
}

/// The PID of who has locked a file (proc_locks(5)). Who has inherited the lock since is not named there.
fn holder(file: &File) -> Option<String> {
    let is = file.metadata().ok()?;
    let known = format!(
        "{:02x}:{:02x}:{}",
        major(is.dev()),
        minor(is.dev()),
        is.ino()
    );
    let locks = fs::read_to_string("/proc/locks").ok()?;
    // Who waits stands behind an arrow.
    let mut locks = locks.lines().map(|line| line.split_whitespace().skip(1));
    locks.find_map(|mut words| match words.next()? {
        "FLOCK" => {
            let pid = words.nth(2)?;
            (words.next()? == known).then(|| pid.into())
        }
        _ => None,
    })
}
