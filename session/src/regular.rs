//! Files: read if they are files, and written whole or not at all. In the place of one there may be anything, once somebody
//! has put back what they had saved of a machine; and who opens a FIFO waits for somebody to write.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::fcntl::OFlag;

use crate::{Error, Result};

/// Opens a file for reading, if it is one.
pub fn open_file(path: impl AsRef<Path>) -> io::Result<File> {
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let mut options = OpenOptions::new();
    let file = options.read(true).custom_flags(flags.bits()).open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::other("not a regular file")),
    }
}

/// The same of one that need not be there.
pub(crate) fn open_if_there(path: &Path) -> Result<Option<File>> {
    match open_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        file => file
            .map(Some)
            .map_err(|error| Error::file("read", path, error)),
    }
}

/// Reads one whole.
pub fn read_file(path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open_file(path)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Removes one, content to find it gone.
pub fn remove_file(path: impl AsRef<Path>) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Puts a file of root's in a file's place: whoever is killed, and whoever reads, there is the old or the new. `new` is a
/// name in the same folder that nobody looks for, `prepare` what else is done to the file.
pub fn replace_file(
    path: &Path,
    new: &Path,
    bytes: &[u8],
    prepare: impl FnOnce(&File),
) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let options = options.write(true).create(true).truncate(true).mode(0o600);
    let written = options.open(new).and_then(|mut file| {
        prepare(&file);
        file.write_all(bytes)?;
        fs::rename(new, path)
    });
    written.inspect_err(|_| {
        let _ = fs::remove_file(new); // the first error is the one to tell of
    })
}
