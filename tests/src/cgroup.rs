//! The host's cgroup v2 tree, and what of it belongs to a test's users.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::kernel::eventually;

/// The cgroup v2 tree, wherever it is mounted.
#[derive(Debug, Clone)]
pub struct Cgroups {
    root: PathBuf,
}

impl Cgroups {
    /// Finds the tree in the mount table.
    pub fn find() -> Option<Cgroups> {
        let table = fs::read_to_string("/proc/self/mounts").ok()?;
        let root = table.lines().find_map(|line| {
            let mut fields = line.split(' ');
            let (_, at, kind) = (fields.next()?, fields.next()?, fields.next()?);
            (kind == "cgroup2").then(|| PathBuf::from(at))
        })?;
        Some(Cgroups { root })
    }

    /// Where the tree is mounted.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Whether the kernel offers this controller here.
    pub fn offers(&self, controller: &str) -> bool {
        fs::read_to_string(self.root.join("cgroup.controllers"))
            .is_ok_and(|all| all.split_whitespace().any(|one| one == controller))
    }

    /// The directory of a user's cgroup: where it is, or where it would be outside of all pools.
    pub fn user(&self, uid: u32) -> PathBuf {
        let (berth, name) = (self.root.join("berth"), format!("user-{uid}"));
        let pools = fs::read_dir(&berth).into_iter().flatten().flatten();
        let mut pools =
            pools.filter(|entry| entry.file_name().as_encoded_bytes().starts_with(b"pool-"));
        let found =
            pools.find_map(|pool| Some(pool.path().join(&name)).filter(|user| user.exists()));
        found.unwrap_or_else(|| berth.join(name))
    }

    /// The directory of a user's slice, where systemd runs the machine.
    pub fn slice(&self, uid: u32) -> PathBuf {
        self.root.join(format!("user.slice/user-{uid}.slice"))
    }

    /// The number in a file of a user's cgroup; 0 where there is none.
    pub fn number(&self, uid: u32, file: &str) -> u64 {
        let text = fs::read_to_string(self.user(uid).join(file)).unwrap_or_default();
        text.trim().parse().unwrap_or_default()
    }

    /// The number behind a key in a file of a user's cgroup; 0 where there is none.
    pub fn keyed(&self, uid: u32, file: &str, key: &str) -> u64 {
        let text = fs::read_to_string(self.user(uid).join(file)).unwrap_or_default();
        let mut values = text
            .lines()
            .filter_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
        values
            .next()
            .and_then(|value| value.parse().ok())
            .unwrap_or_default()
    }

    /// All cgroups of these users, parents first.
    pub fn of_users(&self, uids: Range<u32>) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for uid in uids {
            collect(&self.user(uid), &mut found);
            collect(&self.slice(uid), &mut found);
        }
        found
    }

    /// Removes what is left of the cgroups of a test whose processes have been ended, and ends none itself: what goes on in
    /// one is nobody's of the tests.
    pub fn clear(&self, uids: Range<u32>) {
        // Of a container's own, beside the users'.
        let own = |uid| self.root.join(format!("berth-test-{uid}"));
        for user in uids.flat_map(|uid| [self.user(uid), own(uid)]) {
            let mut all = Vec::new();
            collect(&user, &mut all);
            let removed = eventually(|| {
                for directory in all.iter().rev() {
                    // Where its last process is still on its way out.
                    let _ = fs::remove_dir(directory);
                }
                !user.exists()
            });
            assert!(removed, "{}: not a test's, or stuck", user.display());
            // With it the pool that it was the last user of.
            let _ = user.parent().map(fs::remove_dir);
        }
    }
}

fn collect(directory: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(directory) else {
        return;
    };
    found.push(directory.to_owned());
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            collect(&entry.path(), found);
        }
    }
}
