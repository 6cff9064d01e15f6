//! The memory controller.

use berth_config::outcome::Caps;
use berth_session::Controller;

use super::{Setting, limit};

/// The memory caps of one cgroup.
pub fn settings(caps: &Caps) -> Vec<Setting> {
    [
        ("memory_min", "memory.min", caps.memory_min),
        ("memory_low", "memory.low", caps.memory_low),
        ("memory_high", "memory.high", caps.memory_high),
        ("memory_max", "memory.max", caps.memory_max),
        ("memory_swap_max", "memory.swap.max", caps.memory_swap_max),
    ]
    .into_iter()
    .filter_map(|(cap, file, value)| {
        Some(Setting::new(cap, Controller::Memory, file, limit(value?)))
    })
    .collect()
}
