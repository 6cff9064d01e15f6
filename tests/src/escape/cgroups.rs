//! Getting away from the caps, or changing them.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use super::Without::{ResourceRoot, RootInside, RootWithV1};
use super::targets::Targets;
use super::{Attempt, Verdict, call, errno, system_call};

pub const ATTEMPTS: &[Attempt] = &[
    call("procs-of-root", "into the root's cgroup.procs", |to| {
        join(&to.path("TREE"))
    }),
    call(
        "procs-of-berth",
        "into the cgroup.procs above all users",
        |to| join(&to.path("TREE").join("berth")),
    ),
    call(
        "procs-of-user",
        "into the cgroup.procs above one's sessions",
        |to| join(own(to).parent().unwrap_or(Path::new("/"))),
    ),
    call(
        "procs-of-sibling",
        "into another user's cgroup.procs",
        |to| join(&to.path("VICTIMS_CGROUP")),
    ),
    call("procs-of-keepers", "into the keepers' cgroup.procs", |to| {
        join(&to.path("KEEPERS_CGROUP"))
    }),
    call(
        "clone-into-root",
        "a child in the root, by CLONE_INTO_CGROUP",
        |to| into(&to.path("TREE")),
    )
    .stopped_by(&["EACCES", "ENOSYS"]),
    call(
        "clone-into-sibling",
        "a child in another user's cgroup, by CLONE_INTO_CGROUP",
        |to| into(&to.path("VICTIMS_CGROUP")),
    )
    .stopped_by(&["EACCES", "ENOSYS"]),
    call(
        "procs-of-delegated",
        "into a cgroup that is delegated to the user, as their service manager's are",
        |to| join(&to.path("DELEGATED")),
    ),
    call(
        "clone-into-delegated",
        "a child in such a cgroup, by CLONE_INTO_CGROUP",
        |to| into(&to.path("DELEGATED")),
    )
    .stopped_by(&["EACCES", "ENOSYS"]),
    call("new-in-root", "a new cgroup in the root", |to| {
        Verdict::of(make(&to.path("TREE")))
    }),
    call("new-in-berth", "a new cgroup beside the users'", |to| {
        Verdict::of(make(&to.path("TREE").join("berth")))
    }),
    call("new-in-own", "a new cgroup in one's own", |to| {
        Verdict::of(make(&own(to)))
    }),
    call("own-limit", "another limit of one's own cgroup", |to| {
        open(&own(to).join("cgroup.max.descendants"))
    }),
    call("own-freeze", "thawing one's own cgroup", |to| {
        open(&own(to).join("cgroup.freeze"))
    }),
    call(
        "own-controllers",
        "other controllers below one's own cgroup",
        |to| open(&own(to).join("cgroup.subtree_control")),
    ),
    call("kill-sibling", "ending another user's cgroup", |to| {
        open(&to.path("VICTIMS_CGROUP").join("cgroup.kill"))
    }),
    call(
        "any-file",
        "writing to any file of the whole tree but what is delegated to the user",
        |to| {
            let (mut tried, mut found) = (0, None);
            walk(&to.path("TREE"), to.number("ALICE"), &mut tried, &mut found);
            assert!(tried > 10 || found.is_some(), "{tried} files");
            Verdict::found(found.map(|path| path.display().to_string()))
        },
    )
    .stopped_by(&["nothing there"]),
    call(
        "nested-join",
        "in a cgroup namespace of one's own: into the root's cgroup.procs",
        |_| {
            Verdict::nested(|| {
                mount_tree("cgroup2", None)?;
                open_to_write(Path::new("/mnt/cgroup.procs"))
            })
        },
    )
    .without(RootInside),
    call(
        "nested-new",
        "in a cgroup namespace of one's own: a new cgroup",
        |_| {
            Verdict::nested(|| {
                mount_tree("cgroup2", None)?;
                make(Path::new("/mnt"))
            })
        },
    )
    .without(RootInside),
    call(
        "release-agent",
        "there: the release agent of each tree of cgroup v1 (CVE-2022-0492)",
        |_| release_agent(),
    )
    .stopped_by(&["EPERM", "EACCES", NO_V1])
    .without(RootWithV1),
    // What is not in the tree, but caps all the same.
    call(
        "oom-score",
        "never to be chosen when memory is short",
        |_| Verdict::of_io(fs::write("/proc/self/oom_score_adj", "-1000")),
    )
    .without(ResourceRoot),
    call("rlimit", "a higher hard limit", |_| {
        let (_, hard) = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE)
            .unwrap_or_default();
        let new = libc::rlimit64 {
            rlim_cur: hard,
            rlim_max: hard + 1,
        };
        let files = libc::RLIMIT_NOFILE.into();
        Verdict::of(system_call(
            libc::SYS_prlimit64,
            &[0, files, &raw const new as u64, 0],
        ))
    })
    .without(ResourceRoot),
    call("nice", "a better priority", |_| {
        Verdict::of(system_call(libc::SYS_setpriority, &[0, 0, -20_i64 as u64]))
    }),
    call("real-time", "a real-time scheduler", |_| {
        let priority = 1_i32;
        let at = &raw const priority as u64;
        Verdict::of(system_call(
            libc::SYS_sched_setscheduler,
            &[0, libc::SCHED_FIFO as u64, at],
        ))
    }),
    call("real-time-io", "real-time I/O", |_| {
        const REAL_TIME: u64 = 1 << 13; // IOPRIO_CLASS_RT, linux/ioprio.h
        Verdict::of(system_call(libc::SYS_ioprio_set, &[1, 0, REAL_TIME]))
    }),
];

/// The session's, or the one that is named to who is outside of it.
fn own(to: &Targets) -> PathBuf {
    let tree = to.path("TREE");
    let here = || {
        let text = fs::read_to_string("/proc/self/cgroup").ok()?;
        let path = text.lines().find_map(|line| line.strip_prefix("0::/"))?;
        Some(tree.join(path))
    };
    match to.text("SESSIONS_CGROUP") {
        "" => here().unwrap_or(tree),
        named => tree.join(named),
    }
}

/// This process has nothing else to do, and stays where it has gone.
fn join(cgroup: &Path) -> Verdict {
    Verdict::of_io(fs::write(cgroup.join("cgroup.procs"), "0"))
}

fn into(cgroup: &Path) -> Verdict {
    let cgroup = File::open(cgroup).expect("a cgroup");
    super::namespaces::clone3(0, Some(&cgroup))
}

fn make(inside: &Path) -> Result<(), Errno> {
    let path = inside.join("of-an-attempt");
    let made = fs::create_dir(&path);
    let _ = fs::remove_dir(&path);
    made.map_err(errno)
}

fn open_to_write(path: &Path) -> Result<(), Errno> {
    let opened = OpenOptions::new().write(true).open(path);
    opened.map(drop).map_err(errno)
}

fn open(path: &Path) -> Verdict {
    Verdict::of(open_to_write(path))
}

fn mount_tree(kind: &str, controller: Option<&str>) -> Result<(), Errno> {
    unshare(CloneFlags::CLONE_NEWCGROUP)?;
    mount(
        Some("none"),
        "/mnt",
        Some(kind),
        MsFlags::empty(),
        controller,
    )
}

/// What is said where there is none.
const NO_V1: &str = "no tree of cgroup v1";

/// The controllers of cgroup v1 that have a tree.
pub fn of_v1() -> Vec<String> {
    let text = fs::read_to_string("/proc/cgroups").expect("/proc/cgroups");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let fields = lines.map(|line| line.split_whitespace().collect::<Vec<&str>>());
    let with_a_tree = fields.filter(|fields| fields.get(1).is_some_and(|number| *number != "0"));
    let named = with_a_tree.filter_map(|fields| fields.first().map(|name| (*name).to_owned()));
    named.collect()
}

/// Only a tree's root has the file, and the process has to be there: one of them is enough.
fn release_agent() -> Verdict {
    let trees = of_v1();
    if trees.is_empty() {
        return Verdict::Held(NO_V1.into());
    }
    Verdict::nested(|| {
        let tried = trees.iter().map(|tree| {
            mount_tree("cgroup", Some(tree.as_str()))?;
            open_to_write(Path::new("/mnt/release_agent"))
        });
        let all: Vec<Result<(), Errno>> = tried.collect();
        let is_there = |one: &&Result<(), Errno>| **one != Err(Errno::ENOENT);
        let led_out = all.iter().find(|one| one.is_ok());
        let out = led_out.or_else(|| all.iter().find(is_there));
        out.copied().unwrap_or(Err(Errno::ENOENT))
    })
}

fn walk(directory: &Path, user: u32, tried: &mut usize, found: &mut Option<PathBuf>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if found.is_some() {
            return;
        }
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            // Of Berth's none is the user's.
            let owner = fs::metadata(&path).map(|is| is.uid()).ok();
            let is_berths = path.components().any(|part| part.as_os_str() == "berth");
            if owner != Some(user) || is_berths {
                walk(&path, user, tried, found);
            }
            continue;
        }
        *tried += 1;
        if open_to_write(&path).is_ok() {
            *found = Some(path);
        }
    }
}
