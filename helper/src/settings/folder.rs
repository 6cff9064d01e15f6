//! Folders that look like cgroups, for tests: files that keep what was written last.

use std::fs;
use std::path::{Path, PathBuf};

use berth_session::{Group, Manager, Tree};

/// One, with all that is below it. Removed when dropped.
pub struct Folder(PathBuf);

impl Folder {
    /// Makes one with these files. Tests that run at once need different names.
    pub fn new(name: &str, files: &[(&str, &str)]) -> Folder {
        let path = std::env::temp_dir().join(format!("berth-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        let folder = Folder(path);
        for (file, text) in files {
            folder.write(file, text);
        }
        folder
    }

    /// Writes a file in it, or in a cgroup below, which is made.
    pub fn write(&self, file: &str, text: &str) {
        let path = self.0.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Reads such a file.
    pub fn read(&self, file: &str) -> String {
        fs::read_to_string(self.0.join(file)).unwrap()
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// It as a cgroup.
    pub fn group(&self) -> Group {
        self.0.clone().into()
    }

    /// It as the root of all.
    pub fn tree(&self, manager: Manager) -> Tree {
        Tree::at(self.0.clone(), manager)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0); // a test that has failed says more
    }
}
