//! Putting a text in a file's place in one step: at every moment, and after a crash, there is the old or the new.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use berth_session::remove_file;

/// A file of root's, as it was read.
#[derive(Debug)]
pub struct Original {
    path: PathBuf,
    /// None of one that is not there yet.
    metadata: Option<Metadata>,
    /// What was in it.
    pub text: String,
    /// It is no UTF-8, as a comment of long ago need not be: each byte is a character of the text, as in Latin-1.
    is_latin: bool,
}

impl Original {
    /// Reads it. A file that others than root can change is nothing to build on.
    pub fn read(path: &Path) -> io::Result<Original> {
        let (metadata, bytes) = match fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => (None, Vec::new()),
            Err(error) => return Err(error),
            Ok(metadata) if !metadata.is_file() => {
                let path = path.display();
                return Err(io::Error::other(format!("{path} is no regular file")));
            }
            Ok(metadata) if metadata.uid() != 0 || metadata.mode() & 0o022 != 0 => {
                let path = path.display();
                return Err(io::Error::other(format!(
                    "others than root can write {path}: chown root {path}; chmod go-w {path}"
                )));
            }
            Ok(metadata) => (Some(metadata), fs::read(path)?),
        };
        let (text, is_latin) = match String::from_utf8(bytes) {
            Ok(text) => (text, false),
            Err(error) => (
                error.as_bytes().iter().copied().map(char::from).collect(),
                true,
            ),
        };
        let path = path.into();
        Ok(Original {
            path,
            metadata,
            text,
            is_latin,
        })
    }

    /// One that is UTF-8, as a policy has to be.
    pub fn of_utf8(self) -> io::Result<Original> {
        match self.is_latin {
            true => Err(io::Error::other("it is not UTF-8")),
            false => Ok(self),
        }
    }

    /// A text, as it is written into this file.
    pub fn bytes(&self, text: &str) -> Vec<u8> {
        match self.is_latin {
            // What is no byte was not in there.
            true => text
                .chars()
                .map(|c| u8::try_from(c).unwrap_or(b'?'))
                .collect(),
            false => text.into(),
        }
    }

    /// Puts another text in its place; of a link, where that leads to.
    pub fn replace(&self, text: &str) -> io::Result<()> {
        if self.metadata.is_some() {
            return self.put(&fs::canonicalize(&self.path)?, text);
        }
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder)?;
        }
        self.put(&self.path, text)
    }

    /// Puts a text elsewhere, with its owner and mode, unless somebody else has changed it.
    pub fn put(&self, place: &Path, text: &str) -> io::Result<()> {
        let now = self.unchanged()?;
        replace(place, &self.bytes(text), now.metadata.as_ref())
    }

    /// Removes it.
    pub fn remove(&self) -> io::Result<()> {
        self.unchanged()?;
        fs::remove_file(&self.path)
    }

    fn unchanged(&self) -> io::Result<Original> {
        let now = Original::read(&self.path)?;
        match now.text == self.text && now.metadata.is_some() == self.metadata.is_some() {
            true => Ok(now),
            false => Err(io::Error::other("somebody else has changed it meanwhile")),
        }
    }
}

/// Writes a file with the owner and mode of another, or root's that all can read.
pub fn replace(path: &Path, text: &[u8], like: Option<&Metadata>) -> io::Result<()> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    // The rename needs the same folder. Nobody reads a file whose name begins with a dot.
    let new = folder.join(format!(".{}.berth-new", name.to_string_lossy()));
    by_way_of(&new, path, text, like)?;
    File::open(folder)?.sync_all()
}

/// The same by way of a file in the same folder that nobody else has.
pub fn by_way_of(new: &Path, path: &Path, text: &[u8], like: Option<&Metadata>) -> io::Result<()> {
    let written = write_new(new, text, like).and_then(|()| fs::rename(new, path));
    if written.is_err() {
        // If this fails too, it is in nobody's way.
        let _ = fs::remove_file(new);
    }
    written
}

fn write_new(new: &Path, text: &[u8], like: Option<&Metadata>) -> io::Result<()> {
    remove_file(new)?; // left by a change that was killed
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o600).open(new)?;
    file.write_all(text)?;
    if let Some(like) = like {
        fchown(&file, Some(like.uid()), Some(like.gid()))?;
    }
    let mode = like.map_or(0o644, |like| like.mode() & 0o7777);
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::own_folder::Folder;

    #[test]
    fn a_file_that_somebody_else_has_changed_meanwhile_is_neither_replaced_nor_removed() {
        let folder = Folder::new();
        let path = folder.write("file", "before");
        let original = Original::read(&path).unwrap();
        fs::write(&path, "theirs").unwrap();
        assert!(original.replace("ours").is_err());
        assert!(original.remove().is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "theirs");
    }
}
