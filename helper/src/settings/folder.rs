//! Folders that look like cgroups, for tests: files that keep what was written last.

use std::fs;

use berth_session::{Backend, Group, Tree};

pub use crate::own_folder::Folder;

impl Folder {
    /// Reads a file in it.
    pub fn read(&self, file: &str) -> String {
        fs::read_to_string(self.join(file)).unwrap()
    }

    pub fn group(&self) -> Group {
        self.to_path_buf().into()
    }

    /// It as the root of all.
    pub fn tree(&self, backend: Backend) -> Tree {
        Tree::at(self.to_path_buf(), backend)
    }
}
