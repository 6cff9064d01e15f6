//! A look at what a user uses: their cgroup, and in it the processes that do not count.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use berth_config::value::{PathGlob, names_match};
use berth_config::{Look, Process, file_is_roots, path_is_roots};
use berth_session::{Group, memory_in_use, stat_of};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::{SysconfVar, sysconf};

use crate::sys;

/// Looks at a user's cgroup; `None` where it is gone, or tells no CPU time.
pub fn look(group: &Group, except: &[PathGlob], files: &mut Files) -> Option<Look> {
    let processes = match except.is_empty() {
        true => Vec::new(),
        false => {
            let mut programs = Programs::new(except, files);
            let pids = pids(group).into_iter();
            pids.filter_map(|pid| process(pid, &mut programs)).collect()
        }
    };
    Some(Look {
        group: fs::metadata(group.path()).ok()?.ino(),
        at: since_boot()?,
        cpu: group.keyed("cpu.stat", "usage_usec")?,
        memory: memory_in_use(group).unwrap_or(0),
        processes,
    })
}

/// Milliseconds of a clock that nobody sets, and that goes on while the machine sleeps.
pub fn since_boot() -> Option<u64> {
    let now = clock_gettime(ClockId::CLOCK_BOOTTIME).ok()?;
    u64::try_from(std::time::Duration::from(now).as_millis()).ok()
}

/// The unit of times in /proc.
fn ticks_per_second() -> Option<u64> {
    let ticks = sysconf(SysconfVar::CLK_TCK).ok()??;
    u64::try_from(ticks).ok().filter(|ticks| *ticks > 0)
}

/// So many cgroups of one user's are looked into. Their service manager's they divide as they like, and whoever made a
/// hundred thousand would hold up everybody's penalties.
const MOST_GROUPS: usize = 2048;

/// The processes in a cgroup and below it: of the nearest cgroups, where there are too many. What is left out counts.
fn pids(group: &Group) -> Vec<i32> {
    let (mut pids, mut groups) = (Vec::new(), vec![group.clone()]);
    let mut next = 0;
    while let Some(group) = groups.get(next) {
        pids.extend(group.processes().unwrap_or_default());
        let below = group.children().take(MOST_GROUPS - groups.len());
        groups.extend(below);
        next += 1;
    }
    pids
}

fn process(pid: i32, programs: &mut Programs<'_>) -> Option<Process> {
    let stat = stat_of(pid).ok()??;
    let ticks = ticks_per_second()?;
    let time = |one: usize, other: usize| {
        let sum = stat.field::<u64>(one)?.saturating_add(stat.field(other)?);
        Some(sum.saturating_mul(1_000_000) / ticks)
    };
    Some(Process {
        pid,
        parent: stat.field(4)?,
        own: time(14, 15)?,
        children: time(16, 17)?,
        started: stat.field(22)?,
        is_excepted: programs.has(pid).unwrap_or(false),
        ..Process::default()
    })
}

/// Files that were looked at in this round: which they are, where nobody but root can write to them.
pub type Files = HashMap<PathBuf, Option<(u64, u64)>>;

/// Programs that do not count.
struct Programs<'f> {
    /// Each a folder or file, and the pattern of what is below.
    patterns: Vec<(PathBuf, Vec<String>)>,
    files: &'f mut Files,
}

impl<'f> Programs<'f> {
    fn new(except: &[PathGlob], files: &'f mut Files) -> Programs<'f> {
        let resolved = |glob: &PathGlob| {
            let (plain, rest) = glob.split();
            // The kernel names a program by where it is, and not by the links to it.
            let plain = fs::canonicalize(plain);
            Some((plain.ok()?, rest.into_iter().map(String::from).collect()))
        };
        Programs {
            patterns: except.iter().filter_map(resolved).collect(),
            files,
        }
    }

    /// Whether a process runs one. Its name, and the path that its own mount namespace has for it, say little: it must
    /// be the file that has this path out here, and root's alone.
    fn has(&mut self, pid: i32) -> Option<bool> {
        let link = format!("/proc/{pid}/exe");
        let path = fs::read_link(&link).ok()?;
        if !self.patterns.iter().any(|pattern| is_meant(&path, pattern)) {
            return Some(false);
        }
        let is = |metadata: &fs::Metadata| (metadata.dev(), metadata.ino());
        let known = self.files.entry(path).or_insert_with_key(|path| {
            // First, and as it is written: what others may make it lead to may be a file system that never answers.
            path_is_roots(path.parent()?).ok()?;
            let file = file_is_roots(path).ok().filter(fs::Metadata::is_file)?;
            Some(is(&file))
        });
        let runs = sys::known_file(Path::new(&link)).ok()?; // the file itself, wherever it is
        Some(*known == Some(runs))
    }
}

fn is_meant(path: &Path, (plain, rest): &(PathBuf, Vec<String>)) -> bool {
    let Ok(below) = path.strip_prefix(plain) else {
        return false;
    };
    let names: Option<Vec<&str>> = below.iter().map(|name| name.to_str()).collect();
    let rest: Vec<&str> = rest.iter().map(String::as_str).collect();
    names.is_some_and(|names| names_match(&rest, &names))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::process::{Child, Command};

    use super::*;
    use crate::own_folder::Folder;

    /// Folders with a copy of `sleep` that a test runs.
    struct Place(PathBuf, #[allow(dead_code)] Folder);

    impl Place {
        fn new() -> Place {
            let folder = Folder::new();
            let path = fs::canonicalize(&folder).unwrap();
            fs::create_dir_all(path.join("bin")).unwrap();
            // By another process: what a test beside this one forks would hold it open for writing, and it could not be run.
            let mut copy = Command::new("cp");
            copy.arg("/bin/sleep").arg(path.join("bin/tool"));
            assert!(copy.status().unwrap().success());
            Place(path, folder)
        }

        fn path(&self, below: &str) -> String {
            self.0.join(below).display().to_string()
        }

        fn excepts(&self, pattern: &str, runs: &Path) -> bool {
            let mut child = Running(Command::new(runs).arg("60").spawn().unwrap());
            let pid = child.0.id() as i32;
            let pattern = PathGlob::parse(&self.path(pattern)).unwrap();
            // Spawn may return before the program is in its place.
            let is_there = || {
                fs::read_link(format!("/proc/{pid}/exe"))
                    .is_ok_and(|path| !path.ends_with(std::env::current_exe().unwrap()))
            };
            while !is_there() && child.0.try_wait().unwrap().is_none() {}
            Programs::new(&[pattern], &mut Files::new())
                .has(pid)
                .unwrap()
        }
    }

    #[test]
    fn who_divides_their_cgroup_without_end_holds_up_nobody() {
        let folder = Folder::new();
        let group = |path: &str, pid: &str| {
            fs::create_dir_all(folder.join(path)).unwrap();
            fs::write(folder.join(path).join("cgroup.procs"), pid).unwrap();
        };
        group("user@1001.service/app", "2\n");
        group("session-1.scope", "1\n");
        let top = Group::from(folder.join(""));
        let mut all = pids(&top);
        all.sort_unstable();
        assert_eq!(all, [1, 2]);
        for nth in 0..MOST_GROUPS {
            group(&format!("user@1001.service/app/{nth}"), "3\n");
        }
        let all = pids(&top);
        assert!(all.contains(&1) && all.contains(&2), "the nearest");
        // The top, two just below, and the folder that the many are in.
        assert_eq!(all.len() - 2, MOST_GROUPS - 4);
    }

    struct Running(Child);

    impl Drop for Running {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    #[test]
    fn a_program_is_known_by_its_file() {
        use std::os::unix::fs::{PermissionsExt, chown};
        let place = Place::new();
        let tool = place.0.join("bin/tool");
        for pattern in ["bin/tool", "bin/*", "**", "**/tool"] {
            assert!(place.excepts(pattern, &tool), "{pattern}");
        }
        assert!(!place.excepts("*", &tool));
        assert!(!place.excepts("bin/other", &tool));
        // By a link in the policy too; and through one it is the same program.
        symlink("bin", place.0.join("link")).unwrap();
        symlink("bin/tool", place.0.join("tool")).unwrap();
        assert!(place.excepts("link/*", &tool));
        assert!(place.excepts("tool", &tool));
        // One that others can write to is as good as theirs.
        fs::set_permissions(&tool, fs::Permissions::from_mode(0o775)).unwrap();
        assert!(!place.excepts("bin/tool", &tool));
        fs::set_permissions(&tool, fs::Permissions::from_mode(0o755)).unwrap();
        chown(place.0.join("bin"), Some(1001), None).unwrap();
        assert!(!place.excepts("bin/tool", &tool));
    }

    #[test]
    fn what_only_has_the_path_elsewhere_is_another_program() {
        let place = Place::new();
        let tool = place.0.join("bin/tool");
        fs::copy("/bin/sleep", place.0.join("hog")).unwrap();
        // As a user with a mount namespace of their own does it.
        let script = format!(
            "mount --bind {} {} && exec {} 60",
            place.path("hog"),
            tool.display(),
            tool.display()
        );
        let child = Running(
            Command::new("unshare")
                .args(["--mount", "sh", "-c", &script])
                .spawn()
                .unwrap(),
        );
        let pid = child.0.id() as i32;
        let runs = || fs::read_link(format!("/proc/{pid}/exe")).ok();
        let begun = std::time::Instant::now();
        while runs().as_deref() != Some(&tool) {
            assert!(begun.elapsed().as_secs() < 20, "{:?}", runs());
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        let pattern = PathGlob::parse(&tool.display().to_string()).unwrap();
        assert_eq!(
            Programs::new(&[pattern], &mut Files::new()).has(pid),
            Some(false)
        );
    }

    #[test]
    fn a_processs_own_figures_are_read() {
        let me = std::process::id() as i32;
        let before = process(me, &mut Programs::new(&[], &mut Files::new())).unwrap();
        let begun = std::time::Instant::now();
        while begun.elapsed().as_millis() < 300 {}
        let after = process(me, &mut Programs::new(&[], &mut Files::new())).unwrap();
        assert_eq!(after.started, before.started);
        assert_eq!(after.parent, std::os::unix::process::parent_id() as i32);
        assert!(after.own > before.own && after.own < before.own + 60_000_000);
    }
}
