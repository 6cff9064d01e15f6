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

use berth_config::outcome::{Namespaces, Privileges};
use berth_session::{NamespaceIds, Role, SessionId, UserFolder, read_file};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::error::{Error, Result, file, system};
use crate::init::{Init, Maps};
use crate::sys;

/// What a berth's file says.
#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    /// See [`needs`]; only a login that needs exactly these may join.
    needs: String,
    init: Role,
    #[serde(flatten)]
    namespaces: NamespaceIds,
}

/// What a berth has to be for a login to share it: its namespaces, privileges and maps. What is as without a berth is not
/// named. So a setting that is new in the next version, and that nobody has made, is no reason for another berth beside
/// the one that the user's tmux runs in.
pub fn needs(
    namespaces: &Namespaces,
    privileges: &Privileges,
    maps: Option<&Maps>,
) -> Result<String> {
    let needs = json!({
        "namespaces": differing(namespaces, &Namespaces::none())?,
        "privileges": differing(privileges, &Privileges::all())?,
        "uids": maps.map(|maps| &maps.uids),
        "gids": maps.map(|maps| &maps.gids),
    });
    Ok(needs.to_string())
}

fn differing<T: Serialize>(settings: &T, others: &T) -> Result<Map<String, Value>> {
    let [settings, others] = [settings, others].map(serde_json::to_value);
    let (Value::Object(mut settings), others) = (
        settings.map_err(Error::policy)?,
        others.map_err(Error::policy)?,
    ) else {
        return Ok(Map::new()); // Both are tables.
    };
    settings.retain(|key, value| others.get(key) != Some(value));
    Ok(settings)
}

/// One session's part in a shared berth.
#[derive(Debug)]
pub struct Membership {
    /// Which login's it is.
    id: SessionId,
    folder: PathBuf,
    /// Before the lock: this is gone when that is let go.
    part: Part,
    /// Held until this session is cleaned up.
    session: Flock<File>,
    /// Held until this login ends.
    login: Option<Flock<File>>,
    init: Role,
    namespaces: NamespaceIds,
    /// Live berths of the same user's that it made this one beside, since they are others.
    beside: Vec<SessionId>,
}

/// What a session has of the init.
#[derive(Debug)]
enum Part {
    Made(Init),
    Found(OwnedFd),
}

impl Membership {
    /// Joins the user's berth, if there is one that fits.
    pub fn find(folder: &UserFolder, needs: &str) -> Result<Option<Membership>> {
        for id in berths(folder.path())? {
            if let Some(found) = Membership::try_join(folder.path(), id, needs)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn try_join(folder: &Path, id: SessionId, needs: &str) -> Result<Option<Membership>> {
        let path = berth_file(folder, id);
        let entry = live(folder, id)?.filter(|entry| entry.needs == needs);
        let Some(entry) = entry else {
            return Ok(None);
        };
        let session = match Flock::lock(open(&path)?, FlockArg::LockSharedNonblock) {
            Ok(session) => session,
            // Whoever holds it for itself is ending the berth.
            Err((_, Errno::EWOULDBLOCK)) => return Ok(None),
            Err((_, errno)) => return Err(system(format!("lock {}", path.display()))(errno)),
        };
        let pidfd = sys::pidfd_open(Pid::from_raw(entry.init.pid));
        // Looked at again: between the look and the open the PID may have become another's.
        if !is_there(&entry)? {
            return Ok(None);
        }
        let pidfd = pidfd.map_err(system("open a pidfd of the berth's init"))?;
        Ok(Some(Membership {
            id,
            folder: folder.into(),
            part: Part::Found(pidfd),
            session,
            login: Some(lock_login(folder, id)?),
            init: entry.init,
            namespaces: entry.namespaces,
            beside: Vec::new(),
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
        let mut beside = berths(folder)?;
        beside.retain(|id| matches!(live(folder, *id), Ok(Some(other)) if other.needs != needs));
        let entry = Entry {
            needs: needs.into(),
            init: role,
            namespaces,
        };
        let entry = serde_json::to_vec(&entry).map_err(Error::policy)?;
        let path = berth_file(folder, id);
        let mut berth = open(&path)?;
        berth.write_all(&entry).map_err(file("write", &path))?;
        let session = Flock::lock(berth, FlockArg::LockShared)
            .map_err(|(_, errno)| system(format!("lock {}", path.display()))(errno))?;
        Ok(Membership {
            id,
            folder: folder.into(),
            part: Part::Made(init),
            session,
            login: Some(lock_login(folder, id)?),
            init: role,
            namespaces,
            beside,
        })
    }

    /// Why it was made although the user has others: what these are, for the log.
    pub fn beside(&self) -> Option<String> {
        let ids: Vec<_> = self.beside.iter().map(SessionId::to_string).collect();
        (!ids.is_empty()).then(|| {
            let ids = ids.join(", ");
            format!("berth {ids}: other namespaces, privileges or maps")
        })
    }

    pub fn pidfd(&self) -> BorrowedFd<'_> {
        match &self.part {
            Part::Made(init) => init.pidfd(),
            Part::Found(pidfd) => pidfd.as_fd(),
        }
    }

    pub fn init(&self) -> Role {
        self.init
    }

    pub fn namespaces(&self) -> NamespaceIds {
        self.namespaces
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
        let path = logins_file(&self.folder, self.id);
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

    /// Whether [`Membership::end`] has nobody to wait for. If so nobody can come in any more. If not this one's lock is gone
    /// (flock(2)), which nobody misses: no other session asks to be alone.
    pub fn can_end(&self) -> bool {
        let alone = || self.session.relock(FlockArg::LockExclusiveNonblock);
        self.has_joined() || alone().is_ok()
    }

    /// Whether another session made the berth, which ends it.
    pub fn has_joined(&self) -> bool {
        matches!(self.part, Part::Found(_))
    }

    /// Waits until every other session of the berth has been cleaned up, and kills the init, which may take its time to go.
    /// Returns at once in a session that only joined. To be kept until a sweep has removed the files: a login that finds the
    /// lock taken makes a berth of its own.
    pub fn end(&self) -> Result<()> {
        if let Part::Made(init) = &self.part {
            let path = berth_file(&self.folder, self.id);
            let alone = self.session.relock(FlockArg::LockExclusive);
            alone.map_err(system(format!("lock {}", path.display())))?;
            init.kill();
        }
        Ok(())
    }
}

/// Whether sessions are in the berth that this one made.
pub fn is_held(folder: &Path, id: SessionId) -> bool {
    let Ok(berth) = File::open(berth_file(folder, id)) else {
        return false; // It made none.
    };
    Flock::lock(berth, FlockArg::LockExclusiveNonblock).is_err()
}

/// The berths that a user's folder names.
fn berths(folder: &Path) -> Result<Vec<SessionId>> {
    let names = |entries: fs::ReadDir| entries.map(|entry| Ok(entry?.file_name())).collect();
    let names: std::io::Result<Vec<_>> = fs::read_dir(folder).and_then(names);
    let names = names.map_err(file("list", folder))?.into_iter();
    let ids = names.filter_map(|name| name.to_str()?.strip_prefix("berth-")?.parse().ok());
    Ok(ids.collect())
}

/// What a berth is whose init is there.
fn live(folder: &Path, id: SessionId) -> Result<Option<Entry>> {
    let path = berth_file(folder, id);
    let text = read_file(&path).map_err(file("read", &path))?;
    // Half written by a helper that was killed; its standby removes it.
    let Ok(entry) = serde_json::from_slice::<Entry>(&text) else {
        return Ok(None);
    };
    Ok(is_there(&entry)?.then_some(entry))
}

/// Whether its init is. What cannot be looked at is no reason for another berth beside the one that the user's tmux is in.
fn is_there(entry: &Entry) -> Result<bool> {
    let process = PathBuf::from(format!("/proc/{}", entry.init.pid));
    entry.init.is_there().map_err(file("look at", &process))
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

#[cfg(test)]
mod tests {
    use berth_config::outcome::{PrivateTmp, Propagation, Scope, UserManager, UserNamespace};

    use super::*;

    /// As the helpers that run have written them: a change makes each user's next login another berth, beside what runs.
    #[test]
    fn what_a_shared_berth_has_to_be_is_written_the_same_by_each_version() {
        let shared = Namespaces {
            scope: Scope::User,
            ..Namespaces::none()
        };
        let caps_only = needs(&shared, &Privileges::all(), None).unwrap();
        assert_eq!(
            caps_only,
            r#"{"gids":null,"namespaces":{"scope":"user"},"privileges":{},"uids":null}"#
        );
        let namespaces = Namespaces {
            user: UserNamespace::Minimal,
            pid: true,
            ipc: true,
            mount: true,
            uts: true,
            net: true,
            private_tmp: PrivateTmp::Tmpfs(1 << 20),
            tmp_keep: vec![".X11-unix".into()],
            private_shm: Some(1 << 20),
            propagation: Propagation::Private,
            user_manager: UserManager::Hidden,
            ..shared
        };
        let privileges = Privileges {
            no_new_privs: true,
            nested_userns: false,
        };
        let maps = Maps {
            uids: "0 0 1\n".into(),
            gids: "0 0 1\n".into(),
        };
        let all = needs(&namespaces, &privileges, Some(&maps)).unwrap();
        let gids = r#"{"gids":"0 0 1\n","#;
        let namespaces = concat!(
            r#""namespaces":{"ipc":true,"mount":true,"net":true,"pid":true,"private_shm":1048576,"#,
            r#""private_tmp":{"tmpfs":1048576},"propagation":"private","scope":"user","#,
            r#""tmp_keep":[".X11-unix"],"user":"minimal","user_manager":"hidden","uts":true},"#,
        );
        let rest = r#""privileges":{"nested_userns":false,"no_new_privs":true},"uids":"0 0 1\n"}"#;
        assert_eq!(all, [gids, namespaces, rest].concat());
    }
}
