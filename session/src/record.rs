//! The record of a session: what `berth list` shows, and what a successor needs to clean up.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{DirEntryExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use berth_protocol::service::MANAGER;
use serde::{Deserialize, Serialize};

use crate::regular::{entries, remove_if_there, replace_file};
use crate::{Error, Result, Role, SessionId, read_file, sys};

/// Where everything that lives no longer than the machine is up is kept.
pub const STATE: &str = "/run/berth";

/// One file for each session.
pub const RECORDS: &str = "/run/berth/sessions";

/// Inode numbers that name a berth's namespaces, as /proc/PID/ns shows them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // the names are those of /proc/PID/ns
pub struct NamespaceIds {
    #[serde(rename = "pid_namespace")]
    pub pid: Option<u64>,
    #[serde(rename = "ipc_namespace")]
    pub ipc: Option<u64>,
    #[serde(rename = "mount_namespace")]
    pub mount: Option<u64>,
    #[serde(rename = "user_namespace")]
    pub user: Option<u64>,
    #[serde(rename = "uts_namespace")]
    pub uts: Option<u64>,
    #[serde(rename = "net_namespace")]
    pub net: Option<u64>,
}

impl NamespaceIds {
    /// The kinds that the session has of its own, by the policy's names.
    pub fn kinds(&self) -> Vec<&'static str> {
        let kinds = [
            (self.user, "user"),
            (self.pid, "pid"),
            (self.ipc, "ipc"),
            (self.mount, "mount"),
            (self.uts, "uts"),
            (self.net, "net"),
        ];
        let own = kinds.into_iter().filter(|(id, _)| id.is_some());
        own.map(|(_, kind)| kind).collect()
    }
}

/// How far a session has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It is being set up.
    Opening,
    /// It is set up, and the login is on.
    Active,
    /// The login has ended; what it left running may stay for a while.
    Linger,
}

/// All that is known of a live session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The session.
    pub id: SessionId,
    /// The user's name.
    pub user: String,
    /// The user's UID.
    pub uid: u32,
    /// The PAM service.
    pub service: String,
    /// The terminal, as PAM knows it.
    pub tty: String,
    /// The remote host, as PAM knows it.
    pub rhost: String,
    /// The remote user, as PAM knows it: with su, who typed it. Not in an earlier version's record.
    #[serde(default)]
    pub ruser: String,
    /// The profiles, joined by `+`.
    pub profile: String,
    /// The login rule.
    pub rule: Option<String>,
    /// The user rule.
    pub user_rule: Option<String>,
    /// The user's pool.
    pub pool: Option<String>,
    /// The checksum of the policy that it was opened under; absent where none was loaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// When the session was opened, in seconds since 1970.
    pub opened: u64,
    /// How far it has come.
    pub state: State,
    /// The process that called `pam_open_session`.
    pub leader: Role,
    /// The process that keeps the session.
    pub keeper: Role,
    /// The init of the session's namespaces.
    pub init: Option<Role>,
    /// The session's cgroup, below the cgroup2 mount; absent with `cgroup = "keep"`.
    pub cgroup: Option<PathBuf>,
    /// The namespaces that the session has of its own.
    #[serde(flatten)]
    pub namespaces: NamespaceIds,
}

impl Record {
    /// When the session was opened.
    pub fn opened_at(&self) -> SystemTime {
        UNIX_EPOCH
            .checked_add(Duration::from_secs(self.opened))
            .unwrap_or(UNIX_EPOCH)
    }

    /// How long it has been open, in seconds.
    pub fn age(&self) -> u64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        now.map_or(0, |now| now.as_secs().saturating_sub(self.opened))
    }

    /// The file of a session's record.
    pub fn path(id: SessionId) -> PathBuf {
        Path::new(RECORDS).join(id.to_string())
    }

    /// Where a record is while it is written. Dot files are no records, so a reader never sees a half
    /// of one.
    pub(crate) fn unfinished(id: SessionId) -> PathBuf {
        Path::new(RECORDS).join(format!(".{id}"))
    }

    /// The door it came through: the PAM service, terminal, remote host and remote user, in this order. With the user's
    /// account it is all that a rule tests of a login.
    pub fn door(&self) -> [&str; 4] {
        [&self.service, &self.tty, &self.rhost, &self.ruser]
    }

    /// Whether it is a login of the user's, and not the service manager that systemd starts for them.
    pub fn is_login(&self) -> bool {
        self.service != MANAGER
    }

    /// Makes the folders that records live in. /run is empty after a boot.
    pub fn prepare() -> Result<()> {
        for path in [STATE, RECORDS, crate::folder::USERS] {
            // Users read their own records, whatever the umask is of the admin who makes the folder.
            let open = || fs::set_permissions(path, Permissions::from_mode(0o755));
            match fs::create_dir(path).and_then(|()| open()) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(Error::file("create", Path::new(path), error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Writes the record, whole or not at all.
    pub fn write(&self) -> Result<()> {
        let path = Record::path(self.id);
        let new = Record::unfinished(self.id);
        let text = serde_json::to_vec(self).map_err(|error| Error::Record {
            path: path.clone(),
            reason: error.to_string(),
        })?;
        // Not for others: it names what a user runs, and when. For the user: it is all about them, and a reader can do
        // nothing to it but read. Where the file system has no such lists it is root's alone.
        replace_file(&path, &new, &text, |file| {
            let _ = sys::let_read(file, self.uid);
        })
        .map_err(|error| Error::file("write the session record", &path, error))
    }

    /// Reads one record.
    pub fn read(id: SessionId) -> Result<Record> {
        let path = Record::path(id);
        let text = read_file(&path).map_err(|error| Error::file("read", &path, error))?;
        serde_json::from_slice(&text).map_err(|error| Error::Record {
            path,
            reason: error.to_string(),
        })
    }

    /// Says that what runs in a session's cgroup is not the session's: the application was not moved there
    /// by Berth, or goes on there without a berth.
    pub fn leave_cgroup_alone(id: SessionId) -> Result<()> {
        let written = Record::read(id).and_then(|mut record| {
            record.cgroup = None;
            record.write()
        });
        // Where that cannot be said, no record says more than one: who reads it next may have it killed.
        written.or_else(|_| remove_if_there(&Record::path(id)))
    }

    /// Whether a session that has an entry is known to have nobody who keeps it.
    pub fn is_abandoned(id: SessionId) -> bool {
        match Record::read(id) {
            Ok(record) => record.keeper.is_gone(),
            // Both are made under the user's lock: an entry without a record is what was left by somebody who was killed.
            Err(error) => error.is_not_found(),
        }
    }

    /// The ids of all sessions, in order.
    pub fn ids() -> Result<Vec<SessionId>> {
        Ok(Record::files()?.into_iter().map(|(id, _)| id).collect())
    }

    /// The ids of all sessions, in order, with the inode numbers of their records: a record that was written anew has
    /// another one.
    pub fn files() -> Result<Vec<(SessionId, u64)>> {
        let entries = entries(Path::new(RECORDS))?.into_iter();
        let mut files: Vec<(SessionId, u64)> = entries
            .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.ino())))
            .collect();
        files.sort_unstable();
        Ok(files)
    }
}
