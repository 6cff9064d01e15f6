//! Caps as they are written, and what they come to.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::Shown;
use crate::decide::ONE_CPU;
use crate::exceptions::Exceptions;
use crate::facts::Machine;
use crate::outcome::{Caps, CpuWeight, Limit};
use crate::penalties::Standing;
use crate::policy::Policy;
use crate::setting::value;
use crate::tables::CapsTable;
use crate::value::{Base, CpuQuota, IdList, Part, Share, bytes_text, rate_text};

impl Policy {
    /// A line for each cap that is set, in the language's order.
    pub(super) fn tell_caps(
        &self,
        table: &CapsTable,
        caps: &Caps,
        machine: &Machine,
    ) -> Vec<Shown> {
        table
            .marks()
            .into_iter()
            .map(|(key, mark)| {
                let (value, amount) = told(key, table, caps, machine);
                Shown {
                    amount,
                    ..self.shown(key, value, mark)
                }
            })
            .collect()
    }

    /// Puts exceptions in the place of what they are exceptions from.
    pub(super) fn tell_exceptions(
        &self,
        exceptions: &Exceptions,
        caps: &Caps,
        machine: &Machine,
        shown: &mut Vec<Shown>,
    ) {
        for one in exceptions.list() {
            let value = told(&one.key, &exceptions.table, caps, machine);
            let because = format!("exception until {}, by {}", one.until_text(), one.by);
            lay_over(shown, &one.key, value, because);
        }
    }
}

/// Puts what a step of a penalty leaves in the place of the quota.
pub(super) fn tell_penalty(
    standing: &Standing,
    caps: &Caps,
    machine: &Machine,
    shown: &mut Vec<Shown>,
) {
    let cpus = match caps.cpu_quota {
        Some(Limit::Finite(time)) => cpus_text(time, machine),
        Some(Limit::Infinity) | None => "infinity".into(),
    };
    let value = format!("{} of it = {cpus}", standing.share);
    let value = (value, cpu_percent(caps.cpu_quota));
    let because = format!("penalty {}", standing.text());
    lay_over(shown, "cpu_quota", value, because);
}

fn lay_over(shown: &mut Vec<Shown>, key: &str, (value, amount): (String, Value), because: String) {
    let was = shown.iter_mut().find(|line| line.key == key);
    let line = Shown {
        key: key.into(),
        value,
        amount,
        because: Some(because),
        was: was.as_deref().map(|line| Box::new(line.clone())),
        ..Shown::default()
    };
    match was {
        Some(place) => *place = line,
        None => shown.push(line),
    }
}

/// A cap, for people and for programs.
fn told(key: &str, table: &CapsTable, caps: &Caps, machine: &Machine) -> (String, Value) {
    let memory = |share: Option<Share>, cap: Option<Limit>| {
        let whole = bytes_text(machine.memory);
        let text = share_text(share, limit_text(cap, bytes_text), &whole);
        (text, number(cap))
    };
    let ids = |written: Option<&IdList>, comes_to: &Option<String>| {
        let written = written.map(|list| list.to_string());
        (ids_text(written, comes_to), json!(comes_to))
    };
    let devices = |devices: &BTreeMap<PathBuf, Limit>| {
        let each = devices.iter();
        let each = each.map(|(path, limit)| (path.display().to_string(), number(Some(*limit))));
        (devices_text(devices), Value::Object(each.collect()))
    };
    match key {
        "memory_min" => memory(value(&table.memory_min).map(|m| m.0), caps.memory_min),
        "memory_low" => memory(value(&table.memory_low).map(|m| m.0), caps.memory_low),
        "memory_high" => memory(value(&table.memory_high).map(|m| m.0), caps.memory_high),
        "memory_max" => memory(value(&table.memory_max).map(|m| m.0), caps.memory_max),
        "memory_swap_max" => memory(None, caps.memory_swap_max),
        "cpu_weight" => match caps.cpu_weight {
            Some(CpuWeight::Weight(weight)) => (weight.to_string(), json!(weight)),
            Some(CpuWeight::Idle) => ("idle".into(), json!("idle")),
            None => Default::default(),
        },
        "cpu_quota" => {
            let text = cpu_text(value(&table.cpu_quota), caps.cpu_quota, machine);
            (text, cpu_percent(caps.cpu_quota))
        }
        "allowed_cpus" => ids(value(&table.allowed_cpus), &caps.allowed_cpus),
        "allowed_memory_nodes" => ids(
            value(&table.allowed_memory_nodes),
            &caps.allowed_memory_nodes,
        ),
        "tasks_max" => {
            let share = value(&table.tasks_max).map(|tasks| tasks.0);
            let comes_to = limit_text(caps.tasks_max, |tasks| tasks.to_string());
            let text = share_text(share, comes_to, &machine.tasks.to_string());
            (text, number(caps.tasks_max))
        }
        "io_weight" => {
            let weight = caps.io_weight.unwrap_or_default();
            (weight.to_string(), json!(weight))
        }
        "io_read_bandwidth_max" => devices(&caps.io_read_bandwidth_max),
        "io_write_bandwidth_max" => devices(&caps.io_write_bandwidth_max),
        "io_read_iops_max" => devices(&caps.io_read_iops_max),
        "io_write_iops_max" => devices(&caps.io_write_iops_max),
        _ => Default::default(),
    }
}

fn number(limit: Option<Limit>) -> Value {
    match limit {
        Some(Limit::Finite(value)) => json!(value),
        Some(Limit::Infinity) | None => Value::Null,
    }
}

/// CPU time per second, in percent of one CPU.
fn cpu_percent(limit: Option<Limit>) -> Value {
    match limit {
        Some(Limit::Finite(time)) => json!(time as f64 * 100.0 / ONE_CPU as f64),
        Some(Limit::Infinity) | None => Value::Null,
    }
}

fn limit_text(limit: Option<Limit>, text: impl Fn(u64) -> String) -> String {
    match limit {
        Some(Limit::Finite(value)) => text(value),
        Some(Limit::Infinity) => "infinity".into(),
        None => String::new(),
    }
}

/// `25% of 64G = 16G`: of the machine's, the number stands for the word.
fn share_text(share: Option<Share>, comes_to: String, whole: &str) -> String {
    match share {
        Some(Share::Part(Part {
            percent,
            of: Base::Bare | Base::Machine,
        })) => format!("{percent} of {whole} = {comes_to}"),
        Some(Share::Part(part)) => format!("{part} = {comes_to}"),
        _ => comes_to,
    }
}

/// `800% = 8 of 16 CPUs`.
fn cpu_text(quota: Option<&CpuQuota>, cap: Option<Limit>, machine: &Machine) -> String {
    match (quota, cap) {
        (Some(CpuQuota::Part(part)), Some(Limit::Finite(time))) => {
            format!("{part} = {}", cpus_text(time, machine))
        }
        (Some(CpuQuota::Part(part)), _) => format!("{part} = infinity"),
        _ => "infinity".into(),
    }
}

fn cpus_text(time: u64, machine: &Machine) -> String {
    let cpus = format!("{:.2}", time as f64 / ONE_CPU as f64);
    let cpus = cpus.trim_end_matches('0').trim_end_matches('.');
    format!("{cpus} of {} CPUs", machine.cpus.len())
}

fn ids_text(written: Option<String>, comes_to: &Option<String>) -> String {
    match (written, comes_to) {
        (Some(written), Some(ids)) if written != *ids => format!("{written} = {ids}"),
        (_, Some(ids)) => ids.clone(),
        (written, None) => written.unwrap_or_default(),
    }
}

fn devices_text(devices: &BTreeMap<PathBuf, Limit>) -> String {
    let each: Vec<String> = devices
        .iter()
        .map(|(path, limit)| format!("{} {}", path.display(), limit_text(Some(*limit), rate_text)))
        .collect();
    each.join(", ")
}
