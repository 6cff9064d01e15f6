//! What the checks look at: the machine's files, the policy, and what it decides for each account.

use std::fs::{self, DirEntry};
use std::path::{Path, PathBuf};

use berth_config::outcome::{Berth, Caps, Outcome};
use berth_config::{Decision, Login, Machine, Policy};
use berth_session::kernel_text;

use crate::place;

/// What the checks look at.
#[derive(Debug)]
pub struct World {
    /// `/`; a test has a folder instead.
    pub root: PathBuf,
    /// Where cgroup v2 is mounted.
    pub cgroup: Option<PathBuf>,
    /// The policy in force, if it can be used.
    pub policy: Option<Policy>,
    /// Each account that NSS lists, and what an ssh login of it gets. There is none only where NSS does not answer: root
    /// always is one.
    pub accounts: Vec<(Login, Option<Decision>)>,
    /// What the rules give to whom NSS does not list, where it lists nobody who gets a berth: directories (SSSD) list
    /// none of their users.
    pub unlisted: Vec<Decision>,
}

impl World {
    /// This machine.
    pub fn here() -> World {
        let cgroup = place::cgroup_root();
        let policy = Policy::load_system().ok();
        let accounts = place::accounts().unwrap_or_default();
        World::of(Path::new("/"), cgroup, policy, accounts)
    }

    /// A machine whose files are in a folder.
    pub fn of(
        root: &Path,
        cgroup: Option<PathBuf>,
        policy: Option<Policy>,
        accounts: Vec<Login>,
    ) -> World {
        let machine = Machine::read(cgroup.as_deref()).ok();
        let by = policy.as_ref().zip(machine.as_ref());
        let decided = accounts.into_iter().map(|login| {
            let login = login.by_ssh();
            let decision = by.and_then(|(policy, machine)| policy.decide(&login, machine).ok());
            (login, decision)
        });
        let mut world = World {
            root: root.into(),
            cgroup,
            accounts: decided.collect(),
            unlisted: Vec::new(),
            policy: None,
        };
        let nobody = world.berths().next().is_none();
        if let Some((policy, machine)) = by.filter(|_| nobody) {
            world.unlisted = policy.decide_for_anybody(&Login::here().by_ssh(), machine);
        }
        world.policy = policy;
        world
    }

    /// A path of the machine's.
    pub fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// What is in a folder of the machine's; nothing where it cannot be read.
    pub fn entries(&self, path: &str) -> impl Iterator<Item = DirEntry> + use<> {
        let entries = fs::read_dir(self.path(path));
        entries.into_iter().flatten().flatten()
    }

    /// Whether systemd runs it.
    pub fn has_systemd(&self) -> bool {
        self.path("/run/systemd/system").is_dir()
    }

    /// A file of the machine's; `None` where it cannot be read.
    pub fn text(&self, path: &str) -> Option<String> {
        kernel_text(self.path(path)).ok()
    }

    /// A number that the kernel shows.
    pub fn number(&self, path: &str) -> Option<u64> {
        self.text(path)?.trim().parse().ok()
    }

    /// The listed accounts that get a berth, and theirs.
    pub fn berths(&self) -> impl Iterator<Item = (&Login, &Berth)> {
        let accounts = self.accounts.iter();
        accounts.filter_map(|(login, decision)| Some((login, berth_of(decision.as_ref()?)?)))
    }

    /// What is decided for anybody.
    fn decisions(&self) -> impl Iterator<Item = &Decision> {
        let listed = self.accounts.iter().filter_map(|(_, one)| one.as_ref());
        listed.chain(&self.unlisted)
    }

    /// Whether the berth of any user is so.
    pub fn any(&self, is_so: impl Fn(&Berth) -> bool) -> bool {
        self.decisions().filter_map(berth_of).any(is_so)
    }

    /// All caps that the policy sets for anybody: of users, sessions, pools and everyone.
    pub fn caps(&self) -> Vec<&Caps> {
        let shared = self.decisions();
        let shared = shared.flat_map(|one| [&one.pool_caps, &one.everyone_caps]);
        let own = self.decisions().filter_map(berth_of);
        let own = own.flat_map(|berth| [&berth.user_caps, &berth.session_caps]);
        shared.chain(own).collect()
    }
}

fn berth_of(decision: &Decision) -> Option<&Berth> {
    match &decision.outcome {
        Outcome::Berth(berth) => Some(berth),
        _ => None,
    }
}

#[cfg(test)]
pub mod tests {
    use berth_config::{Group, Trust, check_files};

    use super::super::finding::{Finding, Level};
    use super::*;
    use crate::own_folder::Folder;

    /// A machine of a test's own.
    pub struct Fake(pub World, #[allow(dead_code)] Folder);

    impl Fake {
        /// One with files, and with alice, who is in groups and in a profile of these lines.
        pub fn new(profile: &str, groups: &[&str], files: &[(&str, &str)]) -> Fake {
            let root = Folder::with(files);
            fs::create_dir_all(root.join("cgroup")).unwrap();
            let text = format!("version = 1\n[[rule]]\nprofile = \"p\"\n[profile.p]\n{profile}\n");
            let policy = root.write("policy.toml", text);
            let checked = check_files(&[policy], Trust::Anybody, None).unwrap();
            assert!(checked.policy.is_some(), "{:?}", checked.diagnostics);
            let groups = groups.iter().map(|name| Group {
                gid: 5,
                name: (*name).into(),
            });
            let alice = Login {
                user: "alice".into(),
                uid: 1001,
                gid: 1001,
                groups: groups.collect(),
                ..Login::default()
            };
            let cgroup = root.join("cgroup");
            let world = World::of(&root, Some(cgroup), checked.policy, vec![alice]);
            Fake(world, root)
        }

        /// What a check says of it.
        pub fn told(&self, check: fn(&World) -> Vec<Finding>) -> Vec<(Level, String)> {
            let findings = check(&self.0).into_iter();
            findings.map(|one| (one.level, one.text)).collect()
        }

        /// The same where NSS lists only who is exempt.
        pub fn lists_nobody(&mut self) {
            let World {
                root,
                cgroup,
                policy,
                ..
            } = &self.0;
            let system = Login {
                user: "root".into(),
                ..Login::default()
            };
            self.0 = World::of(root, cgroup.clone(), policy.clone(), vec![system]);
        }
    }
}
