//! What a cgroup may use, and how long what runs in it has to wait: for people to look at.

use std::str::FromStr;

use crate::{Backend, Group, Tree};

/// The caps that are in force on one cgroup. `None` is no cap, or a controller that is not there.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Limits {
    /// Percent of one CPU.
    pub cpu_percent: Option<f64>,
    /// Bytes of memory.
    pub memory: Option<u64>,
    /// Processes and threads.
    pub tasks: Option<u64>,
}

impl Limits {
    /// Reads a cgroup's caps.
    pub fn of(group: &Group) -> Limits {
        Limits {
            cpu_percent: group.figures("cpu.max").and_then(|text| quota(&text)),
            memory: group.number("memory.max"),
            tasks: group.number("pids.max"),
        }
    }

    /// Reads a user's caps. Where Berth manages the hierarchy the user's own cgroup has the cap on tasks with the reserve
    /// for one more login on top; the level below has it as the policy says.
    pub fn of_user(tree: &Tree, user: &Group) -> Limits {
        let mut limits = Limits::of(user);
        if tree.backend() == Backend::Cgroupfs {
            let [sessions, _] = Tree::parts(user);
            limits.tasks = Limits::of(&sessions).tasks;
        }
        limits
    }
}

/// The share of the last minute in which some process had to wait, in percent (kernel documentation,
/// accounting/psi). `None` where the kernel does not say.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Pressure {
    /// For a CPU.
    pub cpu: Option<f64>,
    /// For memory.
    pub memory: Option<f64>,
    /// For disks.
    pub io: Option<f64>,
}

impl Pressure {
    /// Reads a cgroup's pressure.
    pub fn of(group: &Group) -> Pressure {
        let of = |resource| last_minute(&pressure(group, resource)?);
        Pressure {
            cpu: of("cpu"),
            memory: of("memory"),
            io: of("io"),
        }
    }

    /// Each, by what is waited for.
    pub fn each(&self) -> [(&'static str, Option<f64>); 3] {
        [("cpu", self.cpu), ("memory", self.memory), ("io", self.io)]
    }

    /// For how long some process of a cgroup had to wait, in microseconds, by what it waited for.
    pub fn waited_us(group: &Group) -> [(&'static str, Option<u64>); 3] {
        ["cpu", "memory", "io"].map(|resource| {
            let text = pressure(group, resource);
            (resource, text.and_then(|text| some(&text, "total")))
        })
    }
}

/// The quota and the period of cpu.max, in microseconds; `max PERIOD` is no limit.
pub fn cpu_max(text: &str) -> Option<(u64, u64)> {
    let (quota, period) = text.trim().split_once(' ')?;
    Some((
        quota.parse().ok()?,
        period.parse().ok().filter(|one| *one > 0)?,
    ))
}

/// The quota, as percent of one CPU.
fn quota(text: &str) -> Option<f64> {
    let (quota, period) = cpu_max(text)?;
    Some(quota as f64 / period as f64 * 100.0)
}

fn pressure(group: &Group, resource: &str) -> Option<String> {
    group.figures(&format!("{resource}.pressure"))
}

fn last_minute(text: &str) -> Option<f64> {
    some(text, "avg60").filter(|average: &f64| average.is_finite() && *average >= 0.0)
}

/// A figure of the line `some`.
fn some<N: FromStr>(text: &str, key: &str) -> Option<N> {
    let line = text.lines().find_map(|line| line.strip_prefix("some "))?;
    let mut words = line.split(' ').filter_map(|word| word.split_once('='));
    words.find(|(name, _)| *name == key)?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_is_a_share_of_one_cpu() {
        assert_eq!(quota("400000 100000\n"), Some(400.0));
        assert_eq!(quota("50000 100000\n"), Some(50.0));
        assert_eq!(quota("max 100000\n"), None);
        for odd in ["1e309 100000", "inf 1", "nan 1", "-1 1", "1 0"] {
            assert_eq!(quota(odd), None, "{odd}");
        }
    }

    #[test]
    fn pressure_is_that_of_the_last_minute() {
        let text = "some avg10=1.00 avg60=4.20 avg300=0.10 total=5\n\
                    full avg10=9.00 avg60=9.00 avg300=9.00 total=9\n";
        assert_eq!(last_minute(text), Some(4.2));
        assert_eq!(some(text, "total"), Some(5_u64));
        for none in ["", "some avg60=inf", "some avg60=nan", "some avg60=-1"] {
            assert_eq!(last_minute(none), None, "{none}");
        }
    }
}
