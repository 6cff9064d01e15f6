//! The penalty of a profile, and what a step of it does to the caps.

use super::caps::ONE_CPU;
use crate::contents::Contents;
use crate::facts::Machine;
use crate::outcome::{Caps, Limit, Penalty};
use crate::setting::value;
use crate::tables::Profile;
use crate::value::{Base, CpuQuota, Percent, Share};

/// What a user with this profile is watched for.
pub(crate) fn penalty(
    contents: &Contents,
    profile: &Profile,
    machine: &Machine,
) -> Option<Penalty> {
    let name = &value(&profile.keys.penalty)?.name;
    let table = &contents.penalties.get(name)?.table;
    let cpu_above = value(&table.cpu_above).and_then(|quota| match quota {
        CpuQuota::Part(part) if part.of == Base::Machine => {
            Some(part.percent.of(cpu_time(machine)))
        }
        CpuQuota::Part(part) => Some(part.percent.of(ONE_CPU)),
        CpuQuota::Infinity => None,
    });
    let memory_above = value(&table.memory_above).and_then(|memory| match memory.0 {
        Share::Amount(bytes) => Some(bytes),
        Share::Part(part) => Some(part.percent.of(machine.memory)),
        Share::Infinity => None,
    });
    Some(Penalty {
        name: name.to_string(),
        cpu_above,
        memory_above,
        window: value(&table.window)?.duration(),
        except: value(&table.except).cloned().unwrap_or_default(),
        steps: value(&table.steps)?.0.clone(),
        step_time: value(&table.step_time)?.duration(),
        forget: value(&table.forget)?.duration(),
    })
}

/// Leaves a share of the CPU quota; of the machine where there is none.
pub(crate) fn lower(caps: &mut Caps, share: Percent, machine: &Machine) {
    let whole = match caps.cpu_quota {
        Some(Limit::Finite(quota)) => quota,
        Some(Limit::Infinity) | None => cpu_time(machine),
    };
    caps.cpu_quota = Some(Limit::Finite(share.of(whole).max(1)));
}

/// All CPU time of the machine, in microseconds per second.
pub(crate) fn cpu_time(machine: &Machine) -> u64 {
    let cpus = u64::try_from(machine.cpus.len()).unwrap_or(u64::MAX);
    cpus.saturating_mul(ONE_CPU)
}
