//! The kernel's settings as systemd's properties (systemd.resource-control(5)).

use berth_session::systemd::{Property, Value};

use crate::cgroup::Setting;

/// systemd's word for no limit.
const INFINITY: u64 = u64::MAX;

/// systemd's CPUWeight=idle.
const IDLE: u64 = 0;

/// The ceilings of io.max, and their properties.
const RATES: [(&str, &str); 4] = [
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

fn number(value: &str) -> u64 {
    value.parse().unwrap_or(INFINITY)
}

/// `default 200` without the word.
fn default(value: &str) -> &str {
    value.strip_prefix("default ").unwrap_or(value)
}

/// The quota of cpu.max in a second, in microseconds.
pub fn per_second(value: &str) -> u64 {
    let quota = || {
        let (quota, period) = value.split_once(' ')?;
        let (quota, period): (u64, u64) = (quota.parse().ok()?, period.parse().ok()?);
        quota.checked_mul(1_000_000)?.checked_div(period)
    };
    quota().unwrap_or(INFINITY)
}

/// A list such as `0-3,8` as bits, the lowest in the first byte.
pub fn mask(list: &str) -> Vec<u8> {
    // More than any kernel has; a list that names more is not one of the kernel's.
    const MOST: usize = 1 << 16;
    let mut bits: Vec<u8> = Vec::new();
    for range in list.trim().split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (Ok(first), Ok(last)) = (first.parse::<usize>(), last.parse::<usize>()) else {
            continue;
        };
        for bit in first..=last.min(MOST) {
            if bits.len() <= bit / 8 {
                bits.resize(bit / 8 + 1, 0);
            }
            if let Some(byte) = bits.get_mut(bit / 8) {
                *byte |= 1 << (bit % 8);
            }
        }
    }
    bits
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
