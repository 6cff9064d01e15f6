//! Files that are locked while something is changed. The kernel lets a lock go with the process.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

/// Waits until nobody else has it.
pub fn wait(path: &Path) -> io::Result<Flock<File>> {
    Flock::lock(open(path)?, FlockArg::LockExclusive).map_err(|(_, errno)| errno.into())
}

/// Takes it, unless somebody else has it.
pub fn at_once(path: &Path) -> io::Result<Option<Flock<File>>> {
    match Flock::lock(open(path)?, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(Some(lock)),
        Err((_, Errno::EAGAIN)) => Ok(None),
        Err((_, errno)) => Err(errno.into()),
    }
}

/// Makes it and its folder if need be. Root's alone: whoever can open a file can lock it.
fn open(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut options = OpenOptions::new();
    let options = options.read(true).write(true).create(true);
    options.truncate(false).mode(0o600).open(path)
}
