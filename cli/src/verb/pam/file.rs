//! Replacing a file of PAM's in one step.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};

use super::lines::taken;
use crate::replace::replace;

/// Where the files from before a change are kept.
const KEPT: &str = "/var/lib/berth/pam.d";

/// Held while PAM's files are changed, so that two changes do not mix.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "held, not used")] Flock<File>);

impl Lock {
    /// Takes it, or says that somebody else has it.
    pub fn take() -> io::Result<Lock> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        let file = options.open("/run/berth-pam.lock")?;
        let lock = Flock::lock(file, FlockArg::LockExclusiveNonblock);
        lock.map(Lock).map_err(|(_, errno)| match errno {
            nix::errno::Errno::EAGAIN => io::Error::other("another `berth pam` is at work"),
            errno => errno.into(),
        })
    }
}

/// A file as it was read.
#[derive(Debug)]
pub struct Original {
    /// The file itself, where it is a link the file that it leads to.
    path: PathBuf,
    /// Where the changed one goes: there, or for a package's file into the admin's folder, where it takes its place.
    place: PathBuf,
    /// What was in it.
    pub text: String,
}

impl Original {
    /// Reads it. A file that others than root can change is nothing to build on.
    pub fn read(path: &Path) -> io::Result<Original> {
        let path = fs::canonicalize(path)?;
        let metadata = fs::metadata(&path)?;
        if !metadata.is_file() || metadata.uid() != 0 || metadata.mode() & 0o022 != 0 {
            return Err(io::Error::other(
                "it is no regular file that only root can write",
            ));
        }
        let text = fs::read_to_string(&path)?;
        let place = path.clone();
        Ok(Original { path, place, text })
    }

    /// Reads a package's file, which another is to take the place of.
    pub fn read_of_package(path: &Path, place: &Path) -> io::Result<Original> {
        let place = place.to_owned();
        Ok(Original {
            place,
            ..Original::read(path)?
        })
    }

    /// Keeps a copy of it, without lines of Berth's that it has already; says where.
    pub fn keep(&self, service: &str) -> io::Result<PathBuf> {
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o755).create(KEPT)?;
        let kept = Path::new(KEPT).join(service);
        self.write(&kept, &taken(&self.text))?;
        Ok(kept)
    }

    /// Puts another text in its place: at every moment, and after a crash, there is the one or the other.
    pub fn replace(&self, text: &str) -> io::Result<()> {
        self.is_unchanged()?;
        self.write(&self.place, text)
    }

    /// Removes it: the package's counts again.
    pub fn remove(&self) -> io::Result<()> {
        self.is_unchanged()?;
        fs::remove_file(&self.path)
    }

    fn is_unchanged(&self) -> io::Result<()> {
        match fs::read_to_string(&self.path)? == self.text {
            true => Ok(()),
            false => Err(io::Error::other("somebody else has changed it meanwhile")),
        }
    }

    /// Writes a file with this one's owner and mode.
    fn write(&self, path: &Path, text: &str) -> io::Result<()> {
        replace(path, text, Some(&fs::metadata(&self.path)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_somebody_else_has_changed_meanwhile_is_neither_replaced_nor_removed() {
        let path = std::env::temp_dir().join(format!("berth-pam-{}", std::process::id()));
        fs::write(&path, "before").unwrap();
        let original = Original::read(&path).unwrap();
        fs::write(&path, "theirs").unwrap();
        assert!(original.replace("ours").is_err());
        assert!(original.remove().is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "theirs");
        fs::remove_file(&path).unwrap();
    }
}
