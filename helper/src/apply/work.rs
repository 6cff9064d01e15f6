//! What a policy comes to for who is logged in: users, their sessions, pools and everyone.

use std::cell::Cell;
use std::time::Duration;

use berth_config::outcome::{Caps, CgroupPlace, MissingController, Outcome};
use berth_config::{Layers, Login, Machine, Places, Policy, StateError};
use berth_session::{Applied, Backend, Group, Left, Record, Tree, UserFolder, Whose, systemd};
use nix::errno::Errno;
use nix::unistd::{Uid, User};

use super::Arguments;
use super::sessions::Own;
use crate::basis::Source;
use crate::cgroupfs::live::{UserCaps, bring_many, bring_protection};
use crate::error::{Error, Result, system};
use crate::settings::standing::make_room;
use crate::settings::{self, How, Setting};
use crate::systemd::live::{Origin, bring, bring_user};

/// What there is to go by.
pub struct Work<'a> {
    pub tree: &'a Tree,
    policy: Policy,
    machine: Machine,
    how: How,
    /// How long it still waits for locks, whoever holds how many: all others' turn comes after that.
    patience: Cell<Duration>,
}

/// A user's caps, for who sets them.
pub enum Wanted {
    Cgroupfs(UserCaps),
    Systemd(Vec<Setting>),
}

impl<'a> Work<'a> {
    /// Reads the policy and what there is of the machine.
    pub fn new(tree: &'a Tree, source: &Source, arguments: &Arguments) -> Result<Work<'a>> {
        let policy = source.policy().map_err(Error::policy)?;
        let machine = Machine::read(Some(tree.root().path())).map_err(Error::policy)?;
        Ok(Work {
            tree,
            policy,
            machine,
            how: How {
                dry_run: arguments.dry_run,
                force: arguments.force,
                missing_controller: MissingController::Warn,
            },
            patience: Cell::new(UserFolder::PATIENCE),
        })
    }

    /// The users named, or all who are logged in, and then all pools and everyone. In this order: a login that
    /// went by an older policy holds its user's lock, and has set its pool's caps when that is free.
    pub fn all(&self, only: &[u32]) -> Result<Vec<Applied>> {
        if !only.is_empty() {
            let users = only.iter().flat_map(|uid| self.user(*uid));
            let mut all: Vec<_> = users.collect();
            let failed = self.cover(only).err();
            all.extend(failed.map(|error| Applied::to(Whose::Everyone).failed(error)));
            return Ok(all);
        }
        let mut all: Vec<_> = UserFolder::uids()?
            .into_iter()
            .flat_map(|uid| self.user(uid))
            .collect();
        if all.is_empty() {
            return Ok(all); // What nobody is under is made anew at the next login.
        }
        all.extend(self.tree.pools()?.into_iter().map(|pool| self.pool(pool)));
        all.push(self.everyone());
        Ok(all)
    }

    /// A user who logs in, and what they are in. Nobody would bring these caps later, so their lock is waited for as long as
    /// any module waits; but not for ever, as there may be no module any more.
    pub fn around(&self, uid: u32) -> Result<Vec<Applied>> {
        self.patience.set(Duration::from_secs(60));
        let mut all = self.user(uid);
        let pool = self.tree.existing_user(uid)?;
        let pool = pool.and_then(|group| self.tree.pool_of(&group));
        all.extend(pool.map(|pool| self.pool(pool)));
        all.push(self.everyone());
        Ok(all)
    }

    /// One user, and those of their sessions of which there is something to tell; nothing where they are not logged in and
    /// nothing of theirs goes on.
    fn user(&self, uid: u32) -> Vec<Applied> {
        let records = UserFolder::records_of(uid);
        let user = |name| Whose::User { name, uid };
        let name = match records.first() {
            Some(first) => first.user.clone(),
            None if !systemd::goes_on(uid) => return Vec::new(),
            None => match name_of(uid) {
                Ok(name) => name,
                Err(error) => return vec![Applied::to(user(uid.to_string())).failed(error)],
            },
        };
        let mut told = Applied::to(user(name.clone()));
        let mut of_sessions = Vec::new();
        match self.bring_user((uid, &name), &records, &mut told, &mut of_sessions) {
            Ok(()) => {}
            // Gone in the middle: no error, and nothing to tell.
            Err(_) if UserFolder::records_of(uid).is_empty() && !systemd::goes_on(uid) => {
                return Vec::new();
            }
            Err(error) => told = told.failed(error),
        }
        of_sessions.retain(|one| *one != Applied::to(one.whose.clone()));
        of_sessions.insert(0, told);
        of_sessions
    }

    fn bring_user(
        &self,
        (uid, name): (u32, &str),
        records: &[Record],
        told: &mut Applied,
        of_sessions: &mut Vec<Applied>,
    ) -> Result<()> {
        let decided = self.decided(name, records, told)?;
        let Some((caps, how)) = self.caps_of(&decided, told) else {
            return Ok(());
        };
        let own = self.own_caps(decided)?;
        // Before the lock: what is behind a path may be a file server.
        let wanted = match self.tree.backend() {
            Backend::Cgroupfs => Wanted::Cgroupfs(UserCaps::new(&caps, self.tree)?),
            Backend::Systemd => Wanted::Systemd(settings::of(&caps, self.tree)?),
        };
        // Where it is a look only no folder is made, and no login held up; but what systemd had before stands in the folder.
        let folder = match (&wanted, how.dry_run) {
            (Wanted::Cgroupfs(_), true) => None,
            _ => Some(UserFolder::lock_within(uid, &self.patience)?),
        };
        if let Some(folder) = &folder {
            // Whoever came meanwhile has their caps from their own login.
            let is_as_before = folder.sessions()?.is_empty() == records.is_empty();
            if !is_as_before || records.is_empty() && !systemd::goes_on(uid) {
                return Ok(folder.remove_if_empty()?);
            }
        }
        match (&wanted, &folder) {
            (Wanted::Cgroupfs(user), _) => user.bring(self.tree, uid, how, told)?,
            (Wanted::Systemd(settings), Some(folder)) => {
                // Read again under the lock: a login may have come meanwhile, and the slices of all need not be looked through.
                let records = UserFolder::records_of(uid).into_iter();
                let pools: Vec<_> = records.filter_map(|record| record.pool).collect();
                bring_user(self.tree, folder, (uid, &pools), settings, how, told)?;
            }
            (Wanted::Systemd(_), None) => {} // it has the lock
        }
        let bring = |one: &Own<'_>| one.bring(self.tree, &wanted, how);
        of_sessions.extend(own.iter().filter_map(bring));
        Ok(())
    }

    /// What the policy says of each of a user's sessions; where there is none, of a login by ssh.
    fn decided<'r>(
        &self,
        name: &str,
        records: &'r [Record],
        told: &mut Applied,
    ) -> Result<Vec<(Option<&'r Record>, Outcome)>> {
        let login = Login::of(name).map_err(Error::policy)?;
        let layers = Layers::in_force(&Places::system(), &login, &self.machine, |_, error| {
            let reason = format!("it counts for nothing: {error}");
            match error {
                // No cap of this user's is left as it was.
                StateError::Another { .. } => told.notes.push(reason),
                _ => told.left.push(Left { cap: None, reason }),
            }
        });
        let decide = |record: Option<&'r Record>| {
            let login = match record {
                Some(record) => login.through(record.door()),
                None => login.by_ssh(),
            };
            let decision = self.policy.decide_with(&login, &self.machine, &layers);
            Ok((record, decision.map_err(Error::policy)?.outcome))
        };
        match records {
            [] => Ok(vec![decide(None)?]),
            all => all.iter().map(|record| decide(Some(record))).collect(),
        }
    }

    /// A user's caps by the policy; `None` where they are not to be touched.
    fn caps_of(
        &self,
        decided: &[(Option<&Record>, Outcome)],
        told: &mut Applied,
    ) -> Option<(Caps, How)> {
        let mut denied = false;
        let mut kept = false;
        let mut on_trial = false;
        for (_, outcome) in decided {
            match outcome {
                Outcome::Berth(berth) if berth.cgroup == CgroupPlace::Keep => kept = true,
                // This session alone is on trial: it takes nothing from what the others have.
                Outcome::Berth(berth) if !berth.enforce => on_trial = true,
                Outcome::Berth(berth) => {
                    let how = How {
                        missing_controller: berth.missing_controller,
                        ..self.how
                    };
                    return Some((berth.user_caps.clone(), how));
                }
                Outcome::Deny { .. } => denied = true,
                Outcome::Exempt => {}
            }
        }
        if denied || kept && !on_trial {
            // To lift the caps of somebody who is let in no more would be the wrong way round.
            told.notes.push(match denied {
                true => "the policy denies them by now: caps stay until they log out".into(),
                false => {
                    "the policy has cgroup = \"keep\" by now: caps stay until they log out".into()
                }
            });
            return None;
        }
        if !on_trial {
            told.notes
                .push("the policy exempts them by now: no caps".into());
        }
        Some((Caps::default(), self.how))
    }

    /// Has what users are in cover what protects them.
    fn cover(&self, uids: &[u32]) -> Result<()> {
        if self.tree.backend() != Backend::Cgroupfs || self.how.dry_run {
            return Ok(());
        }
        let mut done = Ok(());
        for group in above(self.tree, uids)? {
            let pool = self.tree.pool_of(&group);
            let caps = self.policy.caps_of_many(pool.as_deref(), &self.machine);
            let covered = match caps.map_err(Error::policy)? {
                Some(caps) => bring_protection(&group, &settings::of(&caps, self.tree)?),
                None => Ok(()), // Its caps stay.
            };
            if group.exists() {
                done = done.and(covered);
            }
        }
        done
    }

    fn pool(&self, name: String) -> Applied {
        let told = Applied::to(Whose::Pool(name.clone()));
        let group = self.tree.pool(&name);
        self.many(Some(&name), &group, told)
    }

    fn everyone(&self) -> Applied {
        self.many(None, &self.tree.everyone(), Applied::to(Whose::Everyone))
    }

    fn many(&self, pool: Option<&str>, group: &Group, mut told: Applied) -> Applied {
        let mut brought = || {
            let caps = self.policy.caps_of_many(pool, &self.machine);
            let Some(caps) = caps.map_err(Error::policy)? else {
                told.notes.push(
                    "the policy has no such pool: its caps stay until its users log out".into(),
                );
                return Ok(());
            };
            let settings = settings::of(&caps, self.tree)?;
            match (self.tree.backend(), pool) {
                _ if !group.exists() => Ok(()),
                (Backend::Cgroupfs, _) => bring_many(group, &settings, self.how, &mut told),
                (Backend::Systemd, Some(_)) => {
                    let origin = Origin::Transient;
                    bring(self.tree, group, origin, &settings, self.how, &mut told)
                }
                (Backend::Systemd, None) => {
                    // Each login waits for this lock. Most of what has to be let go is, by the time that it is taken.
                    for setting in &settings {
                        make_room(group, setting, self.how.lowering());
                    }
                    let folder = UserFolder::lock_everyone()?;
                    let origin = Origin::Before(&folder);
                    bring(self.tree, group, origin, &settings, self.how, &mut told)?;
                    Ok(folder.remove_if_empty()?)
                }
            }
        };
        match brought() {
            Ok(()) => told,
            Err(_) if !group.exists() => told, // Gone with its last user.
            Err(error) => told.failed(error),
        }
    }
}

/// The cgroups that users are in, the inner ones first. Each once, whatever their number: it covers the sum of all in it.
fn above(tree: &Tree, uids: &[u32]) -> Result<Vec<Group>> {
    let pools = tree.pools()?;
    let users = uids.iter();
    let users = users.filter_map(|uid| tree.existing_user_of(&pools, *uid).transpose());
    let users: Vec<_> = users.collect::<std::result::Result<_, _>>()?;
    let mut above: Vec<_> = users
        .iter()
        .flat_map(|user| tree.line_to(user).into_iter().rev().skip(1))
        .collect();
    above.sort_by(|one, other| other.path().cmp(one.path()));
    above.dedup();
    Ok(above)
}

/// The name of a user who has no session that says it.
fn name_of(uid: u32) -> Result<String> {
    let action = format!("look up UID {uid}, of whom something goes on after the last logout");
    match User::from_uid(Uid::from_raw(uid)) {
        Ok(Some(user)) => Ok(user.name),
        Ok(None) => Err(system(action)(Errno::ENOENT)),
        Err(errno) => Err(system(action)(errno)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::folder::Folder;

    #[test]
    fn of_many_users_each_cgroup_that_they_are_in_is_looked_at_once() {
        let users = ["pool-p/user-1001", "user-1002", "pool-p/user-1003"];
        let files = users.map(|user| format!("berth/{user}/memory.low"));
        let root = Folder::with(&files.each_ref().map(|file| (&**file, "0")));
        let tree = root.tree(Backend::Cgroupfs);
        let above = above(&tree, &[1001, 1002, 1003, 1004]).unwrap();
        assert_eq!(above, [tree.pool("p"), tree.everyone()]);
    }
}
