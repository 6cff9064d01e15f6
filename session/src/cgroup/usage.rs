//! What a cgroup has used of the machine, and what it is using.

use crate::cgroup::group::keyed;
use crate::{Controller, Group, Result};

/// Figures of one cgroup. `None` is what this kernel does not say (a controller that is not there, a
/// file of a later version).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Usage {
    /// CPU time, in microseconds.
    pub cpu_us: Option<u64>,
    /// Of it, in programs.
    pub cpu_user_us: Option<u64>,
    /// Of it, in the kernel on their behalf.
    pub cpu_system_us: Option<u64>,
    /// Time during which the CPU quota held it back, in microseconds.
    pub throttled_us: Option<u64>,
    /// Memory now, in bytes.
    pub memory: Option<u64>,
    /// The most memory ever, in bytes (memory.peak, Linux 5.19).
    pub memory_peak: Option<u64>,
    /// Processes and threads now.
    pub tasks: Option<u64>,
    /// The most of them ever (pids.peak, Linux 6.1).
    pub tasks_peak: Option<u64>,
    /// How often a fork was refused; see [`tasks_refused`].
    pub tasks_refused: Option<u64>,
    /// Bytes read from disks.
    pub io_read: Option<u64>,
    /// Bytes written to disks.
    pub io_write: Option<u64>,
    /// Processes that the OOM killer ended.
    pub oom_kills: Option<u64>,
}

impl Usage {
    /// Reads a cgroup's figures.
    pub fn of(group: &Group) -> Usage {
        let cpu = group.figures("cpu.stat");
        let cpu = |key| cpu.as_deref().and_then(|text| keyed(text, key));
        let io = group.figures("io.stat");
        let io = |key: &str| io.as_deref().map(|text| io_sum(text, key));
        Usage {
            cpu_us: cpu("usage_usec"),
            cpu_user_us: cpu("user_usec"),
            cpu_system_us: cpu("system_usec"),
            throttled_us: cpu("throttled_usec"),
            memory: group.number("memory.current"),
            memory_peak: group.number("memory.peak"),
            tasks: group.number("pids.current"),
            tasks_peak: group.number("pids.peak"),
            tasks_refused: tasks_refused(group),
            io_read: io("rbytes="),
            io_write: io("wbytes="),
            oom_kills: group.keyed("memory.events", "oom_kill"),
        }
    }

    /// These figures, and earlier ones for those that are missing: a cgroup may go while it is read.
    pub fn or(self, earlier: Usage) -> Usage {
        self.with(earlier, Option::or)
    }

    /// Made of each of these figures and the same one of another cgroup, or of another time.
    pub fn with(self, other: Usage, of: fn(Option<u64>, Option<u64>) -> Option<u64>) -> Usage {
        Usage {
            cpu_us: of(self.cpu_us, other.cpu_us),
            cpu_user_us: of(self.cpu_user_us, other.cpu_user_us),
            cpu_system_us: of(self.cpu_system_us, other.cpu_system_us),
            throttled_us: of(self.throttled_us, other.throttled_us),
            memory: of(self.memory, other.memory),
            memory_peak: of(self.memory_peak, other.memory_peak),
            tasks: of(self.tasks, other.tasks),
            tasks_peak: of(self.tasks_peak, other.tasks_peak),
            tasks_refused: of(self.tasks_refused, other.tasks_refused),
            io_read: of(self.io_read, other.io_read),
            io_write: of(self.io_write, other.io_write),
            oom_kills: of(self.oom_kills, other.oom_kills),
        }
    }
}

/// Bytes that the kernel could make room in by a kill only: what was read from files it lets go, but for what is yet to be
/// written to them (memory.stat in the kernel's cgroup-v2.rst).
pub fn memory_in_use(group: &Group) -> Result<u64> {
    let current = group.read("memory.current")?;
    let current: u64 = current.trim().parse().unwrap_or(u64::MAX);
    let stat = group.figures("memory.stat").unwrap_or_default();
    let sum = |keys: [&str; 2]| {
        let of = keys.into_iter().filter_map(|key| keyed(&stat, key));
        of.fold(0, u64::saturating_add)
    };
    let cache = sum(["inactive_file", "active_file"]);
    let unwritten = sum(["file_dirty", "file_writeback"]);
    Ok(current.saturating_sub(cache.saturating_sub(unwritten)))
}

/// How often a fork was refused, where that is counted. Before Linux 6.11 it is in the cgroup of whoever forked, whosever cap
/// it was, and in none above; since then in the one with the cap, which has pids.events.local beside it, and all above.
pub fn tasks_refused(group: &Group) -> Option<u64> {
    let refused = group.keyed("pids.events", "max")?;
    let counts_below = || {
        let below = group.enabled();
        below.is_ok_and(|below| below.contains(&Controller::Pids))
    };
    let is_counted = match group.figures("pids.events.local") {
        Some(_) => refused > 0 || group.number::<u64>("pids.max").is_some() || counts_below(),
        None => !counts_below(),
    };
    is_counted.then_some(refused)
}

/// The sum of one figure over all devices of an io.stat file.
fn io_sum(text: &str, key: &str) -> u64 {
    text.split_whitespace()
        .filter_map(|word| word.strip_prefix(key)?.parse::<u64>().ok())
        .fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::own_folder::Folder;

    #[test]
    fn io_is_summed_over_devices() {
        let text = "8:0 rbytes=10 wbytes=2 rios=1\n8:16 rbytes=5 wbytes=0 rios=1\n";
        assert_eq!((io_sum(text, "rbytes="), io_sum(text, "wbytes=")), (15, 2));
    }

    #[test]
    fn refused_forks_are_known_where_the_kernel_counts_them() {
        let folder = Folder::new();
        let group = Group::from(folder.to_path_buf());
        let write = |file: &str, text: &str| std::fs::write(folder.join(file), text).unwrap();
        let known = |refused: u64, max: &str, below: &str| {
            write("pids.events", &format!("max {refused}\n"));
            write("pids.max", &format!("{max}\n"));
            write("cgroup.subtree_control", &format!("{below}\n"));
            tasks_refused(&group)
        };
        // Before Linux 6.11: of a session, and not of a user.
        assert_eq!(known(0, "max", ""), Some(0));
        assert_eq!(known(7, "max", "memory"), Some(7));
        assert_eq!(known(0, "64", "memory pids"), None);
        // Since then: of whatever has a cap, and what has some below it.
        write("pids.events.local", "max 0\n");
        assert_eq!(known(0, "max", ""), None);
        assert_eq!(known(0, "64", ""), Some(0));
        assert_eq!(known(7, "max", ""), Some(7), "a cap that was taken away");
        assert_eq!(known(0, "max", "memory pids"), Some(0));
    }

    #[test]
    fn what_was_gone_when_it_was_read_is_known_from_before() {
        let earlier = Usage {
            cpu_us: Some(1),
            oom_kills: Some(1),
            ..Usage::default()
        };
        let partly = Usage {
            cpu_us: Some(2),
            ..Usage::default()
        };
        let whole = partly.or(earlier);
        assert_eq!((whole.cpu_us, whole.oom_kills), (Some(2), Some(1)));
    }
}
