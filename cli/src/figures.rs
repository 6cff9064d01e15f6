//! What cgroups use of the machine and may use, as a verb shows it.

use std::time::{Duration, Instant};

use berth_session::{Group, Limits, Pressure, Tree, Usage};
use serde_json::{Value, json};

use crate::parallel;

/// How long a CPU rate is watched. The kernel counts what runs on another CPU by its ticks, of up to 4 ms.
const SAMPLE: Duration = Duration::from_millis(100);

/// What one cgroup uses and may use. All of it is empty without a cgroup.
#[derive(Debug, Clone, Default)]
pub struct Figures {
    /// CPU in the last moments, in percent of one CPU.
    pub cpu_percent: Option<f64>,
    /// What it has used.
    pub usage: Usage,
    /// What it may use.
    pub limits: Limits,
    /// How long it waits.
    pub pressure: Pressure,
}

impl Figures {
    /// What a cgroup uses and may use now; its rate takes two looks.
    pub fn now(group: &Group) -> Figures {
        let group = group.opened();
        Figures {
            cpu_percent: None,
            usage: Usage::of(&group),
            limits: Limits::of(&group),
            pressure: Pressure::of(&group),
        }
    }

    /// All figures of cgroups.
    pub fn of(groups: &[Option<Group>]) -> Vec<Figures> {
        let rates = Rates::begin(groups);
        let figures = parallel::map(groups, |group| {
            let figures = group.as_ref().map(Figures::now);
            figures.unwrap_or_default()
        });
        let both = figures.into_iter().zip(rates.end(groups));
        both.map(|(figures, cpu_percent)| Figures {
            cpu_percent,
            ..figures
        })
        .collect()
    }

    /// Those of one cgroup.
    pub fn of_one(group: Option<Group>) -> Figures {
        Figures::of(&[group]).pop().unwrap_or_default()
    }

    /// Those of users, and of sessions in the same moments.
    pub fn of_users(
        tree: Option<&Tree>,
        users: &[Option<Group>],
        sessions: &[Option<Group>],
    ) -> (Vec<Figures>, Vec<Figures>) {
        let mut of_users = Figures::of(&[users, sessions].concat());
        let of_sessions = of_users.split_off(users.len());
        for (figures, user) in of_users.iter_mut().zip(users) {
            if let (Some(tree), Some(user)) = (tree, user) {
                figures.limits = Limits::of_user(tree, user);
            }
        }
        (of_users, of_sessions)
    }

    /// What several use together. What is no sum, a cap, a peak, a share of time, is left out.
    pub fn sum(all: &[Figures]) -> Figures {
        let usages = all.iter().map(|one| one.usage.clone());
        let usage = usages.reduce(|one, other| one.with(other, added));
        Figures {
            cpu_percent: all
                .iter()
                .filter_map(|one| one.cpu_percent)
                .reduce(|a, b| a + b),
            usage: Usage {
                memory_peak: None,
                tasks_peak: None,
                ..usage.unwrap_or_default()
            },
            ..Figures::default()
        }
    }

    /// For programs: bytes, seconds and percentages are numbers; null is no cap, or not known here.
    pub fn object(&self) -> Value {
        let Figures {
            usage,
            limits,
            pressure,
            ..
        } = self;
        let seconds = |us: Option<u64>| us.map(|us| us as f64 / 1e6);
        let percent = |value: Option<f64>| value.map(|value| (value * 10.0).round() / 10.0);
        json!({
            "cpu": {
                "percent": percent(self.cpu_percent),
                "quota_percent": limits.cpu_percent,
                "seconds": seconds(usage.cpu_us),
                "throttled_seconds": seconds(usage.throttled_us),
            },
            "memory": {
                "bytes": usage.memory,
                "max_bytes": limits.memory,
                "peak_bytes": usage.memory_peak,
                "oom_kills": usage.oom_kills,
            },
            "tasks": {
                "count": usage.tasks,
                "max": limits.tasks,
                "peak": usage.tasks_peak,
                "refused": usage.tasks_refused,
            },
            "io": { "read_bytes": usage.io_read, "written_bytes": usage.io_write },
            "pressure": {
                "cpu_percent": pressure.cpu,
                "memory_percent": pressure.memory,
                "io_percent": pressure.io,
            },
        })
    }
}

/// The first of two looks at the CPU time of cgroups, all of them in the same moments. What else there is to read is
/// best read before the second.
#[derive(Debug)]
pub struct Rates {
    began: Instant,
    before: Vec<Option<(Instant, u64)>>,
}

impl Rates {
    pub fn begin(groups: &[Option<Group>]) -> Rates {
        Rates {
            began: Instant::now(),
            before: parallel::map(groups, |group| cpu(group.as_ref())),
        }
    }

    /// Waits until the time is up, looks again, and gives percentages of one CPU.
    pub fn end(self, groups: &[Option<Group>]) -> Vec<Option<f64>> {
        if self.before.iter().any(Option::is_some) {
            std::thread::sleep(SAMPLE.saturating_sub(self.began.elapsed()));
        }
        let after = parallel::map(groups, |group| cpu(group.as_ref()));
        let both = self.before.into_iter().zip(after);
        both.map(|(before, after)| {
            let ((from, before), (to, after)) = (before?, after?);
            rate(to.duration_since(from), after.saturating_sub(before))
        })
        .collect()
    }
}

/// Two figures together, as far as they are known.
pub fn added(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    one.into_iter().chain(other).reduce(u64::saturating_add)
}

/// The CPU time of a cgroup, and when it was read.
fn cpu(group: Option<&Group>) -> Option<(Instant, u64)> {
    let used = group?.keyed("cpu.stat", "usage_usec")?;
    Some((Instant::now(), used))
}

/// What was used of CPU time in some time, in percent of one CPU.
pub fn rate(passed: Duration, used_us: u64) -> Option<f64> {
    let passed = passed.as_secs_f64();
    (passed > 0.0).then(|| used_us as f64 / 1e6 / passed * 100.0)
}
