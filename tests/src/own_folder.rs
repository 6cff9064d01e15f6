//! A folder of a test's own, which goes with it, however the test ends.
//!
//! Crates that cannot have the tests of logins as a dependency include this file as a module.
#![allow(dead_code, clippy::new_without_default)] // not every crate needs all of it, and it is no value

use std::ffi::OsStr;
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::io::ErrorKind;
use std::ops::Deref;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// A folder that is removed with this.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// An empty one. Everybody may look into it, as nobody may into one of mkdtemp(3)'s: some tests go on as other users.
    pub fn new() -> Folder {
        loop {
            let name = format!("berth-test-{:016x}", RandomState::new().hash_one(()));
            let path = std::env::temp_dir().join(name);
            match fs::create_dir(&path) {
                Ok(()) => return Folder(path),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => panic!("{path:?}: {error}"),
            }
        }
    }

    /// One with these files.
    #[track_caller]
    pub fn with(files: &[(&str, &str)]) -> Folder {
        let folder = Folder::new();
        for (path, text) in files {
            folder.write(path, text);
        }
        folder
    }

    /// Writes a file, with the folders on the way to it, and gives back its path.
    #[track_caller]
    pub fn write(&self, path: impl AsRef<Path>, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("folders");
        fs::write(&path, text).expect("a file");
        path
    }

    /// The same for a program that is a script.
    #[track_caller]
    pub fn script(&self, path: impl AsRef<Path>, text: &str) -> PathBuf {
        let path = self.write(path, text);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("chmod");
        path
    }
}

impl Deref for Folder {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

impl AsRef<Path> for Folder {
    fn as_ref(&self) -> &Path {
        self
    }
}

impl AsRef<OsStr> for Folder {
    fn as_ref(&self) -> &OsStr {
        self.as_os_str()
    }
}

impl Drop for Folder {
    /// A test that has failed is not to be aborted, too.
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
