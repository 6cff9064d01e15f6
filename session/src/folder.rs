//! A user's folder under /run/berth/users: the lock on the user's sessions, and the list of them.

use std::cell::Cell;
use std::fs::{self, File, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag};
use nix::unistd::close;

use crate::lock::{self, MOMENT, lock_until};
use crate::regular::{entries, remove_if_there};
use crate::{Error, Record, Result, SessionId, State};

/// One folder for each user who is logged in.
pub(crate) const USERS: &str = "/run/berth/users";

/// The folder of all users together, beside theirs.
pub(crate) const EVERYONE: &str = "everyone";

/// The folder of who brings the caps of all users up to date.
const APPLYING: &str = "applying";

/// How often the folders above are made anew. One that cannot be is a link to nothing.
const ENOUGH: u32 = 100;

/// A user's folder, locked. While it is held nobody else makes or removes cgroups, berths or
/// sessions of this user; other users are not held up. The kernel lets the lock go with the process.
#[derive(Debug)]
pub struct UserFolder {
    path: PathBuf,
    _lock: Flock<File>,
}

impl UserFolder {
    /// How long who sees to many users waits for locks, for all together. One is held for moments; who holds one for longer
    /// hangs, or was stopped.
    pub const PATIENCE: Duration = lock::PATIENCE;

    /// Makes the folder if need be, and waits for its lock: it is tried once in any case, and again until then.
    pub fn lock_until(uid: u32, until: Instant) -> Result<UserFolder> {
        UserFolder::lock_path(of_user(uid), Some(until))
    }

    /// The same for who sees to many users, and still has so much patience `left`: only waiting takes of it. With
    /// [`Duration::MAX`] there is no end to it.
    pub fn lock_within(uid: u32, left: &Cell<Duration>) -> Result<UserFolder> {
        let begun = Instant::now();
        let until = begun.checked_add(left.get().max(MOMENT));
        let folder = UserFolder::lock_path(of_user(uid), until);
        left.set(left.get().saturating_sub(begun.elapsed()));
        folder
    }

    /// The folder of all users together. Who holds a user's lock may wait for this one, and not the other
    /// way round.
    pub fn lock_everyone() -> Result<UserFolder> {
        UserFolder::lock_path(Path::new(USERS).join(EVERYONE), None)
    }

    /// Waits until nobody else brings the caps of all users up to date, for longer than that takes; but one that was stopped,
    /// or waits for a directory of users, does not hold up all others. Who holds this lock may wait for any other.
    pub fn lock_applying() -> Result<UserFolder> {
        let until = Instant::now() + Duration::from_secs(60);
        UserFolder::lock_path(Path::new(USERS).join(APPLYING), Some(until))
    }

    fn lock_path(path: PathBuf, until: Option<Instant>) -> Result<UserFolder> {
        let mut prepared = 0;
        loop {
            // Root only: whoever can open a folder can lock it.
            match fs::DirBuilder::new().mode(0o700).create(&path) {
                // Somebody has emptied /run/berth. Sessions that go on must still come to their end.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound && prepared < ENOUGH => {
                    Record::prepare()?;
                    prepared += 1;
                    continue;
                }
                Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                    return Err(Error::file("create", &path, error));
                }
                _ => {}
            }
            // Nothing but a folder: what a link leads to may not be there, or be somebody else's.
            let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW;
            let mut options = OpenOptions::new();
            let options = options.read(true).custom_flags(flags.bits());
            let file = match options.open(&path) {
                Ok(file) => file,
                // Its last session ended just now.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(Error::file("open", &path, error)),
            };
            let lock = match until {
                Some(until) => lock_until(file, &path, until)?,
                None => Flock::lock(file, FlockArg::LockExclusive)
                    .map_err(|(_, errno)| Error::file("lock", &path, errno))?,
            };
            // The folder may have been removed while we waited: then this lock is on nothing.
            let held = lock
                .metadata()
                .map_err(|error| Error::file("inspect", &path, error))?;
            if fs::metadata(&path).is_ok_and(|now| now.ino() == held.ino()) {
                return Ok(UserFolder { path, _lock: lock });
            }
        }
    }

    /// Closes the lock's descriptor in a child that was made while it is held, and that never returns to where it
    /// ends: it would hold the lock for as long as it lives, whatever becomes of its parent.
    pub fn leave_to_the_parent(&self) -> Result<()> {
        let closed = close(self._lock.as_raw_fd());
        closed.map_err(|errno| Error::file("close", &self.path, errno))
    }

    /// Enters a session.
    pub fn add(&self, id: SessionId) -> Result<()> {
        let path = self.entry(id);
        File::create_new(&path)
            .map(drop)
            .map_err(|error| Error::file("create", &path, error))
    }

    /// Strikes a session out. A berth that the session made for all of its user's logins goes with it: its init is the
    /// session's keeper's child.
    pub fn remove(&self, id: SessionId) -> Result<()> {
        for name in [
            format!("{id}"),
            format!("berth-{id}"),
            format!("logins-{id}"),
        ] {
            remove_if_there(&self.path.join(name))?;
        }
        Ok(())
    }

    /// Whether one of a user's sessions made a berth for all of their logins (`scope = "user"`).
    pub fn holds_berth(uid: u32, id: SessionId) -> bool {
        let folder = of_user(uid);
        folder.join(format!("berth-{id}")).exists()
    }

    /// Removes the folder, if nothing is in it.
    pub fn remove_if_empty(&self) -> Result<()> {
        match fs::remove_dir(&self.path) {
            Err(error)
                if !matches!(
                    Errno::from_raw(error.raw_os_error().unwrap_or(0)),
                    Errno::ENOTEMPTY | Errno::EEXIST | Errno::ENOENT
                ) =>
            {
                Err(Error::file("remove", &self.path, error))
            }
            _ => Ok(()),
        }
    }

    /// The user's sessions.
    pub fn sessions(&self) -> Result<Vec<SessionId>> {
        numbers(&self.path)
    }

    /// How many logins of the user are on. Sessions that only linger do not count: a user could not log
    /// in to end them.
    pub fn logins(&self) -> Result<usize> {
        Ok(count_logins(&self.sessions()?))
    }

    /// As [`UserFolder::sessions`], but without the lock and without making the folder: a first look, which
    /// may be wrong by those that come or go at the moment.
    fn sessions_of(uid: u32) -> Result<Vec<SessionId>> {
        numbers(&of_user(uid))
    }

    /// What stands of those in their records, in the same way. One that cannot be read is passed over.
    pub fn records_of(uid: u32) -> Vec<Record> {
        let ids = UserFolder::sessions_of(uid).unwrap_or_default();
        let records = ids.into_iter().filter_map(|id| Record::read(id).ok());
        records.collect()
    }

    /// As [`UserFolder::logins`], in the same way.
    pub fn logins_of(uid: u32) -> Result<usize> {
        Ok(count_logins(&UserFolder::sessions_of(uid)?))
    }

    /// Who has a folder: all who are logged in, and who are about to be.
    pub fn uids() -> Result<Vec<u32>> {
        let mut uids: Vec<u32> = numbers(Path::new(USERS))?;
        uids.sort_unstable();
        Ok(uids)
    }

    /// Whether no user has a folder.
    pub(crate) fn are_all_gone() -> Result<bool> {
        let entries = entries(Path::new(USERS))?.into_iter();
        let mut names = entries.map(|entry| entry.file_name());
        Ok(names.all(|name| name == EVERYONE || name == APPLYING))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn entry(&self, id: SessionId) -> PathBuf {
        self.path.join(id.to_string())
    }
}

/// The path of a user's folder.
fn of_user(uid: u32) -> PathBuf {
    Path::new(USERS).join(uid.to_string())
}

/// The entries of a folder whose names are numbers.
fn numbers<N: FromStr>(path: &Path) -> Result<Vec<N>> {
    let names = entries(path)?.into_iter().map(|entry| entry.file_name());
    Ok(names
        .filter_map(|name| name.to_str()?.parse().ok())
        .collect())
}

/// One that cannot be looked at counts. Where /run is full a record may not say that its session only lingers.
fn count_logins(sessions: &[SessionId]) -> usize {
    let is_on = |id: &&SessionId| match Record::read(**id) {
        Ok(record) => {
            let is_over = record.leader.is_gone() || record.keeper.is_gone();
            record.is_login() && record.state != State::Linger && !is_over
        }
        Err(error) => !error.is_not_found(),
    };
    sessions.iter().filter(is_on).count()
}
