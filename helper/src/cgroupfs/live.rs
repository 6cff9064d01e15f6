//! The caps of cgroups that are in use, brought to what the policy says now (cgroupfs backend).
//!
//! Unlike a login, which sets what the policy says and finds all else as the kernel has made it, this also takes
//! back what the policy no longer says.

use berth_config::outcome::Caps;
use berth_session::{Applied, Group, Tree};

use super::protection;
use crate::error::Result;
use crate::settings::standing::{Standing, is_unset, make_room, unset, whole};
use crate::settings::{How, Setting, UserTasks, but_tasks, missing, of_this_kernel};

/// What there is to set on a user's cgroups. Made before any lock is taken: finding the disk behind a path may
/// wait for a file server.
#[derive(Debug)]
pub struct UserCaps {
    own: Vec<Setting>,
    tasks: UserTasks,
}

impl UserCaps {
    pub fn new(caps: &Caps, tree: &Tree) -> Result<UserCaps> {
        Ok(UserCaps {
            own: but_tasks(caps, tree)?,
            tasks: UserTasks::of(caps),
        })
    }

    /// Brings a user's cgroups up to date. The caller holds the lock on the user's folder.
    pub fn bring(&self, tree: &Tree, uid: u32, how: How, told: &mut Applied) -> Result<()> {
        let Some(user) = tree.existing_user(uid)? else {
            return Ok(()); // All the user's sessions have cgroup = "keep".
        };
        let own: Vec<_> = whole(&user, &self.own)
            .into_iter()
            .filter(|setting| setting.file != "pids.max")
            .collect();
        let had = protection::FILES.map(|file| user.read(file).unwrap_or_default());
        bring(&user, &own, how, told);
        let mut untold = Applied::to(told.whose.clone());
        bring(&user, &tasks(self.tasks.with_reserve()), how, &mut untold);
        let [sessions, rescue] = Tree::parts(&user);
        bring(&sessions, &tasks(self.tasks.cap()), how, told);
        if rescue.exists() {
            bring(&rescue, &tasks(self.tasks.reserve()), how, &mut untold);
        }
        // What a session has of its user's protection, and not of its own.
        let passed_on = protection::inherited(&own, &[]);
        for part in [sessions, rescue].iter().filter(|part| part.exists()) {
            bring(part, &passed_on, how, &mut untold);
            for session in part.children() {
                let of_user = |setting: &&Setting| {
                    let mut files = protection::FILES.iter().zip(&had);
                    files.any(|(file, had)| {
                        *file == setting.file && session.read(file).is_ok_and(|has| has == *had)
                    })
                };
                let taken: Vec<_> = passed_on.iter().filter(of_user).cloned().collect();
                bring(&session, &taken, how, &mut untold);
            }
        }
        told.left.append(&mut untold.left);
        Ok(())
    }

    /// Brings a session's own caps up to date, once its user's are.
    pub fn bring_session(
        &self,
        session: &Group,
        settings: &[Setting],
        how: How,
        told: &mut Applied,
    ) {
        let mut all = whole(session, settings);
        // What the policy does not protect of the session itself is protected as its user.
        all.retain(|one| !protection::FILES.contains(&one.file) || settings.contains(one));
        let above = session.parent();
        let had = |file: &str| above.as_ref().and_then(|above| above.read(file).ok());
        let mut of_user = protection::inherited(&whole(session, &self.own), settings);
        // What it has as its user changes, or would, with that.
        of_user.retain(|one| session.read(one.file).ok() != had(one.file));
        all.append(&mut of_user);
        bring(session, &all, how, told);
    }
}

/// Brings a cgroup of several users up to date: a pool's, or everyone's.
pub fn bring_many(group: &Group, settings: &[Setting], how: How, told: &mut Applied) -> Result<()> {
    let mut all = whole(group, settings);
    all.retain(|one| !protection::FILES.contains(&one.file) || settings.contains(one));
    bring(group, &all, how, told);
    match how.dry_run {
        true => Ok(()),
        false => bring_protection(group, settings),
    }
}

/// What protects the users below, where the policy gives their cgroup no value of its own: their sum.
pub fn bring_protection(group: &Group, settings: &[Setting]) -> Result<()> {
    protection::cover(group, &unset().collect::<Vec<_>>(), settings)
}

fn tasks(set: Option<Setting>) -> Vec<Setting> {
    let no_cap = || unset().find(|one| one.file == "pids.max");
    set.or_else(no_cap).into_iter().collect()
}

fn bring(group: &Group, settings: &[Setting], how: How, told: &mut Applied) {
    for setting in of_this_kernel(group, settings) {
        let from = match make_room(group, setting, how.lowering()) {
            Standing::Same => continue,
            Standing::NoFile if is_unset(setting) || !group.exists() => continue,
            Standing::NoFile => {
                let place = group.path().display();
                missing(
                    told,
                    setting,
                    how,
                    &format!("{place} has no {}", setting.file),
                );
                continue;
            }
            Standing::InUse(reason) | Standing::Unknown(reason) => {
                told.left(setting.cap, reason);
                continue;
            }
            Standing::Differs(from) => from,
        };
        if !how.dry_run {
            // A write of nothing is none.
            let value = match setting.value.as_str() {
                "" => "\n",
                value => value,
            };
            match group.write(setting.file, value) {
                Err(_) if !group.exists() => return, // The user has just logged out.
                Err(error) => {
                    told.left(setting.cap, error);
                    continue;
                }
                Ok(()) => {}
            }
        }
        told.changed(setting.cap, setting.file, &from, &setting.value);
    }
}

#[cfg(test)]
mod tests {
    use berth_config::outcome::{CpuWeight, Limit};
    use berth_session::{Controller, Whose};

    use super::*;
    use crate::settings::folder::Folder;
    use crate::settings::{cpu, memory};
    use berth_config::outcome::MissingController;

    const HOW: How = How {
        dry_run: false,
        force: false,
        missing_controller: MissingController::Deny,
    };

    fn memory(max: u64) -> Vec<Setting> {
        memory::settings(&Caps {
            memory_max: Some(Limit::Finite(max)),
            ..Caps::default()
        })
    }

    fn brought(folder: &Folder, settings: &[Setting], how: How) -> Applied {
        let mut told = Applied::to(Whose::Everyone);
        bring(&folder.group(), settings, how, &mut told);
        told
    }

    #[test]
    fn what_differs_is_written_once_and_told() {
        let folder = Folder::with(&[("memory.max", "8192\n"), ("memory.current", "5\n")]);
        let dry = How {
            dry_run: true,
            ..HOW
        };
        assert_eq!(brought(&folder, &memory(16384), dry).changes.len(), 1);
        assert_eq!(folder.group().read("memory.max").unwrap(), "8192\n");
        let told = brought(&folder, &memory(16384), HOW);
        assert_eq!(
            (told.changes[0].from.as_str(), told.changes[0].to.as_str()),
            ("8192", "16384")
        );
        let again = brought(&folder, &memory(16384), HOW);
        assert_eq!(again, Applied::to(Whose::Everyone));
    }

    #[test]
    fn memory_in_use_is_not_taken_without_force() {
        let folder = Folder::with(&[("memory.max", "max\n"), ("memory.current", "9000\n")]);
        let told = brought(&folder, &memory(8192), HOW);
        assert_eq!((told.changes.len(), told.left.len()), (0, 1));
        assert_eq!(folder.group().read("memory.max").unwrap(), "max\n");
        let forced = How { force: true, ..HOW };
        assert_eq!(brought(&folder, &memory(8192), forced).changes.len(), 1);
        // What was read from files goes, but not before what is to be written there is.
        folder.write("memory.max", "max\n");
        let stat = "inactive_file 300\nactive_file 700\nfile_dirty 100\nfile_writeback 92\n";
        folder.write("memory.stat", stat);
        assert_eq!(brought(&folder, &memory(8192), HOW).changes.len(), 1);
        folder.write("memory.max", "max\n");
        let told = brought(&folder, &memory(8191), HOW);
        assert_eq!((told.changes.len(), told.left.len()), (0, 1));
        // Where it can be had before, it is not left to the write: not while this file takes all and nothing goes.
        folder.write("memory.reclaim", "");
        folder.write("memory.max", "max\n");
        let told = brought(&folder, &memory(8192), HOW);
        assert_eq!((told.changes.len(), told.left.len()), (0, 1));
        assert_eq!(folder.group().read("memory.reclaim").unwrap(), "808");
        let dry = How {
            dry_run: true,
            ..HOW
        };
        assert_eq!(brought(&folder, &memory(8192), dry).changes.len(), 1);
        assert_eq!(brought(&folder, &memory(8192), forced).changes.len(), 1);
        // As much as is in use fits.
        folder.write("memory.stat", "");
        folder.write("memory.max", "max\n");
        folder.write("memory.current", "8192\n");
        assert_eq!(brought(&folder, &memory(8192), HOW).changes.len(), 1);
        assert_eq!(folder.group().read("memory.max").unwrap(), "8192");
    }

    #[test]
    fn memory_high_waits_for_what_the_kernel_can_take_and_for_no_more() {
        let folder = Folder::with(&[
            ("memory.high", "max\n"),
            ("memory.current", "9223372036854775807\n"),
            ("memory.reclaim", ""),
        ]);
        let high = [Setting::new(
            "memory_high",
            Controller::Memory,
            "memory.high",
            "4096".into(),
        )];
        let count = |how| {
            let told = brought(&folder, &high, how);
            (told.changes.len(), told.left.len())
        };
        // This file takes all, and there is no end of it.
        assert_eq!(count(HOW), (0, 1));
        assert_eq!(folder.read("memory.reclaim"), "67108864");
        let dry = How {
            dry_run: true,
            ..HOW
        };
        let forced = How { force: true, ..HOW };
        assert_eq!([count(dry), count(forced)], [(1, 0); 2]);
        // Here what went is back at once: who does that waits, and not the cap.
        folder.write("memory.current", "8192\n");
        folder.write("memory.high", "max\n");
        folder.write("memory.reclaim", "");
        assert_eq!(count(HOW), (1, 0));
        assert_eq!(folder.read("memory.reclaim"), "4096");
        // And this one takes nothing: nobody is killed for it.
        folder.write("memory.high", "max\n");
        std::fs::remove_file(folder.join("memory.reclaim")).unwrap();
        std::fs::create_dir(folder.join("memory.reclaim")).unwrap();
        assert_eq!(count(HOW), (1, 0));
    }

    #[test]
    fn a_cap_that_the_policy_drops_is_lifted() {
        let folder = Folder::with(&[
            ("memory.max", "8192\n"),
            ("cpu.idle", "1\n"),
            ("cpu.weight", "0\n"),
            ("io.max", "8:0 rbps=5 wbps=max riops=max wiops=max\n"),
        ]);
        let all = whole(&folder.group(), &[]);
        let told = brought(&folder, &all, HOW);
        let files: Vec<_> = told.changes.iter().map(|one| one.file.as_str()).collect();
        assert_eq!(files, ["memory.max", "cpu.idle", "cpu.weight", "io.max"]);
        // A plain file is not cut where less is written.
        let max = folder.group().read("memory.max").unwrap();
        assert!(max.starts_with("max"), "{max}");
        // Files that are not there are no lack where nothing is to be set.
        assert!(told.left.is_empty(), "{told:?}");
    }

    #[test]
    fn each_disk_keeps_the_ceilings_of_the_policy_and_loses_all_others() {
        let now =
            "8:0 rbps=5 wbps=max riops=max wiops=max\n8:16 rbps=max wbps=7 riops=max wiops=max\n";
        let folder = Folder::with(&[("io.max", now)]);
        let ceilings = |value: &str| Setting::new("io_max", Controller::Io, "io.max", value.into());
        let told = |settings: &[Setting]| {
            let all = whole(&folder.group(), settings);
            let dry = How {
                dry_run: true,
                ..HOW
            };
            let told = brought(&folder, &all, dry).changes.into_iter();
            told.map(|one| format!("{} -> {}", one.from, one.to))
                .collect::<Vec<_>>()
        };
        let none = "rbps=max wbps=max riops=max wiops=max";
        let (first, second) = now.split_once('\n').unwrap();
        let second = second.trim_end();
        assert_eq!(
            told(&[]),
            [
                format!("{first} -> 8:0 {none}"),
                format!("{second} -> 8:16 {none}")
            ]
        );
        // Of a disk that the policy names, what it does not say is lifted, and nothing else of it touched.
        assert_eq!(
            told(&[ceilings("8:16 riops=9")]),
            [
                format!("{first} -> 8:0 {none}"),
                format!("{second} -> 8:16 riops=9 rbps=max wbps=max wiops=max")
            ]
        );
        assert_eq!(
            told(&[ceilings("8:0 rbps=5"), ceilings("8:16 wbps=7")]),
            [""; 0]
        );
        // One that has no ceiling has no line.
        assert_eq!(
            told(&[
                ceilings("8:0 rbps=5"),
                ceilings("8:16 wbps=7"),
                ceilings("8:32 wbps=7")
            ]),
            ["8:32 max -> 8:32 wbps=7 rbps=max riops=max wiops=max"]
        );
        // What is lifted of a disk that the kernel has not is no lack; a ceiling is.
        let gone = Folder::new();
        let left = |value: &str| brought(&gone, &[ceilings(value)], HOW).left.len();
        assert_eq!(
            (left("8:0 rbps=max wbps=max"), left("8:0 rbps=5 wbps=max")),
            (0, 1)
        );
    }

    #[test]
    fn an_idle_cgroup_is_given_no_weight() {
        let folder = Folder::new();
        let caps = Caps {
            cpu_weight: Some(CpuWeight::Idle),
            ..Caps::default()
        };
        let all = whole(&folder.group(), &cpu::settings(&caps));
        assert!(all.iter().all(|setting| setting.file != "cpu.weight"));
        let idle = all.iter().filter(|one| one.file == "cpu.idle");
        let idle: Vec<_> = idle.map(|one| one.value.as_str()).collect();
        assert_eq!(idle, ["1"], "nor is it made busy before");
    }

    #[test]
    fn a_controller_that_is_not_there_is_told_as_the_policy_says() {
        let folder = Folder::new();
        assert_eq!(brought(&folder, &memory(8192), HOW).left.len(), 1);
        let warn = How {
            missing_controller: MissingController::Warn,
            ..HOW
        };
        let told = brought(&folder, &memory(8192), warn);
        assert_eq!((told.left.len(), told.notes.len()), (0, 1));
    }
}
