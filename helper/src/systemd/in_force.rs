//! Whether the kernel has what systemd was asked for. systemd says yes to what this kernel has not, and to
//! what it will do in a moment.

use std::time::{Duration, Instant};

use berth_session::{Group, Tree};

use super::properties::{mask, per_second};
use crate::cgroup::Setting;
use crate::sys;

/// How it stands with a setting.
#[derive(Debug, PartialEq, Eq)]
pub enum State {
    /// The kernel has it.
    InForce,
    /// Not yet.
    Awaited(String),
    /// It never will be.
    Impossible(String),
}

/// Looks at one setting of a cgroup.
pub fn look(tree: &Tree, group: &Group, setting: &Setting) -> State {
    let has = |group: &Group| {
        let all = group.controllers().unwrap_or_default();
        all.contains(&setting.controller)
    };
    let name = setting.controller.name();
    if !has(tree.root()) {
        return State::Impossible(format!("this kernel has no {name} controller here"));
    }
    let place = group.path().display();
    if !group.path().join(setting.file).exists() {
        return if has(group) {
            State::Impossible(format!("this kernel has no {} in {place}", setting.file))
        } else {
            State::Awaited(format!(
                "systemd has not enabled the {name} controller for {place}"
            ))
        };
    }
    let now = group.read(setting.file).unwrap_or_default();
    if is_same(setting, now.trim()) {
        State::InForce
    } else {
        let (file, wanted) = (setting.file, &setting.value);
        State::Awaited(format!(
            "systemd has set {file} of {place} to {:?} and not to {wanted:?}",
            now.trim()
        ))
    }
}

/// Waits until the kernel has a setting, or the cgroup is gone; says why it has not.
pub fn wait(tree: &Tree, group: &Group, setting: &Setting, until: Instant) -> Option<String> {
    loop {
        match look(tree, group, setting) {
            State::InForce => return None,
            State::Impossible(reason) => return Some(reason),
            State::Awaited(reason) if Instant::now() > until || !group.exists() => {
                return Some(reason);
            }
            State::Awaited(_) => std::thread::sleep(Duration::from_millis(1)),
        }
    }
}

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

#[cfg(test)]
mod tests {
    use berth_session::Controller;

    use super::*;
    use crate::cgroup::folder::Folder;

    #[test]
    fn memory_is_the_same_in_whole_pages_whatever_their_size() {
        let same = |page| is_same_memory("100000", "65536", page);
        assert_eq!([same(65536), same(4096)], [true, false]);
        assert!(is_same_memory("max", "max", 4096) && !is_same_memory("max", "4096", 4096));
        assert!(is_same_memory("5000", "4096", sys::page_size()));
    }

    #[test]
    fn what_systemd_has_not_done_yet_is_awaited_and_what_the_kernel_cannot_is_not() {
        let root = Folder::new(
            "look",
            &[
                ("cgroup.controllers", "memory pids\n"),
                ("user.slice/cgroup.controllers", "pids\n"),
                ("user.slice/pids.max", "max\n"),
            ],
        );
        let tree = root.tree(berth_session::Manager::Systemd);
        let slice = root.group().child("user.slice");
        let seen = |controller, file, value: &str| {
            let setting = Setting {
                cap: "x",
                controller,
                file,
                value: value.into(),
            };
            match look(&tree, &slice, &setting) {
                State::InForce => "in force".to_string(),
                State::Awaited(why) => format!("awaited: {why}"),
                State::Impossible(why) => format!("impossible: {why}"),
            }
            .replace(slice.path().to_str().unwrap(), "user.slice")
        };
        for (controller, file, value, expected) in [
            (Controller::Pids, "pids.max", "max", "in force"),
            (
                Controller::Pids,
                "pids.max",
                "7",
                "awaited: systemd has set pids.max of user.slice to \"max\" and not to \"7\"",
            ),
            (
                Controller::Memory,
                "memory.max",
                "7",
                "awaited: systemd has not enabled the memory controller for user.slice",
            ),
            (
                Controller::Pids,
                "pids.none",
                "7",
                "impossible: this kernel has no pids.none in user.slice",
            ),
            (
                Controller::Io,
                "io.max",
                "8:0 rbps=5",
                "impossible: this kernel has no io controller here",
            ),
        ] {
            assert_eq!(seen(controller, file, value), expected);
        }
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
