//! What users' caps did today: to sessions that are on, by their cgroups' counters, and to those that have ended, by the
//! accounting file.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use berth_config::LocalTime;
use berth_session::{Entry, Group, Ledger, Record, SessionId};

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

/// A session's counters.
#[derive(Debug, Clone, Copy, Default)]
struct Counted {
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
    is_on_record: bool,
}

impl Today {
    /// Reads the counters of sessions.
    pub fn look<'a>(&mut self, sessions: impl Iterator<Item = (&'a Record, Option<Group>)>) {
        for (record, group) in sessions {
            let number = |file, key| group.as_ref().and_then(|group| group.keyed(file, key));
            let counted = Counted {
                opened: record.opened,
                killed: number("memory.events", "oom_kill").unwrap_or(0),
                refused: number("pids.events", "max").unwrap_or(0),
            };
            self.live.insert(record.id, counted);
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
        self.ended.clear();
        let midnight = self.midnight;
        let each = |entry: &Entry<'_>| {
            // A clock that was set may have put a later one before.
            if seconds(&entry.end).is_none_or(|end| end < midnight) {
                return ControlFlow::Break(());
            }
            let counted = Counted {
                opened: seconds(&entry.start).unwrap_or(0),
                killed: entry.oom_kills.unwrap_or(0),
                refused: entry.tasks_refused.unwrap_or(0),
            };
            self.ended.push((entry.session, counted));
            ControlFlow::Continue(())
        };
        let ledger = file.map(|file| Ledger {
            file,
            max_size: 0,
            keep: Duration::MAX,
        });
        let read = ledger.as_ref().map(|ledger| ledger.read_back(each));
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
        for one in self.live.values().chain(ended) {
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
    use super::*;

    fn counted(opened: u64, killed: u64) -> Counted {
        Counted {
            opened,
            killed,
            refused: 1,
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
}
