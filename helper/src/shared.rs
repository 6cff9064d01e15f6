//! A berth that all of a user's logins share (`scope = "user"`).
//!
//! The login that finds none makes it and holds its init; later ones with the same namespaces and
//! privileges join. Two files in the user's folder say that it is there, and their locks say who uses
//! it; the kernel lets locks go with their process, however that ends:
//!
//! - `berth-ID`: what it is; every session of which something may run holds it shared;
//! - `logins-ID`: every login that is on holds it shared; its time stamp is the last login's end.
//!
//! All looks and changes are made under the lock on the user's folder, so two logins that race make
//! one berth, and one that comes while the last is leaving makes a new one.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use berth_session::{NamespaceIds, Role, SessionId, UserFolder, read_file};
use nix::fcntl::{Flock, FlockArg};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, file, system};
use crate::init::Init;
use crate::sys;

/// What a berth's file says.
#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    /// Namespaces, privileges and maps; only a login that needs exactly these may join.
    needs: String,
    init: Role,
    #[serde(flatten)]
    namespaces: NamespaceIds,
}

/// One session's part in a shared berth.
#[derive(Debug)]
pub struct Membership {
    /// Which login's it is.
    id: SessionId,
    folder: PathBuf,
    /// Held until this session is cleaned up.
    session: Flock<File>,
    /// Held until this login ends.
    login: Option<Flock<File>>,
    /// The init, in the session that made it.
    held: Option<Init>,
    /// The init, in a session that found it.
    found: Option<OwnedFd>,
    init: Role,
    namespaces: NamespaceIds,
}

impl Membership {
    /// Joins the user's berth, if there is one that fits.
    pub fn find(folder: &UserFolder, needs: &str) -> Result<Option<Membership>> {
        let entries = fs::read_dir(folder.path()).map_err(file("list", folder.path()))?;
        for entry in entries.flatten() {
            let name = entry.file_name();
            let id = name
                .to_str()
                .and_then(|name| name.strip_prefix("berth-")?.parse().ok());
            let Some(id) = id else { continue };
            if let Some(found) = Membership::try_join(folder.path(), id, needs)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn try_join(folder: &Path, id: SessionId, needs: &str) -> Result<Option<Membership>> {
        let path = berth_file(folder, id);
        let text = read_file(&path).map_err(file("read", &path))?;
        let Ok(entry) = serde_json::from_slice::<Entry>(&text) else {
            return Ok(None); // Half written by a helper that was killed; its standby removes it.
        };
        if entry.needs != needs || !entry.init.is_alive() {
            return Ok(None);
        }
        // Whoever holds it for itself is ending the berth.
        let Ok(session) = Flock::lock(open(&path)?, FlockArg::LockSharedNonblock) else {
            return Ok(None);
        };
        let pidfd = sys::pidfd_open(Pid::from_raw(entry.init.pid));
        // Looked at again: between the look and the open the PID may have become another's.
        let (Ok(pidfd), true) = (pidfd, entry.init.is_alive()) else {
            return Ok(None);
        };
        Ok(Some(Membership {
            id,
            folder: folder.into(),
            session,
            login: Some(lock_login(folder, id)?),
            held: None,
            found: Some(pidfd),
            init: entry.init,
            namespaces: entry.namespaces,
        }))
    }

    /// Makes a new berth known.
    pub fn found_by(
        folder: &UserFolder,
        id: SessionId,
        needs: &str,
        init: Init,
        role: Role,
        namespaces: NamespaceIds,
    ) -> Result<Membership> {
        let folder = folder.path();
        let entry = Entry {
            needs: needs.into(),
            init: role,
            namespaces,
        };
        let text = serde_json::to_vec(&entry).map_err(|error| Error::Init(error.to_string()))?;
        let path = berth_file(folder, id);
        let mut berth = open(&path)?;
        berth.write_all(&text).map_err(file("write", &path))?;
        let session = Flock::lock(berth, FlockArg::LockShared)
            .map_err(|(_, errno)| system(format!("lock {}", path.display()))(errno))?;
        Ok(Membership {
            id,
            folder: folder.into(),
            session,
            login: Some(lock_login(folder, id)?),
            held: Some(init),
            found: None,
            init: role,
            namespaces,
        })
    }

    /// The init's descriptor.
    pub fn pidfd(&self) -> Option<BorrowedFd<'_>> {
        let held = self.held.as_ref().map(Init::pidfd);
        held.or_else(|| self.found.as_ref().map(AsFd::as_fd))
    }

    /// The init.
    pub fn init(&self) -> Role {
        self.init
    }

    /// The berth's namespaces.
    pub fn namespaces(&self) -> NamespaceIds {
        self.namespaces
    }

    fn logins_file(&self) -> PathBuf {
        logins_file(&self.folder, self.id)
    }

    /// Says that this login is over.
    pub fn login_ended(&mut self) {
        let Some(login) = self.login.take() else {
            return;
        };
        let _ = login.set_modified(SystemTime::now()); // an older one lets lingering end a little early
    }

    /// When the last login ended; `None` while one is on.
    pub fn all_logins_ended(&self) -> Option<SystemTime> {
        let path = self.logins_file();
        let file = match File::open(&path) {
            Ok(file) => file,
            // The berth itself is gone.
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Some(SystemTime::UNIX_EPOCH);
            }
            Err(_) => return None,
        };
        let lock = Flock::lock(file, FlockArg::LockExclusiveNonblock).ok()?;
        lock.metadata()
            .and_then(|metadata| metadata.modified())
            .ok()
    }

    /// Whether [`Membership::end`] has nobody to wait for. If so nobody can come in any more.
    pub fn can_end(&mut self) -> bool {
        self.held.is_none() || self.session.relock(FlockArg::LockExclusiveNonblock).is_ok()
    }

    /// Waits until every other session of the berth has been cleaned up, and ends it. Returns at once
    /// in a session that only joined. The init is killed, but may take its time to go.
    pub fn end(mut self, uid: u32) -> Result<Option<Init>> {
        let Some(init) = self.held.take() else {
            return Ok(None);
        };
        let path = berth_file(&self.folder, self.id);
        let session = self.session.relock(FlockArg::LockExclusive);
        session.map_err(system(format!("lock {}", path.display())))?;
        // Nobody is in, and nobody can come in: a login that finds the lock taken makes its own.
        let _folder = UserFolder::lock(uid)?;
        init.kill();
        for path in [path, self.logins_file()] {
            match fs::remove_file(&path) {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                removed => removed.map_err(file("remove", &path))?,
            }
        }
        Ok(Some(init))
    }
}

fn berth_file(folder: &Path, id: SessionId) -> PathBuf {
    folder.join(format!("berth-{id}"))
}

fn logins_file(folder: &Path, id: SessionId) -> PathBuf {
    folder.join(format!("logins-{id}"))
}

fn lock_login(folder: &Path, id: SessionId) -> Result<Flock<File>> {
    let path = logins_file(folder, id);
    Flock::lock(open(&path)?, FlockArg::LockShared)
        .map_err(|(_, errno)| system(format!("lock {}", path.display()))(errno))
}

fn open(path: &Path) -> Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(file("open", path))
}
