//! Files: read if they are files, written whole or not at all, looked for and removed. In the place of one there may be
//! anything, once somebody has put back what they had saved of a machine; and who opens a FIFO waits for somebody to write.

use std::fs::{self, DirEntry, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use serde::Serialize;

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

/// What a file is known by, whatever its name.
pub fn file_id(file: &File) -> Option<(u64, u64)> {
    let file = file.metadata().ok()?;
    Some((file.dev(), file.ino()))
}

/// Opens one that need not be there.
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

/// The same of one that need not be there.
pub(crate) fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>> {
    let Some(mut file) = open_if_there(path)? else {
        return Ok(None);
    };
    let mut bytes = Vec::new();
    let read = file.read_to_end(&mut bytes);
    read.map_err(|error| Error::file("read", path, error))?;
    Ok(Some(bytes))
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

/// Puts a value as JSON in a file's place, in the same way.
pub(crate) fn replace_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_vec(value).map_err(io::Error::from);
    let written = text.and_then(|text| replace_file(path, &unfinished(path), &text, |_| ()));
    written.map_err(|error| Error::file("write", path, error))
}

/// What is left of that by somebody who was killed.
pub(crate) fn unfinished(path: &Path) -> PathBuf {
    path.with_extension("new")
}

/// What is in a folder. One that is not there has nothing. Of one that cannot be read to its end nothing is told: what the
/// rest names would be taken for gone.
pub(crate) fn entries(path: &Path) -> Result<Vec<DirEntry>> {
    match fs::read_dir(path).and_then(Iterator::collect) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        entries => entries.map_err(|error| Error::file("list", path, error)),
    }
}

/// Whether something is there. What nobody could look at is not taken for gone: of a user's cgroup what is in it would go on
/// without a record, and without what stood before Berth's caps these would be taken off what goes on.
pub(crate) fn is_there(path: &Path) -> Result<bool> {
    let there = path.try_exists();
    there.map_err(|error| Error::file("look at", path, error))
}

/// Removes a file, content to find it gone.
pub(crate) fn remove_if_there(path: &Path) -> Result<()> {
    remove_file(path).map_err(|error| Error::file("remove", path, error))
}
