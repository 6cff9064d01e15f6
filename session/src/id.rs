//! Session ids: small numbers, never used twice while the machine is up.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::str::FromStr;

use nix::fcntl::{FallocateFlags, fallocate};
use serde::{Deserialize, Serialize};

use crate::regular::is_there;
use crate::{Error, Record, Result};

/// The last id. In /run, so that a reboot starts again at 1; not in [`crate::STATE`], which somebody may remove
/// while sessions live: with a living session's id, the next one would have its private /tmp and its record.
const COUNTER: &str = "/run/berth-last-id";

/// How often its bytes are given back, and how many at a time.
const PAGE: u64 = 4096;

/// The id of one session, as `berth list` shows it. A number and nothing else, so that it can stand
/// in a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SessionId(u64);

impl SessionId {
    /// The next free id.
    pub fn next() -> Result<SessionId> {
        let path = Path::new(COUNTER);
        let fail = |source: io::Error| Error::file("take a session id from", path, source);
        let mut file = OpenOptions::new()
            .read(true) // or a FIFO in its place would be waited for
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path)
            .map_err(fail)?;
        loop {
            let id = next_in(&mut file).map_err(fail)?;
            if !is_there(&Record::path(id))? {
                return Ok(id);
            }
        }
    }
}

/// An id is how long the file has become by its byte: the kernel makes one append after the other. There is no lock, since
/// everybody's login would wait for it, and whoever holds it may be where a user can stop it (su, in a cgroup that is theirs
/// to freeze).
fn next_in(file: &mut File) -> io::Result<SessionId> {
    file.write_all(b".")?;
    let id = file.stream_position()?;
    if id == 0 {
        return Err(io::Error::other("not a regular file")); // It would be 0 for ever.
    }
    if id % PAGE == 0 {
        // Nobody reads it, so it need not grow. Where the file system cannot do that it grows by a byte for each login.
        let flags = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
        let _ = fallocate(&*file, flags, 0, id as i64);
    }
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
    use std::os::unix::fs::MetadataExt;

    use super::*;
    use crate::own_folder::Folder;

    #[test]
    fn ids_count_up_whoever_takes_them_and_their_file_does_not_grow() {
        let folder = Folder::new();
        let path = folder.join("last-id");
        let open = || {
            let mut options = OpenOptions::new();
            let file = options.read(true).append(true).create(true).open(&path);
            file.unwrap()
        };
        let many = || {
            let mut file = open();
            let ids = (0..5000).map(|_| next_in(&mut file).unwrap());
            ids.collect::<Vec<_>>()
        };
        let mut all = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(many)).collect();
            let ids = threads.into_iter().map(|thread| thread.join().unwrap());
            ids.collect::<Vec<_>>().concat()
        });
        all.sort_unstable();
        assert!(all.into_iter().eq((1..=20_000).map(SessionId)));
        let file = open().metadata().unwrap();
        assert_eq!(file.len(), 20_000);
        assert!(file.blocks() * 512 <= 2 * PAGE, "{} blocks", file.blocks());
    }
}
