//! Files that are exchanged as a whole: written beside the one that they replace, and put in its place. That is two steps,
//! for two files that are one at once; session's `replace_file` and cli's `replace` do it in one, for other promises.

use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::loaded::InstallError;

/// A file written beside the one that it replaces.
pub(crate) struct Pending {
    beside: PathBuf,
    path: PathBuf,
}

impl Pending {
    /// As a file that everybody may read.
    pub(crate) fn write(path: &Path, text: &str) -> Result<Pending, InstallError> {
        // The module reads it in the user's own processes too.
        Pending::write_with_mode(path, text, 0o644)
    }

    /// As [`Pending::write`], for root's eyes only.
    pub(crate) fn write_for_root(path: &Path, text: &str) -> Result<Pending, InstallError> {
        Pending::write_with_mode(path, text, 0o600)
    }

    fn write_with_mode(path: &Path, text: &str, mode: u32) -> Result<Pending, InstallError> {
        let folder = path.parent().unwrap_or(Path::new("/"));
        let error = |path: &Path| {
            let path = path.to_owned();
            move |source| InstallError::Write { path, source }
        };
        std::fs::create_dir_all(folder).map_err(error(folder))?;
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".new");
        let beside = folder.join(name);
        // Left behind by a reload that was killed.
        if let Err(source) = std::fs::remove_file(&beside) {
            if source.kind() != std::io::ErrorKind::NotFound {
                return Err(error(&beside)(source));
            }
        }
        let pending = Pending {
            beside,
            path: path.into(),
        };
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&pending.beside)
            .map_err(error(&pending.beside))?;
        // Whatever the umask is.
        file.set_permissions(std::fs::Permissions::from_mode(mode))
            .and_then(|()| file.write_all(text.as_bytes()))
            .and_then(|()| file.sync_all())
            .map_err(error(&pending.beside))?;
        Ok(pending)
    }

    pub(crate) fn put(self) -> Result<(), InstallError> {
        let error = |source| InstallError::Write {
            path: self.path.clone(),
            source,
        };
        std::fs::rename(&self.beside, &self.path).map_err(error)?;
        let folder = self.path.parent().unwrap_or(Path::new("/"));
        std::fs::File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(error)
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        // After `put` there is nothing left; after an error nothing may be.
        let _ = std::fs::remove_file(&self.beside);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::own_folder::Folder;

    #[test]
    fn what_cannot_be_put_in_its_place_is_not_left_beside_it() {
        let folder = Folder::new();
        let path = folder.join("place");
        std::fs::create_dir_all(&path).unwrap();
        Pending::write(&path, "text").unwrap().put().unwrap_err();
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
    }
}
