//! The cpuset controller.

use berth_config::outcome::Caps;
use berth_session::{Controller, Tree};

use super::Setting;

/// The CPUs and memory nodes of one cgroup.
pub fn settings(caps: &Caps, tree: &Tree) -> Vec<Setting> {
    let setting = |cap, file, value| Setting::new(cap, Controller::Cpuset, file, value);
    let mut settings = Vec::new();
    if let Some(cpus) = &caps.allowed_cpus {
        settings.push(setting("allowed_cpus", "cpuset.cpus", cpus.clone()));
    }
    // With CPUs the memory nodes are always set as well: what a cgroup above allows may change later,
    // and a cpuset that says nothing of memory would follow it.
    let nodes = caps.allowed_memory_nodes.clone().or_else(|| {
        caps.allowed_cpus.as_ref()?;
        let nodes = tree.root().read("cpuset.mems.effective").ok()?;
        Some(nodes.trim().to_string())
    });
    if let Some(nodes) = nodes {
        settings.push(setting("allowed_memory_nodes", "cpuset.mems", nodes));
    }
    settings
}
