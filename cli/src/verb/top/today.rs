//! What users' caps did today: to sessions that are on, by their cgroups' counters, and to those that have ended, by the
//! accounting file.

use std::collections::{BTreeMap, HashSet};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use berth_config::LocalTime;
use berth_session::{Entry, Group, Ledger, Record, SessionId, tasks_refused};

/// A session whose end something held up is on record late. So many in a row that ended before midnight are not: nor is what
/// stands before them of today.
const LATE: u32 = 1000;

/// Since when something is counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Since {
    /// Since midnight.
    Midnight,
    /// Since a session before midnight was opened, in seconds since 1970: nobody knows what of its counters is
    /// today's.
    Opened(u64),
    /// What is on now only: what has ended is not on record.
    #[default]
    Unknown,
}

/// Processes that the OOM killer ended, and forks that were refused.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bites {
    pub killed: u64,
    pub refused: u64,
    pub since: Since,
}

/// A session's counters, or those of a user's cgroup.
#[derive(Debug, Clone, Copy, Default)]
struct Counted {
    uid: u32,
    opened: u64,
    killed: u64,
    refused: u64,
}

/// What is known of them.
#[derive(Debug, Default)]
pub struct Today {
    midnight: u64,
    /// Those that are on, and those that ended since the accounting file was read.
    live: BTreeMap<SessionId, Counted>,
    ended: Vec<(SessionId, Counted)>,
    /// What was refused to users who are on, where the kernel counts it in their cgroups: all of it, and not only what their
    /// sessions' own caps refused.
    users: BTreeMap<u32, Counted>,
    is_on_record: bool,
}

impl Today {
    /// Reads the counters of sessions: of their cgroups, and of their users'.
    pub fn look<'a>(&mut self, sessions: impl Iterator<Item = (&'a Record, [Option<Group>; 2])>) {
        for (record, [group, user]) in sessions {
            let group = group.as_ref();
            let killed = group.and_then(|group| group.keyed("memory.events", "oom_kill"));
            let counted = Counted {
                uid: record.uid,
                opened: record.opened,
                killed: killed.unwrap_or(0),
                refused: group.and_then(tasks_refused).unwrap_or(0),
            };
            self.live.insert(record.id, counted);
            if let Some(refused) = user.as_ref().and_then(tasks_refused) {
                let before = self.users.get(&record.uid);
                let opened = before.map_or(record.opened, |user| user.opened.min(record.opened));
                let killed = 0; // is known of each session
                let counted = Counted {
                    opened,
                    killed,
                    refused,
                    ..counted
                };
                self.users.insert(record.uid, counted);
            }
        }
    }

    /// Whether a session has not been looked at.
    pub fn is_new(&self, id: SessionId) -> bool {
        !self.live.contains_key(&id)
    }

    /// Reads what ended today, as far as it is on record, of sessions that are not on.
    pub fn account(&mut self, file: Option<PathBuf>, is_on: impl Fn(SessionId) -> bool) {
        self.midnight = midnight().and_then(since_1970).unwrap_or(0);
        self.live.retain(|id, _| is_on(*id));
        let on: HashSet<u32> = self.live.values().map(|one| one.uid).collect();
        self.users.retain(|uid, _| on.contains(uid));
        self.ended.clear();
        let midnight = self.midnight;
        let mut earlier = 0;
        let each = |entry: &Entry<'_>| {
            if seconds(&entry.end).is_none_or(|end| end < midnight) {
                earlier += 1;
                return match earlier < LATE {
                    true => ControlFlow::Continue(()),
                    false => ControlFlow::Break(()),
                };
            }
            earlier = 0;
            let counted = Counted {
                uid: entry.uid,
                opened: seconds(&entry.start).unwrap_or(0),
                killed: entry.oom_kills.unwrap_or(0),
                refused: entry.tasks_refused.unwrap_or(0),
            };
            self.ended.push((entry.session, counted));
            ControlFlow::Continue(())
        };
        let read = file.map(|file| Ledger::to_read(file).read_back(each));
        self.is_on_record = read.is_some_and(|read| read.is_ok());
        // On record a moment before it is gone.
        let live = &self.live;
        self.ended.retain(|(id, ended)| {
            let on = live.get(id);
            on.is_none_or(|on| on.opened != ended.opened)
        });
    }

    /// All together.
    pub fn bites(&self) -> Bites {
        let mut bites = Bites {
            since: match self.is_on_record {
                true => Since::Midnight,
                false => Since::Unknown,
            },
            ..Bites::default()
        };
        let ended = self.ended.iter().map(|(_, ended)| ended);
        let sessions = self.live.values().chain(ended).map(|one| Counted {
            refused: match self.users.contains_key(&one.uid) {
                true => 0,
                false => one.refused,
            },
            ..*one
        });
        for one in sessions.chain(self.users.values().copied()) {
            bites.killed = bites.killed.saturating_add(one.killed);
            bites.refused = bites.refused.saturating_add(one.refused);
            if one.opened >= self.midnight || (one.killed, one.refused) == (0, 0) {
                continue;
            }
            bites.since = match bites.since {
                Since::Midnight => Since::Opened(one.opened),
                Since::Opened(earlier) => Since::Opened(earlier.min(one.opened)),
                Since::Unknown => Since::Unknown,
            };
        }
        bites
    }
}

/// When today began here.
pub fn midnight() -> Option<SystemTime> {
    let mut now = LocalTime::now()?;
    (now.hour, now.minute, now.second) = (0, 0, 0);
    now.moment()
}

fn seconds(rfc3339: &str) -> Option<u64> {
    since_1970(LocalTime::from_rfc3339(rfc3339)?)
}

fn since_1970(moment: SystemTime) -> Option<u64> {
    Some(moment.duration_since(UNIX_EPOCH).ok()?.as_secs())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::own_folder::Folder;

    fn counted(opened: u64, killed: u64) -> Counted {
        Counted {
            opened,
            killed,
            refused: 1,
            ..Counted::default()
        }
    }

    #[test]
    fn an_older_session_counts_from_when_it_was_opened_unless_nothing_happened_to_it() {
        let id = |number: &str| number.parse().unwrap();
        let mut today = Today {
            midnight: 1000,
            is_on_record: true,
            ..Today::default()
        };
        today.live.insert(id("1"), counted(2000, 2));
        today.live.insert(
            id("2"),
            Counted {
                opened: 5,
                ..Counted::default()
            },
        );
        today.ended.push((id("3"), counted(1000, 1)));
        let bites = |killed, refused, since| Bites {
            killed,
            refused,
            since,
        };
        assert_eq!(today.bites(), bites(3, 2, Since::Midnight));
        today.ended.push((id("4"), counted(900, 0)));
        today.live.insert(id("5"), counted(800, 0));
        assert_eq!(today.bites(), bites(3, 4, Since::Opened(800)));
        today.is_on_record = false;
        assert_eq!(today.bites(), bites(3, 4, Since::Unknown));
    }

    #[test]
    fn a_session_that_is_on_record_late_hides_none_of_today() {
        let folder = Folder::new();
        let file = folder.join("sessions.jsonl");
        let today = midnight().unwrap();
        let line = |(session, end): (u32, SystemTime)| {
            let end = LocalTime::rfc3339(end).unwrap();
            let texts = ["user", "service", "tty", "rhost", "profile", "start"];
            let texts = texts.map(|key| format!("\"{key}\":\"\",")).concat();
            format!(
                "{{{texts}\"session\":{session},\"uid\":1,\"end\":\"{end}\",\"seconds\":1,\"oom_kills\":1}}\n"
            )
        };
        let yesterday = today - Duration::from_secs(1);
        let first = (1, today);
        for (late, killed) in [(1, 2), (LATE - 1, 2), (LATE, 1)] {
            let late = (0..late).map(|one| (2 + one, yesterday));
            let last = (5000, today);
            let lines = std::iter::once(first).chain(late).chain([last]);
            std::fs::write(&file, lines.map(line).collect::<String>()).unwrap();
            let mut today = Today::default();
            today.account(Some(file.clone()), |_| false);
            assert_eq!(today.bites().killed, killed);
        }
    }

    #[test]
    fn what_a_users_cgroup_counts_has_what_their_sessions_counted() {
        let counted = |uid, opened, refused| Counted {
            uid,
            opened,
            refused,
            killed: 1,
        };
        let mut today = Today {
            midnight: 1000,
            is_on_record: true,
            ..Today::default()
        };
        today.live.insert("1".parse().unwrap(), counted(1, 2000, 2));
        today
            .ended
            .push(("2".parse().unwrap(), counted(1, 1500, 3)));
        today
            .ended
            .push(("3".parse().unwrap(), counted(2, 1500, 5)));
        assert_eq!((today.bites().killed, today.bites().refused), (3, 10));
        let user = Counted {
            killed: 0,
            ..counted(1, 900, 40)
        };
        today.users.insert(1, user);
        assert_eq!((today.bites().killed, today.bites().refused), (3, 45));
        assert_eq!(today.bites().since, Since::Opened(900));
        today.account(None, |_| false);
        assert_eq!((today.bites().killed, today.bites().refused), (0, 0));
    }
}
