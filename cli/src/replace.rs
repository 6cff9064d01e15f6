//! Putting a text in a file's place in one step: at every moment, and after a crash, there is the old or the new.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::Path;

/// Writes a file with the owner and mode of another, or root's that all can read.
pub fn replace(path: &Path, text: &str, like: Option<&Metadata>) -> io::Result<()> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    // The rename needs the same folder. Nobody reads a file whose name begins with a dot.
    let new = folder.join(format!(".{}.berth-new", name.to_string_lossy()));
    let written = write_new(&new, text, like).and_then(|()| {
        fs::rename(&new, path)?;
        File::open(folder)?.sync_all()
    });
    if written.is_err() {
        // If this fails too, it is in nobody's way.
        let _ = fs::remove_file(&new);
    }
    written
}

fn write_new(new: &Path, text: &str, like: Option<&Metadata>) -> io::Result<()> {
    match fs::remove_file(new) {
        // Left by a change that was killed.
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o600).open(new)?;
    file.write_all(text.as_bytes())?;
    if let Some(like) = like {
        fchown(&file, Some(like.uid()), Some(like.gid()))?;
    }
    let mode = like.map_or(0o644, |like| like.mode() & 0o7777);
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    file.sync_all()
}
