//! How a cgroup stands to a setting, and what it has where nobody has set anything.

use std::time::{Duration, Instant};

use berth_session::{Controller, Group, memory_in_use};

use super::{Setting, is_same};

/// What a cgroup has where nobody has set anything.
const UNSET: [(&str, Controller, &str, &str); 13] = [
    ("memory_min", Controller::Memory, "memory.min", "0"),
    ("memory_low", Controller::Memory, "memory.low", "0"),
    ("memory_high", Controller::Memory, "memory.high", "max"),
    ("memory_max", Controller::Memory, "memory.max", "max"),
    (
        "memory_swap_max",
        Controller::Memory,
        "memory.swap.max",
        "max",
    ),
    ("cpu_weight", Controller::Cpu, "cpu.idle", "0"),
    ("cpu_weight", Controller::Cpu, "cpu.weight", "100"),
    ("cpu_quota", Controller::Cpu, "cpu.max", "max 100000"),
    ("allowed_cpus", Controller::Cpuset, "cpuset.cpus", ""),
    (
        "allowed_memory_nodes",
        Controller::Cpuset,
        "cpuset.mems",
        "",
    ),
    ("tasks_max", Controller::Pids, "pids.max", "max"),
    ("io_weight", Controller::Io, "io.weight", "default 100"),
    ("io_weight", Controller::Io, "io.bfq.weight", "default 100"),
];

/// What a cgroup has where nobody has set anything.
pub fn unset() -> impl Iterator<Item = Setting> {
    UNSET
        .into_iter()
        .map(|(cap, controller, file, value)| Setting::new(cap, controller, file, value.into()))
}

/// Whether this is what a cgroup has where nobody has set anything.
pub fn is_unset(setting: &Setting) -> bool {
    let mut all = UNSET.iter();
    all.any(|(_, _, file, value)| *file == setting.file && *value == setting.value)
        || setting.file == "io.max" && setting.value.split(' ').skip(1).all(is_no_ceiling)
}

fn is_no_ceiling(word: &str) -> bool {
    word.ends_with("=max")
}

/// The settings, and for all that they leave open what a cgroup has by itself.
pub fn whole(group: &Group, settings: &[Setting]) -> Vec<Setting> {
    let is_set = |file: &str| settings.iter().any(|setting| setting.file == file);
    let mut all: Vec<_> = unset()
        .filter(|one| !is_set(one.file))
        // An idle cgroup takes no weight.
        .filter(|one| one.file != "cpu.weight" || !is_set("cpu.idle"))
        .collect();
    let disk = |line: &str| line.split(' ').next().unwrap_or_default().to_owned();
    let now = group.read("io.max").unwrap_or_default();
    for disk_now in now.lines().map(disk).filter(|disk| !disk.is_empty()) {
        let mut set = settings.iter().filter(|setting| setting.file == "io.max");
        if !set.any(|setting| disk(&setting.value) == disk_now) {
            let none = format!("{disk_now} rbps=max wbps=max riops=max wiops=max");
            all.push(Setting::new("io.max", Controller::Io, "io.max", none));
        }
    }
    all.extend(settings.iter().cloned().map(|mut setting| {
        if setting.file == "io.max" {
            for key in ["rbps", "wbps", "riops", "wiops"] {
                if !setting.value.contains(&format!(" {key}=")) {
                    setting.value += &format!(" {key}=max");
                }
            }
        }
        setting
    }));
    all
}

/// How a cgroup stands to a setting.
#[derive(Debug, PartialEq, Eq)]
pub enum Standing {
    Same,
    Differs(String),
    /// It has more memory in use, and is not to be forced.
    InUse(String),
    /// What it has, or has in use, cannot be read, and is no reason to go on as if it were nothing.
    Unknown(String),
    /// There is no such file.
    NoFile,
}

/// What is done about more that is in use where `memory_max` or `memory_high` is to be lowered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lowering {
    /// What can be let go is let go first.
    LetGo,
    /// Nothing: it is a look only.
    Look,
    /// It is lowered all the same, and the kernel may kill for `memory_max`.
    Force,
}

/// How long a cgroup has to let go of what it can, and how much at a time.
const LETTING_GO: Duration = Duration::from_secs(1);
const PIECE: u64 = 64 << 20;

/// Looks at a setting of a cgroup.
pub fn standing(group: &Group, setting: &Setting) -> Standing {
    match group.read(setting.file) {
        Ok(now) if is_same(setting, now.trim()) => Standing::Same,
        Ok(now) => Standing::Differs(of_disk(setting, now.trim())),
        Err(error) if error.is_not_found() => Standing::NoFile,
        Err(error) => Standing::Unknown(error.to_string()),
    }
}

/// The same for who is to set it: what is in use beyond it is let go first, as far as it may be and can be.
pub fn make_room(group: &Group, setting: &Setting, lowering: Lowering) -> Standing {
    let standing = standing(group, setting);
    let wanted = setting.value.parse::<u64>().ok();
    let wanted = wanted.filter(|_| lowering != Lowering::Force);
    let (Standing::Differs(_), Some(wanted)) = (&standing, wanted) else {
        return standing;
    };
    let text = berth_config::value::bytes_text;
    match setting.file {
        "memory.max" => match more_in_use(group, wanted, lowering) {
            Ok(None) => {}
            Ok(Some(used)) => {
                return Standing::InUse(format!(
                    "{} are in use, and {} would be the most; it stays (--force lowers it, and the kernel may kill for it)",
                    text(used),
                    text(wanted)
                ));
            }
            Err(error) => return Standing::Unknown(error.to_string()),
        },
        "memory.high" if lowering == Lowering::LetGo => {
            // Where the kernel has no more to give, it gives up as soon when this is written, and kills for nothing. Who fills
            // again what was let go must not keep the old value by that: with the new one it is they who wait.
            if let LetGo::NoTime(used) = let_go(group, wanted) {
                return Standing::InUse(format!(
                    "{} are used, and the kernel takes its time to come down to {}; it stays for now (--force lowers it, and whoever writes it waits)",
                    text(used),
                    text(wanted)
                ));
            }
        }
        _ => {}
    }
    standing
}

/// What a cgroup has in use, if that is more than wanted.
fn more_in_use(
    group: &Group,
    wanted: u64,
    lowering: Lowering,
) -> berth_session::Result<Option<u64>> {
    let used = match memory_in_use(group) {
        Err(error) if error.is_not_found() => None,
        used => Some(used?).filter(|used| *used > wanted),
    };
    Ok(match lowering {
        Lowering::LetGo => used.or_else(|| match let_go(group, wanted) {
            LetGo::Fits => None,
            LetGo::NoMore(used) | LetGo::NoTime(used) | LetGo::Refilled(used) => Some(used),
        }),
        Lowering::Look | Lowering::Force => used,
    })
}

/// How far a cgroup has come down, and what it has left.
enum LetGo {
    Fits,
    /// The kernel has found nothing more.
    NoMore(u64),
    NoTime(u64),
    /// As much was let go as had to be, and there is more again.
    Refilled(u64),
}

/// Has the kernel let go of what a cgroup has above what is wanted. Whoever writes memory.max or memory.high has this done in
/// the write, which nothing ends: of files that many programs have mapped, or with a slow disk for swap, it takes minutes, and
/// for memory.max the kernel kills for what it cannot have. Under systemd PID 1 writes it, and nobody's session is opened
/// meanwhile. memory.reclaim (Linux 5.19) goes in pieces, and kills nobody.
fn let_go(group: &Group, wanted: u64) -> LetGo {
    let end = Instant::now() + LETTING_GO;
    let more = || group.number("memory.current").filter(|used| *used > wanted);
    let (mut first, mut gone) = (None, 0_u64);
    while let Some(used) = more() {
        let excess = *first.get_or_insert(used - wanted);
        let piece = PIECE.min(used - wanted);
        match group.write("memory.reclaim", &piece.to_string()) {
            Ok(()) if Instant::now() < end => gone = gone.saturating_add(piece),
            Ok(()) if gone >= excess => return more().map_or(LetGo::Fits, LetGo::Refilled),
            Ok(()) => return more().map_or(LetGo::Fits, LetGo::NoTime),
            Err(_) if !group.path().join("memory.reclaim").exists() => return LetGo::Fits,
            Err(_) => return more().map_or(LetGo::Fits, LetGo::NoMore),
        }
    }
    LetGo::Fits
}

/// Of a file with a line for each disk, the setting's line.
fn of_disk(setting: &Setting, now: &str) -> String {
    if setting.file != "io.max" {
        return now.lines().next().unwrap_or_default().into();
    }
    let disk = setting.value.split(' ').next().unwrap_or_default();
    let line = now
        .lines()
        .find(|line| line.split(' ').next() == Some(disk));
    line.map_or_else(|| format!("{disk} max"), String::from)
}
