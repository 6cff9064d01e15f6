//! What a machine may lack of what caps and namespaces need: controllers, weights of disks, namespaces.

use std::fs;
use std::path::Path;

use berth_config::outcome::{Berth, UserNamespace};

/// How the keys of caps begin, the controller that these need, and they for people.
pub const CAPS: [(&str, &str, &str); 5] = [
    ("cpu", "cpu", "cpu_weight and cpu_quota"),
    ("allowed", "cpuset", "allowed_cpus and allowed_memory_nodes"),
    ("io", "io", "io_*"),
    ("memory", "memory", "memory_*"),
    ("tasks", "pids", "tasks_max"),
];

/// The controller that a cap needs.
pub fn controller(key: &str) -> Option<&'static str> {
    let (_, controller, _) = CAPS.iter().find(|(begin, ..)| key.starts_with(begin))?;
    Some(controller)
}

/// The disks on which a weight does nothing, each with its scheduler.
pub fn without_weights(folder: &Path, costs: &str) -> Vec<(String, String)> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut disks = Vec::new();
    for entry in entries {
        let disk = entry.path();
        // loop, zram and the like have no device behind them.
        if !disk.join("device").exists() {
            continue;
        }
        let read = |name: &str| fs::read_to_string(disk.join(name)).unwrap_or_default();
        let number = read("dev");
        let cost = costs.lines().any(|line| {
            line.split_whitespace().next() == Some(number.trim()) && line.contains("enable=1")
        });
        let schedulers = read("queue/scheduler");
        if cost || schedulers.contains("[bfq]") {
            continue;
        }
        let in_use = schedulers.split(['[', ']']).nth(1).unwrap_or("none");
        let disk = entry.file_name().to_string_lossy().into_owned();
        disks.push((disk, in_use.to_owned()));
    }
    disks
}

/// Whether a berth has a namespace.
type Has = fn(&Berth) -> bool;

/// Namespaces: the sysctl that limits them, and who needs them.
const LIMITS: [(&str, &str, Has); 6] = [
    ("user", "max_user_namespaces", |berth| {
        berth.namespaces.user != UserNamespace::Off
    }),
    ("PID", "max_pid_namespaces", |berth| berth.namespaces.pid),
    ("IPC", "max_ipc_namespaces", |berth| berth.namespaces.ipc),
    ("mount", "max_mnt_namespaces", |berth| {
        berth.namespaces.mount
    }),
    ("UTS", "max_uts_namespaces", |berth| berth.namespaces.uts),
    ("network", "max_net_namespaces", |berth| {
        berth.namespaces.net
    }),
];

/// The kinds of namespaces that somebody needs and nobody can make, each with the limit that is 0.
pub fn forbidden(
    number: impl Fn(&str) -> Option<u64>,
    needed: impl Fn(Has) -> bool,
) -> Vec<(&'static str, &'static str)> {
    let mut limits = LIMITS.to_vec();
    limits.retain(|(_, file, has)| {
        number(&format!("/proc/sys/user/{file}")) == Some(0) && needed(*has)
    });
    limits
        .iter()
        .map(|(kind, file, _)| (*kind, *file))
        .collect()
}
