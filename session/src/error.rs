//! The one error type of this crate.

use std::io;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

/// What was attempted, on what, and what the system said.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file operation failed.
    #[error("cannot {action} {}: {source}", path.display())]
    File {
        /// A verb: `read`, `write "50000 100000" to`, `remove`.
        action: String,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Somebody holds a lock for too long.
    #[error("cannot lock {}: {by} holds it; {advice}", path.display())]
    Held {
        /// What is locked.
        path: PathBuf,
        /// Who holds it.
        by: String,
        /// What to do: nobody is killed who was not waited for long enough.
        advice: &'static str,
    },
    /// The machine has no cgroup v2 hierarchy.
    #[error(
        "no cgroup2 file system is mounted (see /proc/self/mountinfo): mount one, or set cgroup = \"keep\""
    )]
    NoCgroup2,
    /// A record is not one that this version wrote.
    #[error("the session record {} cannot be understood: {reason}", path.display())]
    Record {
        /// Which record.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// There is no talking with systemd.
    #[error("cannot talk with systemd ({what}): {reason}")]
    Systemd {
        /// What was attempted.
        what: String,
        /// What stood in the way.
        reason: String,
    },
    /// systemd said no.
    #[error("systemd does not {what}: {reason}")]
    Refused {
        /// What it was asked for.
        what: String,
        /// What it said.
        reason: String,
    },
    /// A process of Berth's that no record knows of.
    #[error(
        "process {pid} is Berth's, and no record says of which session: what has no record may be its own"
    )]
    UnknownKeeper {
        /// Which.
        pid: i32,
    },
    /// Processes that do not stop.
    #[error("not all of {} is frozen yet: a process in it may be waiting for a device; the rest is, and stays so until \
             it is thawed", path.display())]
    Unfreezable {
        /// The cgroup.
        path: PathBuf,
    },
    /// Processes of a session that do not end.
    #[error("{} still has processes after cgroup.kill; they may be waiting for a device", path.display())]
    Unkillable {
        /// The session's cgroup.
        path: PathBuf,
    },
}

/// The result type of this crate.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// Whether a unit was to be made that systemd has already.
    pub fn is_unit_exists(&self) -> bool {
        const NAME: &str = "(org.freedesktop.systemd1.UnitExists)";
        matches!(self, Error::Refused { reason, .. } if reason.contains(NAME))
    }

    /// Whether something was not there. Of a file whose cgroup goes meanwhile the kernel says ENODEV.
    pub fn is_not_found(&self) -> bool {
        let Error::File { source, .. } = self else {
            return false;
        };
        let errno = source.raw_os_error().map(Errno::from_raw);
        source.kind() == io::ErrorKind::NotFound || errno == Some(Errno::ENODEV)
    }

    /// A failed file operation.
    pub fn file(action: impl Into<String>, path: &Path, source: impl Into<io::Error>) -> Error {
        Error::File {
            action: action.into(),
            path: path.into(),
            source: source.into(),
        }
    }
}
