//! What sessions have left behind that nobody looks after: keeper and standby were both killed, or the machine went
//! down.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, DirEntry};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::folder::USERS;
use crate::process::{HELPER, parent_of, runs_no_helper, start_of};
use crate::record::RECORDS;
use crate::regular::{entries, is_there, remove_if_there};
use crate::sweep::{PRIVATE_TMP, STALE, remove_tree};
use crate::{Error, Record, Result, SessionId, Tree, UserFolder, private_tmp, sweep};

/// What is left of one session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    /// The session.
    pub id: SessionId,
    /// The user, where a record says who it was.
    pub user: Option<String>,
    uid: Option<u32>,
    /// It was put aside as a whole, so it is no session's, whoever runs. When files were made says less: a clock may have been
    /// set since the boot.
    is_aside: bool,
    /// Where it is: the record, the entry among the user's sessions, the private /tmp. A cgroup goes before these, so one
    /// that is alone is no session's that this machine has had.
    pub traces: Vec<PathBuf>,
}

impl Leftover {
    /// Finds all. A record that cannot be read is not among them: it may be a live session's.
    pub fn find() -> Result<Vec<Leftover>> {
        let mut found = Found::default();
        for id in Record::ids()? {
            let Ok(record) = Record::read(id) else {
                found.alive(id);
                continue;
            };
            match record.keeper.is_gone() {
                false => found.alive(id),
                true => {
                    let one = found.one(id, Some(record.uid), Record::path(id));
                    one.user = Some(record.user);
                }
            }
        }
        for (name, path) in named(Path::new(RECORDS))? {
            if let Some(id) = name.strip_prefix('.').and_then(|id| id.parse().ok()) {
                found.one(id, None, path);
            }
        }
        for uid in UserFolder::uids()? {
            for (id, path) in named(&Path::new(USERS).join(uid.to_string()))? {
                if let Ok(id) = id.parse() {
                    found.one(id, Some(uid), path);
                }
            }
        }
        for (name, path) in named(Path::new(PRIVATE_TMP))? {
            if let Ok(id) = name.trim_start_matches(STALE).parse() {
                found.one(id, None, path);
            }
        }
        Ok(found.leftovers())
    }

    /// Removes them, and says of each whether it is gone.
    pub fn remove_all(all: &[Leftover], tree: Option<&Tree>) -> Vec<Result<()>> {
        // Ids begin anew at each boot, and to empty a /tmp takes its time: a login may have made one of that name by
        // then. So all are put aside first, and the look after that sees who has made one that was.
        let aside = each_of(all.iter().cloned().map(Ok).collect(), Leftover::put_aside);
        each_of(aside, |one| one.remove(tree))
    }

    /// Gives what may be from before a crash a name that no login takes.
    fn put_aside(mut self) -> Result<Leftover> {
        let own = private_tmp(self.id);
        let is_before = self.uid.is_none() && !self.is_beginning();
        for path in self
            .traces
            .iter_mut()
            .filter(|path| is_before && **path == own)
        {
            let mut name = format!("{STALE}{}", self.id);
            while own.with_file_name(&name).exists() {
                name.insert_str(0, STALE); // From a boot before that.
            }
            *path = own.with_file_name(name);
            match fs::rename(&own, &path) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(Error::file("put aside", &own, error));
                }
                _ => {}
            }
        }
        Ok(self)
    }

    fn remove(self, tree: Option<&Tree>) -> Result<()> {
        if self.is_beginning() {
            return Ok(());
        }
        match self.uid {
            Some(uid) => sweep(tree, uid, self.id),
            None => self.traces.iter().try_for_each(|path| match path.is_dir() {
                true => remove_tree(path),
                false => remove_if_there(path),
            }),
        }
    }

    fn has_record(&self) -> bool {
        self.traces.contains(&Record::path(self.id))
    }

    /// Whether it is that of a session that began after the records were read, or may be.
    fn is_beginning(&self) -> bool {
        !self.has_record() && is_there(&Record::path(self.id)).unwrap_or(true)
    }
}

/// Does something to each. What has no record is looked at once, for all: whoever keeps one of these is there by now.
fn each_of<T>(all: Vec<Result<Leftover>>, deed: impl Fn(Leftover) -> Result<T>) -> Vec<Result<T>> {
    let mut unknown = None;
    let once_known = |one: Result<Leftover>| {
        let one = one?;
        if !one.has_record() && !one.is_aside {
            let unknown = match unknown {
                Some(known) => known,
                None => *unknown.insert(unknown_keeper()?),
            };
            if let Some(pid) = unknown {
                return Err(Error::UnknownKeeper { pid });
            }
        }
        deed(one)
    };
    all.into_iter().map(once_known).collect()
}

/// Somebody may have removed the records while sessions were on: these must not lose their cgroup and /tmp. So what
/// has no record is a leftover only if every process of Berth's is known. One that is not: of root's processes, since
/// users can give theirs any name.
fn unknown_keeper() -> Result<Option<i32>> {
    let mut known = Vec::new();
    for id in Record::ids()? {
        if let Ok(record) = Record::read(id) {
            let keeper = record.keeper.pid;
            // The standby is the keeper's parent.
            known.extend([Some(keeper), parent_of(keeper)].into_iter().flatten());
        }
    }
    for (name, path) in named(Path::new("/proc"))? {
        let Ok(pid) = name.parse::<i32>() else {
            continue;
        };
        if !known.contains(&pid) && is_helper(pid, &path) {
            return Ok(Some(pid));
        }
    }
    Ok(None)
}

/// A zombie of that name may be a user's, who never waits for it, and runs no program that could be looked at.
fn is_helper(pid: i32, process: &Path) -> bool {
    let is_roots = fs::metadata(process).is_ok_and(|process| process.uid() == 0);
    let name = fs::read_to_string(process.join("comm")).unwrap_or_default();
    let has_ended = matches!(start_of(pid), Ok(None));
    is_roots && name.trim_end() == HELPER && !has_ended && !runs_no_helper(process)
}

/// What is in a folder, by name, in order.
fn named(folder: &Path) -> Result<BTreeMap<String, PathBuf>> {
    let named = |entry: DirEntry| Some((entry.file_name().into_string().ok()?, entry.path()));
    Ok(entries(folder)?.into_iter().filter_map(named).collect())
}

#[derive(Debug, Default)]
struct Found {
    alive: Vec<SessionId>,
    left: BTreeMap<SessionId, Leftover>,
}

impl Found {
    fn alive(&mut self, id: SessionId) {
        self.alive.push(id);
    }

    fn one(&mut self, id: SessionId, uid: Option<u32>, trace: PathBuf) -> &mut Leftover {
        let one = self.left.entry(id).or_insert(Leftover {
            id,
            user: None,
            uid,
            is_aside: true,
            traces: Vec::new(),
        });
        let name = trace.file_name().and_then(OsStr::to_str);
        one.is_aside &= name.is_some_and(|name| name.starts_with(STALE));
        one.uid = one.uid.or(uid);
        one.traces.push(trace);
        one
    }

    fn leftovers(self) -> Vec<Leftover> {
        let left = self.left.into_values();
        left.filter(|one| !self.alive.contains(&one.id) && !one.is_beginning())
            .collect()
    }
}
