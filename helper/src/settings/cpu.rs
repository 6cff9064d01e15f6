//! The cpu controller.

use berth_config::outcome::{Caps, CpuWeight, Limit};
use berth_session::Controller;

use super::Setting;

/// The kernel's default period, and systemd's.
const PERIOD_US: u64 = 100_000;

/// The longest period that the kernel takes, for quotas that would be too small in an ordinary one.
const LONGEST_PERIOD_US: u64 = 1_000_000;

/// The smallest quota that the kernel takes in one period (kernel/sched/core.c, min_cfs_quota_period).
const LEAST_QUOTA_US: u64 = 1_000;

/// The CPU caps of one cgroup.
pub fn settings(caps: &Caps) -> Vec<Setting> {
    let setting = |cap, file, value| Setting::new(cap, Controller::Cpu, file, value);
    let mut settings = Vec::new();
    match caps.cpu_weight {
        Some(CpuWeight::Idle) => settings.push(setting("cpu_weight", "cpu.idle", "1".into())),
        Some(CpuWeight::Weight(weight)) => {
            settings.push(setting("cpu_weight", "cpu.weight", weight.to_string()));
        }
        None => {}
    }
    if let Some(quota) = caps.cpu_quota {
        settings.push(setting("cpu_quota", "cpu.max", maximum(quota)));
    }
    settings
}

/// The line for cpu.max: microseconds of CPU time in each period of so many microseconds.
fn maximum(quota_per_second: Limit) -> String {
    let Limit::Finite(per_second) = quota_per_second else {
        return format!("max {PERIOD_US}");
    };
    let in_period = per_second / (LONGEST_PERIOD_US / PERIOD_US);
    if in_period >= LEAST_QUOTA_US {
        format!("{in_period} {PERIOD_US}")
    } else {
        format!("{} {LONGEST_PERIOD_US}", per_second.max(LEAST_QUOTA_US))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotas_fit_the_kernels_periods() {
        assert_eq!(maximum(Limit::Finite(4_000_000)), "400000 100000");
        assert_eq!(maximum(Limit::Finite(10_000)), "1000 100000");
        assert_eq!(maximum(Limit::Finite(5_000)), "5000 1000000");
        assert_eq!(maximum(Limit::Finite(1)), "1000 1000000");
        assert_eq!(maximum(Limit::Infinity), "max 100000");
    }
}
