//! Getting away from the caps, or changing them.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};

use super::Without::{Never, ResourceRoot, RootInside};
use super::targets::Targets;
use super::{Attempt, Verdict, call, shell, system_call};

pub const ATTEMPTS: &[Attempt] = &[
    call("procs-of-root", "into the root's cgroup.procs", |to| {
        join(&to.path("TREE"))
    }),
    call("procs-of-berth", "into the cgroup.procs above all users", |to| {
        join(&to.path("TREE").join("berth"))
    }),
    call("procs-of-user", "into the cgroup.procs above one's sessions", |to| {
        join(own(to).parent().unwrap_or(Path::new("/")))
    }),
    call("procs-of-sibling", "into another user's cgroup.procs", |to| {
        join(&to.path("VICTIMS_CGROUP"))
    }),
    call("procs-of-keepers", "into the keepers' cgroup.procs", |to| {
        join(&to.path("KEEPERS_CGROUP"))
    }),
    call("clone-into-root", "a child in the root, by CLONE_INTO_CGROUP", |to| {
        into(&to.path("TREE"))
    }),
    call("clone-into-sibling", "a child in another user's cgroup, by CLONE_INTO_CGROUP", |to| {
        into(&to.path("VICTIMS_CGROUP"))
    }),
    call("new-in-root", "a new cgroup in the root", |to| make(&to.path("TREE"))),
    call("new-in-berth", "a new cgroup beside the users'", |to| {
        make(&to.path("TREE").join("berth"))
    }),
    call("new-in-own", "a new cgroup in one's own", |to| make(&own(to))),
    call("own-limit", "another limit of one's own cgroup", |to| {
        open(&own(to).join("cgroup.max.descendants"))
    }),
    call("own-freeze", "thawing one's own cgroup", |to| open(&own(to).join("cgroup.freeze"))),
    call("own-controllers", "other controllers below one's own cgroup", |to| {
        open(&own(to).join("cgroup.subtree_control"))
    }),
    call("kill-sibling", "ending another user's cgroup", |to| {
        open(&to.path("VICTIMS_CGROUP").join("cgroup.kill"))
    }),
    call("any-file", "writing to any file of the whole tree", |to| {
        let mut found = None;
        walk(&to.path("TREE"), &mut found);
        Verdict::found(found.map(|path| path.display().to_string()))
    }),
    shell(
        "nested-join",
        "in a cgroup namespace of one's own: into the root's cgroup.procs",
        "$NESTED -C sh -c 'mount -t cgroup2 none /mnt && echo 0 >/mnt/cgroup.procs'",
    )
    .without(RootInside),
    shell(
        "nested-new",
        "in a cgroup namespace of one's own: a new cgroup",
        "$NESTED -C sh -c 'mount -t cgroup2 none /mnt && mkdir /mnt/of-an-attempt && rmdir /mnt/of-an-attempt'",
    )
    .without(RootInside),
    shell(
        "release-agent",
        "in a cgroup namespace of one's own: a release agent of cgroup v1 (CVE-2022-0492)",
        "$NESTED -C sh -c 'mount -t cgroup -o none,name=of-an-attempt none /mnt && : >>/mnt/release_agent'",
    )
    .without(Never("a kernel may be built without cgroup v1")),
    // What is not in the tree, but caps all the same.
    call("oom-score", "never to be chosen when memory is short", |_| {
        Verdict::of_io(fs::write("/proc/self/oom_score_adj", "-1000"))
    })
    .without(ResourceRoot),
    call("rlimit", "a higher hard limit", |_| {
        let (_, hard) = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE)
            .unwrap_or_default();
        let new = libc::rlimit64 {
            rlim_cur: hard,
            rlim_max: hard + 1,
        };
        let files = libc::RLIMIT_NOFILE.into();
        Verdict::of(system_call(libc::SYS_prlimit64, &[0, files, &raw const new as u64, 0]))
    })
    .without(ResourceRoot),
    call("nice", "a better priority", |_| {
        Verdict::of(system_call(libc::SYS_setpriority, &[0, 0, -20_i64 as u64]))
    }),
    call("real-time", "a real-time scheduler", |_| {
        let priority = 1_i32;
        let at = &raw const priority as u64;
        Verdict::of(system_call(libc::SYS_sched_setscheduler, &[0, libc::SCHED_FIFO as u64, at]))
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

/// A child does it, so that nobody has to be brought back.
fn join(cgroup: &Path) -> Verdict {
    let script = format!("echo 0 >{}/cgroup.procs", cgroup.display());
    let ran = std::process::Command::new("/bin/sh")
        .args(["-c", &script])
        .output();
    match ran {
        Ok(ran) if ran.status.success() => Verdict::Escaped("joined".into()),
        Ok(ran) => Verdict::Held(
            String::from_utf8_lossy(&ran.stderr)
                .trim()
                .replace('\t', " "),
        ),
        Err(error) => Verdict::Held(error.to_string()),
    }
}

fn into(cgroup: &Path) -> Verdict {
    match File::open(cgroup) {
        Ok(cgroup) => super::namespaces::clone3(0, Some(&cgroup)),
        Err(error) => Verdict::Held(error.to_string()),
    }
}

fn make(inside: &Path) -> Verdict {
    let path = inside.join("of-an-attempt");
    let made = fs::create_dir(&path);
    let _ = fs::remove_dir(&path);
    Verdict::of_io(made)
}

fn open(path: &Path) -> Verdict {
    Verdict::of_io(OpenOptions::new().write(true).open(path))
}

fn walk(directory: &Path, found: &mut Option<PathBuf>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if found.is_some() {
            return;
        }
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            walk(&path, found);
        } else if OpenOptions::new().write(true).open(&path).is_ok() {
            *found = Some(path);
        }
    }
}
