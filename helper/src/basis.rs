//! What a decision was made by: the policy in force, the user's exceptions, and the steps of penalties.
//!
//! A login decides before it holds any lock, since it may wait for NSS then, and sets caps later. `berth reload`,
//! `set` and `apply` may come in between. So whoever has set caps looks whether what they went by is still what
//! holds, and brings them up to date if not ([`crate::apply`]). Whatever came later than that look begins with
//! files that are newer, and finds the user's folder.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use berth_config::{InForce, Places, Policy, PolicyError};

/// Where the policy of a login comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Source {
    /// The module's `policy=`; else the policy in force.
    file: Option<PathBuf>,
}

impl Source {
    pub fn of(file: Option<&[u8]>) -> Source {
        Source {
            file: file.map(|path| OsStr::from_bytes(path).into()),
        }
    }

    pub fn policy(&self) -> Result<Policy, PolicyError> {
        match &self.file {
            Some(path) => Policy::load_file(path),
            None => Policy::load_system(),
        }
    }

    /// The same for one login: without the rules of everybody else.
    pub fn in_force(&self) -> Result<InForce, PolicyError> {
        match &self.file {
            Some(path) => InForce::open_file(path),
            None => InForce::open_in(&Places::system()),
        }
    }

    /// What there is now to decide by. To be taken before it is read.
    pub fn basis(&self) -> Basis {
        let places = Places::system();
        let mut files = vec![stamp(&places.exceptions), stamp(&places.penalties)];
        files.extend(match &self.file {
            Some(path) => vec![stamp(path)],
            // Where no copy is loaded, the files count.
            None => [&places.loaded, &places.policy, &places.drop_ins]
                .map(|path| stamp(path))
                .to_vec(),
        });
        Basis(files)
    }
}

/// How the files stood at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Basis(Vec<Option<[i64; 5]>>);

/// Files that count are exchanged as a whole, which gives them another inode, and their folder another time.
fn stamp(path: &Path) -> Option<[i64; 5]> {
    let now = fs::metadata(path).ok()?;
    let size = i64::try_from(now.size()).ok()?;
    let inode = now.ino() as i64; // only ever compared
    Some([inode, size, now.mtime(), now.mtime_nsec(), now.ctime_nsec()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_exchanged_is_another_basis() {
        let folder = std::env::temp_dir().join(format!("berth-basis-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("policy.toml");
        fs::write(&path, "version = 1").unwrap();
        let source = Source::of(Some(path.as_os_str().as_bytes()));
        let before = source.basis();
        assert_eq!(source.basis(), before);
        fs::write(folder.join("new"), "version = 2").unwrap();
        fs::rename(folder.join("new"), &path).unwrap();
        assert_ne!(source.basis(), before);
        fs::remove_dir_all(folder).unwrap();
    }
}
