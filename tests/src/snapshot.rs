//! What there is on a test's machine at one moment, so that what a login left behind can be seen.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::kernel::eventually;
use crate::{Cgroups, Process};

/// Where a login could leave files.
const PLACES: &[&str] = &[
    "/run/berth",
    "/var/lib/berth",
    "/tmp",
    "/var/tmp",
    "/dev/shm",
    "/dev/mqueue",
    "/dev/pts",
];

/// Processes, cgroups, mounts, files, keys, IPC objects and open descriptors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot(BTreeSet<String>);

impl Snapshot {
    /// Looks at everything.
    pub(crate) fn take(cgroups: &Cgroups, first_uid: u32) -> Snapshot {
        let uids = first_uid..first_uid + crate::slot::UIDS;
        let mut seen = BTreeSet::new();
        let me = Process::own();
        for process in Process::all() {
            let zombie = if process.is_zombie() {
                ", a zombie"
            } else {
                ""
            };
            // The kernel's own threads come and go; they have no arguments.
            let kernel = !process.is_zombie() && process.command_line().is_empty();
            if process == me || process.parent().is_none() || kernel {
                continue;
            }
            let (pid, name) = (process.0, process.name());
            // udev's have done what there was for some moments.
            if name == "(udev-worker)" {
                continue;
            }
            seen.insert(format!("process {pid} {name}{zombie}"));
            // Its own descriptors come and go; a daemon's must not.
            if matches!(&*name, "sshd" | "cron") && process.0 > 1 {
                let open = fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count);
                seen.insert(format!("descriptors of process {pid} {name}: {open}"));
            }
        }
        for cgroup in cgroups.of_users(uids.clone()) {
            seen.insert(format!("cgroup {}", cgroup.display()));
        }
        for line in read("/proc/self/mountinfo").lines() {
            let fields: Vec<&str> = line.split(' ').collect();
            let at = fields.get(4).copied().unwrap_or_default();
            seen.insert(format!("mount {} at {at}", fields[0]));
        }
        for place in PLACES {
            files(Path::new(place), &mut seen);
        }
        for line in read("/proc/key-users").lines() {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let uid = fields
                .first()
                .and_then(|uid| uid.trim_end_matches(':').parse().ok());
            if uid.is_some_and(|uid| uids.contains(&uid)) {
                seen.insert(format!("keys of user {}", fields[..3].join(" ")));
            }
        }
        for kind in ["shm", "sem", "msg"] {
            for line in read(&format!("/proc/sysvipc/{kind}")).lines().skip(1) {
                let id: Vec<&str> = line.split_whitespace().take(2).collect();
                seen.insert(format!("{kind} {}", id.join(" ")));
            }
        }
        Snapshot(seen)
    }

    /// What is there when it is quiet, and the same at two looks.
    #[track_caller]
    pub(crate) fn at_rest(take: impl Fn() -> Snapshot, is_quiet: impl Fn() -> bool) -> Snapshot {
        let mut last = take();
        let rests = eventually(|| {
            std::thread::sleep(Duration::from_millis(300));
            let before = std::mem::replace(&mut last, take());
            is_quiet() && last == before
        });
        assert!(rests, "the machine does not come to rest: {last:#?}");
        last
    }

    /// And the files in another place.
    pub(crate) fn and_in(mut self, place: &Path) -> Snapshot {
        files(place, &mut self.0);
        self
    }

    /// What is there at a later moment and was not, and what was there and is gone.
    pub fn differences(&self, now: &Snapshot) -> Vec<String> {
        let left = now.0.difference(&self.0).map(|one| format!("left {one}"));
        let gone = self.0.difference(&now.0).map(|one| format!("gone {one}"));
        left.chain(gone).collect()
    }

    /// Fails unless everything becomes again as it was, soon.
    #[track_caller]
    pub(crate) fn assert_restored(&self, now: impl Fn() -> Snapshot) {
        let mut differences = Vec::new();
        let restored = eventually(|| {
            differences = self.differences(&now());
            differences.is_empty()
        });
        assert!(restored, "{differences:#?}");
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// Files count, and directories that hold none do not: an empty /run/berth is no trace of a login. An empty private /tmp is.
fn files(directory: &Path, seen: &mut BTreeSet<String>) {
    let Ok(entries) = fs::read_dir(directory) else {
        return;
    };
    for entry in entries.flatten() {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            if directory == Path::new("/var/lib/berth/tmp") {
                seen.insert(format!("folder {}", path.display()));
            }
            files(&path, seen);
        } else {
            seen.insert(format!("file {}", path.display()));
        }
    }
}
