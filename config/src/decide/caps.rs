//! Caps worked out for a machine.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::DecideError;
use crate::diagnostic::short_place;
use crate::facts::Machine;
use crate::outcome::{Caps, Limit};
use crate::setting::{Setting, set, value};
use crate::tables::CapsTable;
use crate::value::{
    Base, CpuQuota, Devices, IdList, IdSet, MEMORY_MAX_FLOOR, Part, Rate, Share, TASKS_MAX_FLOOR,
};

/// Microseconds of CPU time that one CPU has in a second.
pub(crate) const ONE_CPU: u64 = 1_000_000;

/// What percentages are of.
pub(crate) struct Bases<'m> {
    machine: &'m Machine,
    files: &'m [PathBuf],
    /// The pool's caps, for `of pool`.
    pub(crate) pool: Option<Caps>,
    /// The user's caps, for `of user`.
    pub(crate) user: Option<Caps>,
}

impl<'m> Bases<'m> {
    pub(crate) fn new(machine: &'m Machine, files: &'m [PathBuf]) -> Bases<'m> {
        Bases {
            machine,
            files,
            pool: None,
            user: None,
        }
    }

    /// A part of the machine's, or of the same cap of the pool or the user.
    fn part<T>(
        &self,
        setting: &Setting<T>,
        key: &'static str,
        part: Part,
        (bare, machine): (u64, u64),
        cap: impl Fn(&Caps) -> Option<Limit>,
    ) -> Result<Limit, DecideError> {
        let (caps, of) = match part.of {
            Base::Bare => return Ok(Limit::Finite(part.percent.of(bare))),
            Base::Machine => return Ok(Limit::Finite(part.percent.of(machine))),
            Base::Pool => (&self.pool, "pool"),
            Base::User => (&self.user, "user"),
        };
        match caps.as_ref().and_then(cap) {
            Some(Limit::Finite(whole)) => Ok(Limit::Finite(part.percent.of(whole))),
            // A part of no limit is no limit.
            Some(Limit::Infinity) => Ok(Limit::Infinity),
            None => Err(DecideError::NoBase {
                place: short_place(self.files, setting.at),
                key,
                of,
            }),
        }
    }

    fn ids(
        &self,
        setting: &Option<Setting<IdList>>,
        key: &'static str,
        machine: &IdSet,
    ) -> Result<Option<String>, DecideError> {
        let Some((setting, list)) = set(setting) else {
            return Ok(None);
        };
        match list.on(machine) {
            Some(ids) => Ok(Some(ids.to_string())),
            None => Err(DecideError::NotHere {
                place: short_place(self.files, setting.at),
                key,
                list: list.to_string(),
                machine: machine.to_string(),
            }),
        }
    }
}

/// Works a table's caps out.
pub(crate) fn caps(table: &CapsTable, bases: &Bases<'_>) -> Result<Caps, DecideError> {
    let memory = (bases.machine.memory, bases.machine.memory);
    let tasks = (bases.machine.tasks, bases.machine.tasks);
    macro_rules! share {
        ($key:ident, $whole:expr, $floor:expr) => {
            match set(&table.$key) {
                None => None,
                Some((setting, share)) => Some(match share.0 {
                    Share::Amount(amount) => Limit::Finite(amount),
                    Share::Infinity => Limit::Infinity,
                    Share::Part(part) => {
                        let limit =
                            bases
                                .part(setting, stringify!($key), part, $whole, |caps| caps.$key)?;
                        // What is too small to log in under is refused where it is written; on a
                        // small machine a percentage can come to as little.
                        limit.max(Limit::Finite($floor))
                    }
                }),
            }
        };
    }
    let cpu_quota = match set(&table.cpu_quota) {
        None => None,
        Some((_, CpuQuota::Infinity)) => Some(Limit::Infinity),
        Some((setting, CpuQuota::Part(part))) => {
            let whole = (ONE_CPU, super::cpu_time(bases.machine));
            let limit = bases.part(setting, "cpu_quota", *part, whole, |caps| caps.cpu_quota)?;
            Some(limit.max(Limit::Finite(1)))
        }
    };
    Ok(Caps {
        memory_min: share!(memory_min, memory, 0),
        memory_low: share!(memory_low, memory, 0),
        memory_high: share!(memory_high, memory, 0),
        memory_max: share!(memory_max, memory, MEMORY_MAX_FLOOR),
        memory_swap_max: value(&table.memory_swap_max).map(|limit| limit.0),
        cpu_weight: value(&table.cpu_weight).copied(),
        cpu_quota,
        allowed_cpus: bases.ids(&table.allowed_cpus, "allowed_cpus", &bases.machine.cpus)?,
        allowed_memory_nodes: bases.ids(
            &table.allowed_memory_nodes,
            "allowed_memory_nodes",
            &bases.machine.memory_nodes,
        )?,
        tasks_max: share!(tasks_max, tasks, TASKS_MAX_FLOOR),
        io_weight: value(&table.io_weight).map(|weight| weight.0),
        io_read_bandwidth_max: devices(&table.io_read_bandwidth_max),
        io_write_bandwidth_max: devices(&table.io_write_bandwidth_max),
        io_read_iops_max: devices(&table.io_read_iops_max),
        io_write_iops_max: devices(&table.io_write_iops_max),
    })
}

fn devices(setting: &Option<Setting<Devices<Rate>>>) -> BTreeMap<PathBuf, Limit> {
    value(setting)
        .map(|devices| {
            let rates = devices.0.iter();
            rates
                .map(|(path, rate)| (path.path().to_owned(), rate.0))
                .collect()
        })
        .unwrap_or_default()
}
