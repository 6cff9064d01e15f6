//! Session ids: small numbers, never used twice while the machine is up.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::str::FromStr;

use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};

use crate::{Error, Record, Result};

/// The last id. In /run, so that a reboot starts again at 1; not in [`crate::STATE`], which somebody may remove
/// while sessions live: with a living session's id, the next one would have its private /tmp and its record.
const COUNTER: &str = "/run/berth-last-id";

/// The id of one session, as `berth list` shows it. A number and nothing else, so that it can stand
/// in a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SessionId(u64);

impl SessionId {
    /// The next free id.
    pub fn next() -> Result<SessionId> {
        let path = Path::new(COUNTER);
        let fail = |source: std::io::Error| Error::file("take a session id from", path, source);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            // Nobody but root may open it: whoever can open a file can lock it, and hold up logins.
            .mode(0o600)
            .open(path)
            .map_err(fail)?;
        let mut file =
            Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, errno)| fail(errno.into()))?;
        loop {
            let id = next_in(&mut file).map_err(fail)?;
            if !Record::path(id).exists() {
                return Ok(id);
            }
        }
    }
}

fn next_in(file: &mut File) -> std::io::Result<SessionId> {
    let mut text = String::new();
    file.seek(SeekFrom::Start(0))?;
    file.read_to_string(&mut text)?;
    // A damaged counter must not stop logins: it starts again, and ids in use are passed over.
    let id = text.trim().parse().unwrap_or(0_u64).saturating_add(1);
    file.seek(SeekFrom::Start(0))?;
    // Fixed width and one write: a reader never sees parts of two numbers.
    file.write_all(format!("{id:020}\n").as_bytes())?;
    Ok(SessionId(id))
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for SessionId {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> std::result::Result<SessionId, Self::Err> {
        text.parse().map(SessionId)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_count_up_and_survive_a_damaged_counter() {
        let path = std::env::temp_dir().join(format!("berth-id-{}", std::process::id()));
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&path)
            .unwrap();
        let mut next = || next_in(&mut file).unwrap().to_string();
        assert_eq!(
            (next(), next(), next()),
            ("1".into(), "2".into(), "3".into())
        );
        std::fs::write(&path, "no number").unwrap();
        assert_eq!(next(), "1");
        std::fs::remove_file(path).unwrap();
    }
}
