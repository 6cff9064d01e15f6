//! One cgroup of those that a session is under: its caps, and what they did, or are about to do, since the last look.

use berth_config::value::{Percent, bytes_text};
use berth_session::systemd::Held;
use berth_session::{Group, cpu_max, memory_in_use};

use super::{About, Notice};

/// In percent of a cap: from here on it is close, and below the second it is far again.
const CLOSE: u64 = 90;
const FAR: u64 = 80;

/// Users notice when memory_high was passed at so many looks in a row.
const SLOW_LOOKS: u32 = 5;

/// Periods of a CPU quota (100 ms each) in a minute; with fewer there was no long work to be held back.
const BUSY_PERIODS: u64 = 300;

/// A cgroup from the session's upwards: its caps, and what the last look at it saw.
#[derive(Debug)]
pub struct Level {
    pub group: Group,
    /// As the kernel writes it, from the visible root.
    pub path: String,
    /// What stands before and after the name of a cap of its.
    pub name: (&'static str, String),
    /// Whether it is its user's alone.
    pub is_users: bool,
    pub memory_max: Option<u64>,
    pub memory_high: Option<u64>,
    pub tasks_max: Option<u64>,
    /// Where that stands; nowhere if it is another's, with the reserve.
    pub tasks_cap: Option<Group>,
    /// Microseconds in each period, and the period.
    pub cpu_quota: Option<(u64, u64)>,
    pub refused: Option<u64>,
    high: Option<u64>,
    looks_above_high: u32,
    /// Periods with work in them, and those in which the quota was used up.
    periods: Option<(u64, u64)>,
    pub is_close_to_memory: bool,
    pub is_close_to_tasks: bool,
}

impl Level {
    pub fn new(group: Group, path: String, name: (&'static str, String), is_users: bool) -> Level {
        Level {
            tasks_cap: Some(group.clone()),
            group,
            path,
            name,
            is_users,
            memory_max: None,
            memory_high: None,
            tasks_max: None,
            cpu_quota: None,
            refused: None,
            high: None,
            looks_above_high: 0,
            periods: None,
            is_close_to_memory: false,
            is_close_to_tasks: false,
        }
    }

    /// Another login or an admin may have changed them. What is held has more room or less than its cap is.
    pub fn read_caps(&mut self, held: Option<&Held>) {
        let group = &self.group;
        self.memory_max = group.number("memory.max");
        self.memory_high = group.number("memory.high");
        let cap = self.tasks_cap.as_ref();
        self.tasks_max = cap.and_then(|group| group.number("pids.max"));
        if let Some(held) = held.filter(|_| self.is_users) {
            match held.units.get(group.name()) {
                Some(before) => self.tasks_max = Some(*before).filter(|max| *max != u64::MAX),
                None if group.name().ends_with(".slice") => self.tasks_max = Some(held.tasks_max),
                None => {}
            }
        }
        self.cpu_quota = cpu_max(&group.read("cpu.max").unwrap_or_default());
    }

    pub fn is_capped(&self) -> bool {
        let numbers = [self.memory_max, self.memory_high, self.tasks_max];
        numbers.iter().any(Option::is_some) || self.cpu_quota.is_some()
    }

    pub fn called(&self, cap: &str) -> String {
        format!("{}{cap}{}", self.name.0, self.name.1)
    }

    pub fn reached(&self, cap: &str, value: &str) -> String {
        format!("{}{cap} {value}{} reached", self.name.0, self.name.1)
    }

    pub fn bitten(&self, about: About, what: &str, cap: &str, value: &str) -> (About, Notice) {
        let text = format!("{what}: {}", self.reached(cap, value));
        let bite = Some((self.called(cap), None));
        (about, Notice { text, bite })
    }

    /// Whether a task was refused here since the last look.
    pub fn has_refused(&mut self) -> bool {
        let refused = self.group.keyed("pids.events", "max");
        let before = std::mem::replace(&mut self.refused, refused);
        matches!((before, refused), (Some(before), Some(now)) if now > before)
    }

    pub fn is_full_of_tasks(&self) -> bool {
        let number = |file| self.group.number::<u64>(file);
        let is_full = number("pids.max").is_some_and(|max| number("pids.current") >= Some(max));
        is_full && self.tasks_max.is_some()
    }

    pub fn slow_memory(&mut self) -> Option<(About, Notice)> {
        let cap = self.memory_high?;
        let high = self.group.keyed("memory.events.local", "high");
        let before = std::mem::replace(&mut self.high, high);
        self.looks_above_high = match high? > before? {
            true => self.looks_above_high.saturating_add(1),
            false => 0,
        };
        let is_slow = self.looks_above_high >= SLOW_LOOKS;
        is_slow.then(|| {
            self.bitten(
                About::SlowMemory,
                "slowed down",
                "memory_high",
                &bytes_text(cap),
            )
        })
    }

    /// Once a minute: whether most of it went by with the quota used up.
    pub fn slow_cpu(&mut self) -> Option<(About, Notice)> {
        let (quota, period) = self.cpu_quota?;
        let percent = Percent::what_of(quota, period);
        let of = |key| self.group.keyed("cpu.stat", key);
        let periods = Some((of("nr_periods")?, of("nr_throttled")?));
        let before = std::mem::replace(&mut self.periods, periods);
        let ((busy, throttled), (busy_before, throttled_before)) = (periods?, before?);
        let busy = busy.saturating_sub(busy_before);
        let throttled = throttled.saturating_sub(throttled_before);
        let is_slow = busy >= BUSY_PERIODS && throttled > busy / 2;
        is_slow.then(|| {
            self.bitten(
                About::SlowCpu,
                "slowed down",
                "cpu_quota",
                &percent.to_string(),
            )
        })
    }

    pub fn close_to_memory(&mut self) -> Option<(About, Notice)> {
        let cap = self.memory_max?;
        let mut used = self.group.number("memory.current")?;
        if is_past(used, CLOSE, cap) {
            used = memory_in_use(&self.group).ok()?;
        }
        let is_new = changes(&mut self.is_close_to_memory, used, cap);
        is_new.then(|| {
            self.close(
                About::CloseToMemory,
                "memory_max",
                bytes_text(used),
                bytes_text(cap),
            )
        })
    }

    pub fn close_to_tasks(&mut self) -> Option<(About, Notice)> {
        let cap = self.tasks_max?;
        let used: u64 = self.group.number("pids.current")?;
        let is_new = changes(&mut self.is_close_to_tasks, used, cap);
        is_new.then(|| self.close(About::CloseToTasks, "tasks_max", used, cap))
    }

    fn close(
        &self,
        about: About,
        cap: &str,
        used: impl std::fmt::Display,
        max: impl std::fmt::Display,
    ) -> (About, Notice) {
        let text = format!("{used} of {} {max} in use", self.called(cap));
        (about, Notice { text, bite: None })
    }
}

fn is_past(used: u64, percent: u64, cap: u64) -> bool {
    u128::from(used) * 100 >= u128::from(cap) * u128::from(percent)
}

/// Whether it has come close just now.
fn changes(is_close: &mut bool, used: u64, cap: u64) -> bool {
    let was_close = *is_close;
    *is_close = is_past(used, if was_close { FAR } else { CLOSE }, cap);
    *is_close && !was_close
}
