//! The sessions that are live, and what they use of the machine.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::Path;

use berth_config::LocalTime;
use berth_session::{Error, Group, Record, SessionId, State, Tree};
use serde_json::{Value, json};

use crate::exit::{Exit, not_so};
use crate::figures::Figures;
use crate::object::Object;
use crate::readable::harmless;
use crate::{caller, json, parallel};

/// The records of all sessions, and those that could not be read.
#[derive(Debug)]
pub struct Sessions {
    /// In the order of their ids.
    pub records: Vec<Record>,
    /// Why some are missing here.
    pub unread: Vec<Error>,
}

impl Sessions {
    /// Reads every record.
    pub fn read() -> berth_session::Result<Sessions> {
        let mut sessions = Sessions {
            records: Vec::new(),
            unread: Vec::new(),
        };
        for read in parallel::map(&Record::ids()?, |id| Record::read(*id)) {
            match read {
                Ok(record) => sessions.records.push(record),
                // It ended just now.
                Err(Error::File { source, .. }) if source.kind() == ErrorKind::NotFound => {}
                Err(error) => sessions.unread.push(error),
            }
        }
        Ok(sessions)
    }

    /// As [`Sessions::read`]; says what it could not read.
    pub fn tell() -> Result<Sessions, Exit> {
        let sessions = Sessions::read().map_err(failed)?;
        for error in &sessions.unread {
            eprintln!("berth: {error}");
        }
        Ok(sessions)
    }

    /// How it ends for who looks at all of them.
    pub fn exit(&self) -> Exit {
        match self.unread.is_empty() {
            true => Exit::Done,
            false => Exit::Partly,
        }
    }

    /// Those of an object, of which there is one at least, and how it ends for who looks at them: one that could not be
    /// read may be the object's. A user is all UIDs that have the name, with all sessions of these: what a cgroup is of is
    /// a UID, which may have other names, and an account that was made anew has another.
    pub fn of(self, object: &Object) -> Result<(Vec<Record>, Exit), Exit> {
        let exit = match object {
            Object::Session(_) => Exit::Done,
            _ => self.exit(),
        };
        let mut records = self.records;
        let named = |record: &&Record| matches!(object, Object::User(name) if record.user == *name);
        let named = records.iter().filter(named).map(|record| record.uid);
        let uids: BTreeSet<u32> = named.collect();
        records.retain(|record| match object {
            Object::Session(id) => record.id == *id,
            Object::User(_) => uids.contains(&record.uid),
            Object::Pool(name) => record.pool.as_ref() == Some(name),
            // A session may have several.
            Object::Profile(name) => record.profile.split('+').any(|one| one == name),
        });
        match records.is_empty() {
            true => Err(none(object, exit)),
            false => Ok((records, exit)),
        }
    }
}

/// Says what went wrong, and what that means for the exit status.
pub fn failed(error: Error) -> Exit {
    let exit = match &error {
        Error::File { source, .. } => source.into(),
        _ => Exit::NotSo,
    };
    exit.because(error)
}

/// One session's record.
pub fn one(id: SessionId) -> Result<Record, Exit> {
    Record::read(id).map_err(|error| match Record::path(id).try_exists() {
        Ok(false) => not_so(format!("there is no session {id}")),
        _ => failed(error),
    })
}

/// The cgroup hierarchy. Without one there are no figures, and still sessions.
pub fn tree() -> Result<Option<Tree>, Exit> {
    Tree::find_if_any().map_err(failed)
}

/// Says that an object has no session.
fn none(object: &Object, exit: Exit) -> Exit {
    match (object, exit) {
        (Object::Session(id), _) if Record::path(*id).exists() => {
            Exit::Partly.because(format!("the record of session {id} cannot be read"))
        }
        (Object::Session(id), _) => not_so(format!("there is no session {id}")),
        (_, Exit::Done) => not_so(format!("{object} has no session")),
        _ => exit.because(format!("{object} has no session that can be read")),
    }
}

/// The ids of sessions.
pub fn ids<'a>(records: impl IntoIterator<Item = &'a Record>) -> Vec<SessionId> {
    records.into_iter().map(|record| record.id).collect()
}

/// Their profiles, each once.
pub fn profiles<'a>(records: &[&'a Record]) -> Vec<&'a str> {
    let mut profiles: Vec<&str> = records.iter().map(|one| one.profile.as_str()).collect();
    profiles.sort_unstable();
    profiles.dedup();
    profiles
}

/// `sshd from 10.1.4.22 on pts/3`
pub fn way_in(record: &Record) -> String {
    let mut text = record.service.clone();
    if !record.rhost.is_empty() {
        text += &format!(" from {}", record.rhost);
    }
    // sshd does not know the terminal yet, and says `ssh`.
    if !record.tty.is_empty() && record.tty != "ssh" {
        text += &format!(" on {}", record.tty);
    }
    harmless(&text)
}

/// Whether nobody looks after a session any more. Its keeper goes last but for the record, and a
/// record that is gone is no session. Who is not root cannot tell: from a berth nobody sees a keeper.
pub fn is_dead(record: &Record) -> bool {
    caller::is_root() && record.keeper.is_gone() && Record::path(record.id).exists()
}

/// All that [`state`] can say.
pub const STATES: [&str; 5] = ["opening", "active", "linger", "frozen", "dead"];

/// The state, as `list` shows it.
pub fn state(record: &Record, tree: Option<&Tree>) -> &'static str {
    match record.state {
        _ if is_dead(record) => "dead",
        _ if place(tree, record).is_some_and(|place| place.is_frozen()) => "frozen",
        State::Opening => "opening",
        State::Active => "active",
        State::Linger => "linger",
    }
}

/// A cgroup's path as the kernel writes it, in /proc/PID/cgroup.
pub fn path(below: &Path) -> String {
    format!("/{}", below.display())
}

/// A session's cgroup.
pub fn group(tree: Option<&Tree>, record: &Record) -> Option<Group> {
    Some(tree?.group(record.cgroup.as_ref()?))
}

/// Where a session is. That of a user's service manager has no cgroup of its own, nor what was opened in a unit of it, nor
/// one that is being opened.
pub fn place(tree: Option<&Tree>, record: &Record) -> Option<Group> {
    let leader = || tree?.of_process(record.leader.pid).ok()?;
    group(tree, record).or_else(|| leader().filter(|_| record.leader.is_alive()))
}

/// Sessions by their user's UID.
pub fn by_user<'a>(
    records: impl IntoIterator<Item = &'a Record>,
) -> BTreeMap<u32, Vec<&'a Record>> {
    let mut users: BTreeMap<u32, Vec<&Record>> = BTreeMap::new();
    for record in records {
        users.entry(record.uid).or_default().push(record);
    }
    users
}

/// Sessions by their pool, of those that have one.
pub fn by_pool<'a>(
    records: impl IntoIterator<Item = &'a Record>,
) -> BTreeMap<String, Vec<&'a Record>> {
    let mut pools: BTreeMap<String, Vec<&Record>> = BTreeMap::new();
    for record in records {
        if let Some(pool) = &record.pool {
            pools.entry(pool.clone()).or_default().push(record);
        }
    }
    pools
}

/// The pool that a user is in. Any session that is in it tells that, but not one of their service manager.
pub fn pool<'a>(records: &[&'a Record]) -> Option<&'a str> {
    records.iter().find_map(|record| record.pool.as_deref())
}

/// The cgroup of a user, whose sessions these are.
pub fn user_group(tree: Option<&Tree>, records: &[&Record]) -> Option<Group> {
    let uid = records.first()?.uid;
    Some(tree?.user_in(pool(records), uid))
}

/// Whether this process runs in a cgroup.
pub fn is_within(tree: &Tree, group: &Group) -> bool {
    let own = i32::try_from(std::process::id()).ok();
    let own = own.and_then(|pid| tree.of_process(pid).ok().flatten());
    own.is_some_and(|own| own.is_within(group))
}

/// A session for programs: its record, and its figures.
pub fn object(record: &Record, tree: Option<&Tree>, figures: &Figures, is_stale: bool) -> Value {
    let object = json!({
        "session": record.id,
        "user": record.user,
        "uid": record.uid,
        "service": record.service,
        "tty": record.tty,
        "rhost": record.rhost,
        "profile": record.profile,
        "pool": record.pool,
        "rule": record.rule,
        "user_rule": record.user_rule,
        "opened": LocalTime::rfc3339(record.opened_at()),
        "age_seconds": record.age(),
        "state": state(record, tree),
        "stale": is_stale,
        "cgroup": record.cgroup.as_deref().map(path),
        "namespaces": record.namespaces.kinds(),
        "leader_pid": record.leader.pid,
        "keeper_pid": record.keeper.pid,
        "init_pid": record.init.map(|init| init.pid),
    });
    json::merged(object, figures.object())
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A session of which no process is left.
    pub fn record(id: u64, state: &str, cgroup: Option<&str>) -> Record {
        let ended = json!({ "pid": i32::MAX, "start": 1 });
        let record = json!({
            "id": id, "user": "alice", "uid": 1001, "service": "sshd", "tty": "", "rhost": "",
            "profile": "default", "rule": null, "user_rule": null, "pool": null, "opened": 0,
            "state": state, "leader": ended, "keeper": ended, "init": null, "cgroup": cgroup,
        });
        serde_json::from_value(record).unwrap()
    }
}
