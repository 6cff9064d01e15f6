//! What a user's use of the machine comes to on average: looks at it, minute by minute, and means over a window.
//!
//! Times are of a clock that nobody sets (CLOCK_BOOTTIME), so a jump of the wall clock is no use of the machine.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::places::Places;
use crate::state::{self, StateError};

/// What nobody looked at for longer, in milliseconds, is not known: a track begins anew. Looks are a minute apart.
const LONGEST_GAP: u64 = 300_000;

/// No more marks in a window than this.
const MARKS: u64 = 64;

/// What becomes of a file that is damaged.
const REMEDY: &str = "all windows of penalties begin anew";

/// A process as a look saw it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Its PID,
    pub pid: i32,
    /// and when it started, in the kernel's ticks: both together are nobody else's.
    pub started: u64,
    /// Its parent's PID.
    pub parent: i32,
    /// CPU time, in microseconds.
    pub own: u64,
    /// CPU time of its children that have ended and were waited for, and of theirs.
    pub children: u64,
    /// Whether it runs a program that does not count.
    pub is_excepted: bool,
    /// Of `own` and `children`, what was so at its first look, and so was never judged: the track's to fill in.
    #[serde(default)]
    pub unjudged: (u64, u64),
}

impl Process {
    fn key(&self) -> (i32, u64) {
        (self.pid, self.started)
    }

    /// What goes to its parent with its end and was judged already: as excepted, or as not.
    fn judged(&self) -> u64 {
        let own = match self.is_excepted {
            true => self.own.saturating_sub(self.unjudged.0),
            false => self.own,
        };
        own.saturating_add(self.children.saturating_sub(self.unjudged.1))
    }
}

/// What one look at a user's cgroup saw.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Look {
    /// Which cgroup it is (its inode): a user who logs out and in gets another.
    pub group: u64,
    /// When, in milliseconds since the boot.
    pub at: u64,
    /// CPU time of the cgroup, in microseconds.
    pub cpu: u64,
    /// Memory in use, in bytes.
    pub memory: u64,
    /// Its processes.
    pub processes: Vec<Process>,
}

/// Sums since a track began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    at: u64,
    /// Microseconds of CPU time that count.
    pub(super) cpu: u64,
    /// Memory times time: KiB times milliseconds.
    memory: u64,
}

/// A user's mean use over a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mean {
    /// CPU time per second, in microseconds.
    pub cpu: u64,
    /// Bytes.
    pub memory: u64,
}

/// A user's use of the machine since a beginning.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Track {
    last: Look,
    pub(super) now: Mark,
    pub(super) marks: VecDeque<Mark>,
}

impl Track {
    /// Begins with a look.
    pub fn begin(mut look: Look) -> Track {
        look.processes.iter_mut().for_each(first_seen);
        let now = Mark {
            at: look.at,
            ..Mark::default()
        };
        Track {
            last: look,
            now,
            marks: VecDeque::from([now]),
        }
    }

    /// Goes on with another look; the means over a window, once it has gone on for so long. A counter that goes
    /// backwards, another cgroup or a long gap is a new beginning.
    pub fn look(&mut self, mut look: Look, window: Duration) -> Option<Mean> {
        let last = &self.last;
        let elapsed = look
            .at
            .checked_sub(last.at)
            .filter(|gap| (1..=LONGEST_GAP).contains(gap));
        let used = look.cpu.checked_sub(last.cpu);
        let (Some(elapsed), Some(used), true) = (elapsed, used, look.group == last.group) else {
            *self = Track::begin(look);
            return None;
        };
        let excepted = excepted(&last.processes, &mut look.processes);
        // What is not seen between two looks is taken for a straight line.
        let memory = (last.memory / 2 + look.memory / 2) / 1024;
        self.now = Mark {
            at: look.at,
            cpu: self.now.cpu.saturating_add(used.saturating_sub(excepted)),
            memory: self
                .now
                .memory
                .saturating_add(memory.saturating_mul(elapsed)),
        };
        self.last = look;
        self.mean(u64::try_from(window.as_millis()).unwrap_or(u64::MAX))
    }

    /// The same, from now on: what was before counts no more.
    pub fn begin_anew(&mut self) {
        self.marks = VecDeque::from([self.now]);
    }

    fn mean(&mut self, window: u64) -> Option<Mean> {
        let now = self.now;
        let spaced = |mark: &Mark| now.at.saturating_sub(mark.at) >= window / MARKS;
        if self.marks.back().is_none_or(spaced) {
            self.marks.push_back(now);
        }
        // The last mark that is a window ago or longer: those before it are needed no more.
        let is_old = |mark: &Mark| now.at.saturating_sub(mark.at) >= window;
        while self.marks.get(1).is_some_and(is_old) {
            self.marks.pop_front();
        }
        let from = self.marks.front().filter(|mark| is_old(mark))?;
        let time = now.at - from.at;
        let per_time = |sum: u64, scale: u64| {
            let mean = u128::from(sum) * u128::from(scale) / u128::from(time.max(1));
            u64::try_from(mean).unwrap_or(u64::MAX)
        };
        Some(Mean {
            cpu: per_time(now.cpu.saturating_sub(from.cpu), 1000),
            memory: per_time(now.memory.saturating_sub(from.memory), 1024),
        })
    }
}

fn first_seen(process: &mut Process) {
    process.unjudged = (process.own, process.children);
}

/// CPU time between two looks that does not count.
///
/// A process that ran an excepted program at both looks: what it used between. What its children used comes to it with
/// their end, so short-lived ones are seen in no other way; of that, what was judged while they were alive is taken
/// off. So a program that runs long under make is no part of make. The same for what lies between the two, as the
/// shell that make runs for a rule.
fn excepted(before: &[Process], now: &mut [Process]) -> u64 {
    let known: HashMap<i32, &Process> = before.iter().map(|one| (one.pid, one)).collect();
    let same = |one: &Process| {
        known
            .get(&one.pid)
            .copied()
            .filter(|known| known.key() == one.key())
    };
    let alive: HashSet<_> = now.iter().map(Process::key).collect();
    let is_alive = |one: &Process| alive.contains(&one.key());
    // Of who has ended, to whom it went: the next one above that is alive.
    let heirs = first_at_or_above(before, is_alive);
    let mut went: HashMap<i32, u64> = HashMap::new();
    for ended in before.iter().filter(|one| !is_alive(one)) {
        if let Some(heir) = heirs.get(&ended.key()) {
            let sum = went.entry(*heir).or_default();
            *sum = sum.saturating_add(ended.judged());
        }
    }
    let was_under = under(before);
    let is_under = under(now);
    let mut sum = 0_u64;
    for one in now.iter_mut() {
        let Some(was) = same(one) else {
            first_seen(one);
            continue;
        };
        one.unjudged = was.unjudged;
        match (was.is_excepted, one.is_excepted) {
            (true, true) => sum = sum.saturating_add(one.own.saturating_sub(was.own)),
            // Another program in its place: what the one before it used is not the new one's.
            (false, true) => one.unjudged.0 = 0,
            _ => {}
        }
        if was_under.contains(&one.key()) && is_under.contains(&one.key()) {
            let come = one.children.saturating_sub(was.children);
            let judged = went.get(&one.pid).copied().unwrap_or_default();
            sum = sum.saturating_add(come.saturating_sub(judged));
        }
    }
    sum
}

/// Those at or above which there is an excepted program.
fn under(processes: &[Process]) -> HashSet<(i32, u64)> {
    let excepted = first_at_or_above(processes, |one| one.is_excepted);
    excepted.into_keys().collect()
}

/// Of each process the PID of the first that is it, at or above it. Each is passed once only, since users choose how
/// long a chain of parents is.
fn first_at_or_above(
    processes: &[Process],
    is_it: impl Fn(&Process) -> bool,
) -> HashMap<(i32, u64), i32> {
    let by_pid: HashMap<i32, &Process> = processes.iter().map(|one| (one.pid, one)).collect();
    let mut first = HashMap::with_capacity(processes.len());
    for process in processes {
        let (mut at, mut passed) = (Some(process), Vec::new());
        let found = loop {
            let Some(one) = at else { break None };
            // In a circle too: nobody in it is it.
            if let Some(known) = first.get(&one.key()) {
                break *known;
            }
            let found = is_it(one).then_some(one.pid);
            first.insert(one.key(), found);
            if found.is_some() {
                break found;
            }
            passed.push(one.key());
            at = by_pid.get(&one.parent).copied();
        };
        first.extend(passed.into_iter().map(|key| (key, found)));
    }
    let found = first.into_iter();
    found
        .filter_map(|(key, first)| Some((key, first?)))
        .collect()
}

/// The tracks of all whom a penalty watches, by UID.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tracks {
    /// Each user's.
    pub users: BTreeMap<u32, Track>,
    /// The wall clock, in seconds since 1970, and
    pub wall: u64,
    /// the clock that nobody sets, in milliseconds: by both together a jump is known.
    pub boot: u64,
}

impl Tracks {
    /// Reads them.
    pub fn read(places: &Places) -> Result<Tracks, StateError> {
        Ok(state::read(&places.tracks, REMEDY)?.unwrap_or_default())
    }

    /// Writes them, whole or not at all.
    pub fn write(&self, places: &Places) -> Result<(), StateError> {
        state::write(&places.tracks, Some(self))
    }

    /// By how many seconds the wall clock was set since the last round, if it was.
    pub fn jump(&self, wall: u64, boot: u64) -> i64 {
        /// Less is drift, and how long a look takes.
        const DRIFT: u64 = 5;
        let went = |from: u64, to: u64| i128::from(to) - i128::from(from);
        let jump = went(self.wall, wall) - went(self.boot, boot) / 1000;
        // A clock may show anything.
        let jump = jump.clamp(i64::MIN.into(), i64::MAX.into());
        let jump = i64::try_from(jump).unwrap_or(0);
        let is_jump = self.wall != 0 && boot >= self.boot && jump.unsigned_abs() > DRIFT;
        if is_jump { jump } else { 0 }
    }
}

#[cfg(test)]
mod tests;
