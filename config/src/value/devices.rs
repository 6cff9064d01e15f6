//! Caps by device.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Wrong;

/// A device, or any file on it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct IoPath(PathBuf);

impl IoPath {
    /// Checks that the path is absolute.
    pub fn parse(text: &str) -> Result<IoPath, Wrong> {
        super::Path::parse(text).map(|path| IoPath(PathBuf::from(path.as_str())))
    }

    /// The path.
    pub fn path(&self) -> &std::path::Path {
        &self.0
    }
}

/// A cap for each device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Devices<T>(pub BTreeMap<IoPath, T>);
