//! How big the machine is: what percentages and open CPU lists refer to.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::value::IdSet;

/// The machine that Berth sees: in a container, the container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Bytes: the smaller of the physical memory and the visible cgroup root's memory.max.
    pub memory: u64,
    /// The CPUs that may be used (the effective cpuset).
    pub cpus: IdSet,
    /// The NUMA nodes that memory may come from.
    pub memory_nodes: IdSet,
    /// The most tasks the system can have.
    pub tasks: u64,
}

/// Why the machine could not be measured.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    /// A file of /proc or /sys could not be read.
    #[error("cannot read {path}: {source}", path = .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// A file of /proc or /sys does not say what it should.
    #[error("cannot make sense of {path}", path = .0.display())]
    Malformed(PathBuf),
}

const MEMINFO: &str = "/proc/meminfo";
const PID_MAX: &str = "/proc/sys/kernel/pid_max";
const THREADS_MAX: &str = "/proc/sys/kernel/threads-max";
const CPUS_ONLINE: &str = "/sys/devices/system/cpu/online";
const NODES_ONLINE: &str = "/sys/devices/system/node/online";

impl Machine {
    /// Measures the running machine. `cgroup_root` is where the cgroup v2 tree is mounted, if it is:
    /// its root has limits of its own in a container.
    pub fn read(cgroup_root: Option<&Path>) -> Result<Machine, MachineError> {
        let of_root = |name: &str| {
            // A real root has none of these files: that is no error.
            let text = std::fs::read_to_string(cgroup_root?.join(name)).ok()?;
            Some(text.trim().to_owned())
        };
        let ids = |name: &str, fallback: &str| -> Result<IdSet, MachineError> {
            if let Some(ids) = of_root(name).and_then(|text| IdSet::parse(&text)) {
                return Ok(ids);
            }
            let path = Path::new(fallback);
            IdSet::parse(read(path)?.trim()).ok_or_else(|| MachineError::Malformed(path.into()))
        };
        let limit = |name: &str| of_root(name).and_then(|text| text.parse::<u64>().ok());
        let smallest = |a: u64, b: Option<u64>| b.map_or(a, |b| a.min(b));

        let tasks = number(PID_MAX)?.min(number(THREADS_MAX)?);
        Ok(Machine {
            memory: smallest(physical_memory()?, limit("memory.max")),
            cpus: ids("cpuset.cpus.effective", CPUS_ONLINE)?,
            // A kernel without NUMA has no such directory, and one node.
            memory_nodes: ids("cpuset.mems.effective", NODES_ONLINE)
                .unwrap_or_else(|_| IdSet::single(0)),
            tasks: smallest(tasks, limit("pids.max")),
        })
    }
}

fn read(path: &Path) -> Result<String, MachineError> {
    std::fs::read_to_string(path).map_err(|source| MachineError::Read {
        path: path.into(),
        source,
    })
}

fn number(path: &str) -> Result<u64, MachineError> {
    let path = Path::new(path);
    let text = read(path)?;
    text.trim()
        .parse()
        .map_err(|_| MachineError::Malformed(path.into()))
}

fn physical_memory() -> Result<u64, MachineError> {
    let path = Path::new(MEMINFO);
    let text = read(path)?;
    let kib = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|kib| kib.parse::<u64>().ok());
    kib.and_then(|kib| kib.checked_mul(1024))
        .ok_or_else(|| MachineError::Malformed(path.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::own_folder::Folder;

    #[test]
    fn this_machine_can_be_measured() {
        let machine = Machine::read(None).unwrap();
        assert!(machine.memory > 16 << 20);
        assert!(machine.cpus.len() >= 1);
        assert!(machine.tasks > 8);
    }

    #[test]
    fn a_containers_own_limits_count() {
        let root = Folder::new();
        for (name, text) in [
            ("memory.max", "67108864\n"),
            ("pids.max", "100\n"),
            ("cpuset.cpus.effective", "2-3,8\n"),
            ("cpuset.mems.effective", "1\n"),
        ] {
            std::fs::write(root.join(name), text).unwrap();
        }
        let machine = Machine::read(Some(&root)).unwrap();
        assert_eq!(machine.memory, 64 << 20);
        assert_eq!(machine.tasks, 100);
        assert_eq!(machine.cpus.to_string(), "2-3,8");
        assert_eq!(machine.memory_nodes.to_string(), "1");
    }
}
