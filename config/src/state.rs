//! Files of Berth's own that outlive a boot: root's alone, in one format, written whole or not at all.

use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::loaded::{InstallError, sha256};
use crate::pending::Pending;
use crate::source::{self, SourceError, Trust};

/// No file is longer.
const LARGEST: u64 = 64 << 20;

/// Counts changes of what is in a file.
const FORMAT: u32 = 2;

/// Why such a file could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The file cannot be used.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// It is not as this program writes it.
    #[error("{path} is damaged: {why}; {remedy}", path = .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
        /// What to do, or what becomes of it.
        remedy: &'static str,
    },
    /// Another version has written it.
    #[error("{path} is of another version of Berth: its format is {format}, and not {FORMAT}; install that one, or remove the file", path = .path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// Its format.
        format: u32,
    },
    /// What it says cannot be in force on this machine.
    #[error("{path} does not fit this machine: {why}; {remedy}", path = .path.display())]
    NotHere {
        /// The file.
        path: PathBuf,
        /// What there is not.
        why: String,
        /// What to do.
        remedy: &'static str,
    },
    /// It is about a user of another name.
    #[error("{path} has one for {user}, who had this UID before, or this name is new; {remedy}", path = .path.display())]
    Another {
        /// The file.
        path: PathBuf,
        /// The other user.
        user: String,
        /// What to do.
        remedy: &'static str,
    },
    /// It cannot be written.
    #[error(transparent)]
    Write(#[from] InstallError),
}

#[derive(Serialize, Deserialize)]
struct Stored<T> {
    format: u32,
    /// The SHA-256 of the state: a digit that is another by damage would be another cap, or a penalty without an end.
    #[serde(default)]
    check: String,
    state: T,
}

/// Reads a file; `None` where there is none.
pub(crate) fn read<T: DeserializeOwned>(
    path: &Path,
    remedy: &'static str,
) -> Result<Option<T>, StateError> {
    let file = match source::open(path, Trust::Root) {
        Ok(file) => file,
        Err(SourceError::Read { source, .. }) if source.kind() == ErrorKind::NotFound => {
            return Ok(None);
        }
        Err(error) => return Err(error.into()),
    };
    let path = path.to_owned();
    let mut text = String::new();
    let why = match file.take(LARGEST).read_to_string(&mut text) {
        Ok(_) => match parsed(&text) {
            Ok(state) => return Ok(Some(state)),
            Err(why) => why,
        },
        Err(error) if error.kind() == ErrorKind::InvalidData => error.to_string(),
        // That says nothing of the file, which may be whole.
        Err(source) => return Err(SourceError::Read { path, source }.into()),
    };
    match serde_json::from_str::<Stored<&RawValue>>(&text) {
        Ok(Stored { format, .. }) if format != FORMAT => Err(StateError::Format { path, format }),
        _ => Err(StateError::Damaged { path, why, remedy }),
    }
}

/// What a file's text says, or what is wrong with it.
pub(crate) fn parsed<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    let wrong = |error: serde_json::Error| error.to_string();
    let stored: Stored<&RawValue> = serde_json::from_str(text).map_err(wrong)?;
    let state = stored.state.get();
    if stored.format != FORMAT {
        return Err(format!("its format is {}, and not {FORMAT}", stored.format));
    }
    if stored.check != sha256(state.as_bytes()) {
        return Err("it is not what was written".into());
    }
    serde_json::from_str(state).map_err(wrong)
}

/// What a file says of a state.
pub(crate) fn text_of<T: Serialize>(state: &T) -> Result<String, serde_json::Error> {
    let state = RawValue::from_string(serde_json::to_string(state)?)?;
    serde_json::to_string(&Stored {
        format: FORMAT,
        check: sha256(state.get().as_bytes()),
        state,
    })
}

/// Writes a file; without anything to write it goes.
pub(crate) fn write<T: Serialize>(path: &Path, state: Option<T>) -> Result<(), StateError> {
    let Some(state) = state else {
        return match std::fs::remove_file(path) {
            Err(source) if source.kind() != ErrorKind::NotFound => Err(InstallError::Write {
                path: path.into(),
                source,
            }
            .into()),
            _ => Ok(()),
        };
    };
    let text = text_of(&state).map_err(InstallError::Encode)?;
    Pending::write_for_root(path, &text)?.put()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::own_folder::Folder;

    #[test]
    fn a_file_that_cannot_be_read_is_no_missing_one() {
        let folder = Folder::new();
        let path = folder.join("state");
        assert!(matches!(read::<u32>(&path, ""), Ok(None)));
        std::os::unix::fs::symlink(&path, &path).unwrap();
        assert!(read::<u32>(&path, "").is_err());
    }

    #[test]
    fn what_cannot_be_read_now_or_by_this_version_is_not_damaged() {
        let folder = Folder::new();
        let path = folder.join("state");
        std::fs::write(&path, [b'"', 0xff]).unwrap();
        let told = read::<u32>(&path, "").unwrap_err();
        assert!(matches!(told, StateError::Damaged { .. }), "{told}");
        let later = text_of(&7).unwrap().replace(":2,", ":3,");
        std::fs::write(&path, later).unwrap();
        let told = read::<u32>(&path, "").unwrap_err();
        assert!(
            matches!(told, StateError::Format { format: 3, .. }),
            "{told}"
        );
        // Nothing is mapped at its beginning, which the kernel calls an input/output error.
        let told = read::<u32>(Path::new("/proc/self/mem"), "").unwrap_err();
        let reads = matches!(told, StateError::Source(SourceError::Read { .. }));
        assert!(reads, "{told}");
    }

    #[test]
    fn what_was_written_is_read_again_and_nothing_is_no_file() {
        let folder = Folder::new();
        let path = folder.join("state");
        write(&path, None::<u32>).unwrap();
        write(&path, Some(7)).unwrap();
        assert_eq!(read::<u32>(&path, "").unwrap(), Some(7));
        write(&path, None::<u32>).unwrap();
        assert!(!path.exists());
        // It is told if it stays.
        std::fs::create_dir(&path).unwrap();
        write(&path, None::<u32>).unwrap_err();
    }
}
