//! A cgroup's files, as the kernel of some later version may write them.

use berth_session::{Group, Limits, Pressure, Usage};

use crate::input::{self, Folder};

/// What is read of a cgroup, in the order of the input's parts.
const FILES: [&str; 14] = [
    "cpu.stat",
    "io.stat",
    "memory.events",
    "pids.events",
    "memory.current",
    "memory.peak",
    "pids.current",
    "pids.max",
    "memory.max",
    "cpu.max",
    "cpu.pressure",
    "cgroup.events",
    "cgroup.controllers",
    "cgroup.procs",
];

/// One part for each file.
pub fn run(input: &[u8]) {
    let folder = Folder::new("cgroup");
    let input = input::grown(input);
    let mut rest = &input[..];
    let mut texts = Vec::new();
    for file in FILES {
        let end = rest.windows(4).position(|four| four == b"\n%%\n");
        let (text, after) = match end {
            Some(end) => (&rest[..end + 1], &rest[end + 4..]),
            None => (rest, &[][..]),
        };
        if !text.is_empty() {
            std::fs::write(folder.0.join(file), text).expect("a file");
        }
        texts.push((file, text));
        rest = after;
    }
    let group = Group::from(folder.0.clone());
    let usage = Usage::of(&group);
    // Looked at twice, or by an open folder, it is the same.
    assert_eq!(usage, Usage::of(&group.opened()));
    assert_eq!(usage.clone().or(Usage::default()), usage);
    let of = |file: &str| {
        let (_, text) = texts.iter().find(|(name, _)| *name == file)?;
        std::str::from_utf8(text)
            .ok()
            .filter(|text| !text.is_empty())
    };
    let keyed = |file: &str, key: &str| {
        of(file)?.lines().find_map(|line| {
            let (name, value) = line.split_once(' ')?;
            (name == key).then(|| value.parse().ok())?
        })
    };
    assert_eq!(usage.cpu_us, keyed("cpu.stat", "usage_usec"));
    assert_eq!(usage.throttled_us, keyed("cpu.stat", "throttled_usec"));
    assert_eq!(usage.oom_kills, keyed("memory.events", "oom_kill"));
    assert_eq!(usage.tasks_refused, keyed("pids.events", "max"));
    assert_eq!(usage.io_read.is_some(), of("io.stat").is_some());

    let limits = Limits::of(&group);
    // Printed and compared: no number that is none.
    for percent in [limits.cpu_percent, Pressure::of(&group).cpu]
        .into_iter()
        .flatten()
    {
        assert!(percent.is_finite() && percent >= 0.0, "{percent}");
    }
    // What cannot be read counts as populated.
    let mut events = texts.iter().filter(|(name, _)| *name == "cgroup.events");
    let is_text = events.all(|(_, text)| std::str::from_utf8(text).is_ok());
    let populated = keyed("cgroup.events", "populated") == Some(1);
    assert_eq!(group.is_populated(), populated || !is_text);
    let _ = group.controllers();
    let processes = group.processes().unwrap_or_default();
    // 0 would signal one's own group, and what is below it everybody.
    assert!(processes.iter().all(|pid| *pid > 0), "{processes:?}");
}
