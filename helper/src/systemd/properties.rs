//! The kernel's settings as systemd's properties (systemd.resource-control(5)).

use berth_session::systemd::{Property, Value};

use crate::settings::Setting;
use crate::settings::same::{mask, per_second};

/// systemd's word for no limit.
const INFINITY: u64 = u64::MAX;

/// systemd's CPUWeight=idle.
const IDLE: u64 = 0;

/// The ceilings of io.max, and their properties.
pub const RATES: [(&str, &str); 4] = [
    ("rbps", "IOReadBandwidthMax"),
    ("wbps", "IOWriteBandwidthMax"),
    ("riops", "IOReadIOPSMax"),
    ("wiops", "IOWriteIOPSMax"),
];

/// The properties that make systemd write these settings.
pub fn of(settings: &[Setting]) -> Vec<Property> {
    let mut properties = Vec::new();
    for setting in settings {
        let value = setting.value.as_str();
        let (name, value) = match setting.file {
            "memory.min" => ("MemoryMin", Value::Number(number(value))),
            "memory.low" => ("MemoryLow", Value::Number(number(value))),
            "memory.high" => ("MemoryHigh", Value::Number(number(value))),
            "memory.max" => ("MemoryMax", Value::Number(number(value))),
            "memory.swap.max" => ("MemorySwapMax", Value::Number(number(value))),
            "pids.max" => ("TasksMax", Value::Number(number(value))),
            "cpu.idle" => ("CPUWeight", Value::Number(IDLE)),
            "cpu.weight" => ("CPUWeight", Value::Number(number(value))),
            "cpu.max" => ("CPUQuotaPerSecUSec", Value::Number(per_second(value))),
            "cpuset.cpus" => ("AllowedCPUs", Value::Bytes(mask(value))),
            "cpuset.mems" => ("AllowedMemoryNodes", Value::Bytes(mask(value))),
            "io.weight" => ("IOWeight", Value::Number(number(default(value)))),
            "io.max" => {
                add_rates(&mut properties, value);
                continue;
            }
            // io.bfq.weight: systemd sets it with io.weight.
            _ => continue,
        };
        properties.push(Property::new(name, value));
    }
    properties
}

/// The same, for the slice that the users of a pool are in. By its name it would have what user-.slice.d says of each user.
pub fn of_pool(settings: &[Setting]) -> Vec<Property> {
    let mut properties = of(settings);
    if properties.iter().all(|one| one.name != "TasksMax") {
        properties.push(Property::new("TasksMax", Value::Number(u64::MAX)));
    }
    properties
}

fn number(value: &str) -> u64 {
    value.parse().unwrap_or(INFINITY)
}

/// `default 200` without the word.
fn default(value: &str) -> &str {
    value.strip_prefix("default ").unwrap_or(value)
}

/// One line of io.max: a disk and its ceilings. The disk is named by its node, which udev makes.
fn add_rates(properties: &mut Vec<Property>, line: &str) {
    let mut words = line.split(' ');
    let disk = format!("/dev/block/{}", words.next().unwrap_or_default());
    for word in words {
        let Some((key, value)) = word.split_once('=') else {
            continue;
        };
        let Some((_, name)) = RATES.iter().find(|(known, _)| *known == key) else {
            continue;
        };
        let rate = (disk.clone(), number(value));
        let known = properties.iter_mut().find(|one| one.name == *name);
        match known.map(|one| &mut one.value) {
            Some(Value::Rates(rates)) => rates.push(rate),
            _ => properties.push(Property::new(name, Value::Rates(vec![rate]))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use berth_config::outcome::{Caps, CpuWeight, Limit};
    use berth_session::{Backend, Controller, Tree};

    use super::*;

    fn value(properties: &[Property], name: &str) -> Value {
        let one = properties.iter().find(|one| one.name == name);
        one.unwrap_or_else(|| panic!("no {name}")).value.clone()
    }

    #[test]
    fn every_cap_has_its_property() {
        let tree = Tree::at("/".into(), Backend::Systemd);
        let caps = Caps {
            memory_min: Some(Limit::Finite(1)),
            memory_low: Some(Limit::Finite(2)),
            memory_high: Some(Limit::Finite(3)),
            memory_max: Some(Limit::Finite(4)),
            memory_swap_max: Some(Limit::Infinity),
            cpu_weight: Some(CpuWeight::Idle),
            cpu_quota: Some(Limit::Finite(500_000)),
            allowed_cpus: Some("0-1,19".into()),
            allowed_memory_nodes: Some("0".into()),
            tasks_max: Some(Limit::Finite(7)),
            io_weight: Some(200),
            ..Caps::default()
        };
        let properties = of(&crate::settings::of(&caps, &tree).unwrap());
        for (name, wanted) in [
            ("MemoryMin", 1),
            ("MemoryLow", 2),
            ("MemoryHigh", 3),
            ("MemoryMax", 4),
            ("MemorySwapMax", u64::MAX),
            ("CPUWeight", 0),
            ("CPUQuotaPerSecUSec", 500_000),
            ("TasksMax", 7),
            ("IOWeight", 200),
        ] {
            assert_eq!(value(&properties, name), Value::Number(wanted), "{name}");
        }
        assert_eq!(
            value(&properties, "AllowedCPUs"),
            Value::Bytes(vec![3, 0, 8])
        );
        assert_eq!(
            value(&properties, "AllowedMemoryNodes"),
            Value::Bytes(vec![1])
        );
        // In whatever order they are listed.
        assert_eq!(mask("8,1,16"), [2, 1, 1]);
        assert_eq!(properties.len(), 11);
        let weighed = Caps {
            cpu_weight: Some(CpuWeight::Weight(300)),
            ..Caps::default()
        };
        let properties = of(&crate::settings::of(&weighed, &tree).unwrap());
        assert_eq!(value(&properties, "CPUWeight"), Value::Number(300));
    }

    #[test]
    fn ceilings_of_disks_are_lists_of_disks() {
        let setting = |value: &str| Setting {
            cap: "io_read_bandwidth_max",
            controller: Controller::Io,
            file: "io.max",
            value: value.into(),
        };
        let properties = of(&[setting("8:0 rbps=5 wiops=max"), setting("8:16 rbps=6")]);
        let all: BTreeMap<_, _> = properties
            .into_iter()
            .map(|one| (one.name, one.value))
            .collect();
        let rate = |disk: &str, rate| (format!("/dev/block/{disk}"), rate);
        assert_eq!(
            all["IOReadBandwidthMax"],
            Value::Rates(vec![rate("8:0", 5), rate("8:16", 6)])
        );
        assert_eq!(
            all["IOWriteIOPSMax"],
            Value::Rates(vec![rate("8:0", u64::MAX)])
        );
        assert_eq!(all.len(), 2);
    }
}
