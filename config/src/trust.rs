//! Whether root alone decides what a file or a folder is: one that helps to decide over logins.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::source::SourceError;

/// Checks that nobody but root can put a file into a directory, or exchange one in it.
pub(crate) fn directory(path: &Path) -> Result<(), SourceError> {
    let path = if path.as_os_str().is_empty() {
        Path::new(".")
    } else {
        path
    };
    let metadata = std::fs::metadata(path).map_err(|source| SourceError::Read {
        path: path.into(),
        source,
    })?;
    let untrusted = |why| SourceError::Untrusted {
        path: path.into(),
        why,
    };
    if metadata.uid() != 0 {
        return Err(untrusted("the directory's owner is not root"));
    }
    // In a sticky directory (/tmp) nobody can exchange root's file.
    if metadata.mode() & 0o022 != 0 && metadata.mode() & 0o1000 == 0 {
        return Err(untrusted("others can write to the directory"));
    }
    Ok(())
}

/// Checks that what a path leads to is there, and that nobody but root can write to it, nor exchange it. Others may make
/// the path lead elsewhere.
pub fn file_is_roots(path: &Path) -> Result<std::fs::Metadata, SourceError> {
    let read_error = |source| SourceError::Read {
        path: path.into(),
        source,
    };
    let path = path.canonicalize().map_err(read_error)?;
    let metadata = path.metadata().map_err(read_error)?;
    if metadata.is_dir() {
        directory(&path)?;
    } else if metadata.uid() != 0 || metadata.mode() & 0o022 != 0 {
        return Err(SourceError::Untrusted {
            path,
            why: "others than root can write to it",
        });
    }
    path.ancestors().skip(1).try_for_each(directory)?;
    Ok(metadata)
}

/// Checks that nobody but root can put a file into a directory, nor make the path lead to another one.
pub fn path_is_roots(path: &Path) -> Result<(), SourceError> {
    // As it is written, and from the top: a link in somebody else's folder leads where they like, and a file system of
    // theirs may never answer.
    let mut written: Vec<_> = path.ancestors().collect();
    written.reverse();
    written.into_iter().try_for_each(directory)?;
    let path = path.canonicalize().map_err(|source| SourceError::Read {
        path: path.into(),
        source,
    })?;
    path.ancestors().try_for_each(directory)
}
