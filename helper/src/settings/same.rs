//! Whether a file of the kernel's says the same as a setting, each in its own words.

use berth_session::cpu_max;

use super::Setting;
use crate::sys;

/// Whether a file says the same as a setting, in the kernel's words.
pub fn is_same(setting: &Setting, now: &str) -> bool {
    let wanted = setting.value.as_str();
    match setting.file {
        "memory.min" | "memory.low" | "memory.high" | "memory.max" | "memory.swap.max" => {
            is_same_memory(wanted, now, sys::page_size())
        }
        "cpu.max" => {
            let period = |text: &str| text.split_once(' ').map(|(_, period)| period.to_owned());
            // systemd takes another one where the quota is small, and then it is not the same to the last digit.
            let room = match period(wanted) == period(now) {
                true => 0,
                false => per_second(wanted) / 100,
            };
            per_second(wanted).abs_diff(per_second(now)) <= room
        }
        "cpuset.cpus" | "cpuset.mems" => mask(wanted) == mask(now),
        "io.weight" | "io.bfq.weight" => {
            let first = now.lines().next().unwrap_or_default();
            first.rsplit(' ').next() == wanted.rsplit(' ').next()
        }
        "io.max" => {
            let (disk, ceilings) = wanted.split_once(' ').unwrap_or((wanted, ""));
            let mut lines = now.lines().filter_map(|line| line.split_once(' '));
            let line = lines.find_map(|(one, has)| (one == disk).then_some(has));
            let has: Vec<_> = line.unwrap_or_default().split(' ').collect();
            // A disk without any ceiling has no line.
            ceilings
                .split(' ')
                .all(|one| has.contains(&one) || (line.is_none() && one.ends_with("=max")))
        }
        _ => wanted == now,
    }
}

/// The kernel counts pages, which have up to 64 KiB on some machines.
fn is_same_memory(wanted: &str, now: &str, page: u64) -> bool {
    let pages = |text: &str| text.parse::<u64>().ok()?.checked_div(page);
    pages(wanted) == pages(now)
}

/// The quota of cpu.max in a second, in microseconds.
pub fn per_second(value: &str) -> u64 {
    let quota = cpu_max(value)
        .and_then(|(quota, period)| quota.checked_mul(1_000_000)?.checked_div(period));
    quota.unwrap_or(u64::MAX)
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

#[cfg(test)]
mod tests {
    use berth_session::Controller;

    use super::*;

    #[test]
    fn memory_is_the_same_in_whole_pages_whatever_their_size() {
        let same = |page| is_same_memory("100000", "65536", page);
        assert_eq!([same(65536), same(4096)], [true, false]);
        assert!(is_same_memory("max", "max", 4096) && !is_same_memory("max", "4096", 4096));
        assert!(is_same_memory("5000", "4096", sys::page_size()));
    }

    #[test]
    fn the_kernels_words_are_known_for_the_same() {
        let same = |file: &'static str, wanted: &str, now: &str| {
            let setting = Setting {
                cap: "x",
                controller: Controller::Io,
                file,
                value: wanted.into(),
            };
            is_same(&setting, now)
        };
        // In pages; and `max` is one word.
        assert!(same("memory.max", "100000001", "100000000"));
        assert!(!same("memory.max", "100000000", "max"));
        assert!(same("memory.swap.max", "max", "max"));
        // Another period, the same quota; and none.
        assert!(same("cpu.max", "5000 1000000", "1000 200000"));
        assert!(same("cpu.max", "1500 1000000", "149 100000"));
        assert!(!same("cpu.max", "1500 1000000", "140 100000"));
        // The same period: not the same.
        assert!(!same("cpu.max", "100000 100000", "101000 100000"));
        assert!(!same("cpu.max", "50000 100000", "max 100000"));
        assert!(same("cpu.max", "max 100000", "max 100000"));
        assert!(same("cpuset.cpus", "0,1,2", "0-2"));
        assert!(same("io.weight", "default 200", "default 200\n8:0 50"));
        assert!(same(
            "io.max",
            "8:0 rbps=5",
            "8:16 rbps=9\n8:0 rbps=5 wbps=max"
        ));
        assert!(!same("io.max", "8:0 rbps=5", "8:0 rbps=50 wbps=max"));
        assert!(!same("io.max", "8:0 rbps=5", ""));
        // The number of one disk may begin with another's.
        let both = "253:10 rbps=5 wbps=max\n253:1 rbps=6 wbps=max";
        assert!(same("io.max", "253:1 rbps=6", both));
        assert!(!same("io.max", "253:1 rbps=5", both));
        assert!(!same("io.max", "253:1 rbps=5", "253:10 rbps=5 wbps=max"));
        assert!(same("pids.max", "7", "7"));
        assert!(!same("pids.max", "7", "77"));
    }
}
