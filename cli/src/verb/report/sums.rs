//! The sums of a report.

use std::collections::HashMap;
use std::time::SystemTime;

use berth_config::LocalTime;
use berth_session::Entry;

use crate::figures::added;

/// What a report has a line for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum By {
    /// Each user
    User,
    /// Each profile
    Profile,
    /// Each PAM service
    Service,
    /// Each day, by the machine's clock when the sessions ended
    Day,
}

impl By {
    pub fn word(self) -> &'static str {
        match self {
            By::User => "user",
            By::Profile => "profile",
            By::Service => "service",
            By::Day => "day",
        }
    }

    fn of<'e>(self, entry: &'e Entry<'_>) -> &'e str {
        match self {
            By::User => &entry.user,
            By::Profile => &entry.profile,
            By::Service => &entry.service,
            By::Day => entry.end.get(..10).unwrap_or(&entry.end),
        }
    }
}

/// What some sessions used together. `None` is what no record of them says.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sums {
    pub sessions: u64,
    pub seconds: u64,
    pub cpu_user_us: Option<u64>,
    pub cpu_system_us: Option<u64>,
    pub throttled_us: Option<u64>,
    pub memory_peak: Option<u64>,
    pub oom_kills: Option<u64>,
    pub tasks_peak: Option<u64>,
    pub tasks_refused: Option<u64>,
    pub io_read: Option<u64>,
    pub io_write: Option<u64>,
}

impl Sums {
    /// CPU time in all.
    pub fn cpu_us(&self) -> Option<u64> {
        added(self.cpu_user_us, self.cpu_system_us)
    }

    fn add(&mut self, entry: &Entry<'_>) {
        self.sessions += 1;
        self.seconds = self.seconds.saturating_add(entry.seconds);
        self.cpu_user_us = added(self.cpu_user_us, entry.cpu_user_us);
        self.cpu_system_us = added(self.cpu_system_us, entry.cpu_system_us);
        self.throttled_us = added(self.throttled_us, entry.throttled_us);
        self.memory_peak = self.memory_peak.max(entry.memory_peak);
        self.oom_kills = added(self.oom_kills, entry.oom_kills);
        self.tasks_peak = self.tasks_peak.max(entry.tasks_peak);
        self.tasks_refused = added(self.tasks_refused, entry.tasks_refused);
        self.io_read = added(self.io_read, entry.io_read);
        self.io_write = added(self.io_write, entry.io_write);
    }
}

/// A report in the making.
#[derive(Debug)]
pub struct Report {
    pub by: By,
    since: SystemTime,
    until: Option<SystemTime>,
    groups: HashMap<String, Sums>,
    pub total: Sums,
    /// Records of which it cannot be told when they ended.
    pub without_time: u64,
}

impl Report {
    /// Nothing yet.
    pub fn new(by: By, since: SystemTime, until: Option<SystemTime>) -> Report {
        Report {
            by,
            since,
            until,
            groups: HashMap::new(),
            total: Sums::default(),
            without_time: 0,
        }
    }

    /// Adds a session, if it ended at the right time.
    pub fn add(&mut self, entry: &Entry<'_>) {
        let Some(end) = LocalTime::from_rfc3339(&entry.end) else {
            self.without_time += 1;
            return;
        };
        if end < self.since || self.until.is_some_and(|until| end >= until) {
            return;
        }
        let name = self.by.of(entry);
        match self.groups.get_mut(name) {
            Some(sums) => sums.add(entry),
            None => self.groups.entry(name.into()).or_default().add(entry),
        }
        self.total.add(entry);
    }

    /// The groups: days in their order, others by CPU time, the most first.
    pub fn groups(&self) -> Vec<(&str, &Sums)> {
        let groups = self.groups.iter();
        let mut groups: Vec<_> = groups.map(|(name, sums)| (name.as_str(), sums)).collect();
        groups.sort_by(|(name, sums), (other, others)| match self.by {
            By::Day => name.cmp(other),
            _ => (others.cpu_us(), *name).cmp(&(sums.cpu_us(), *other)),
        });
        groups
    }
}
