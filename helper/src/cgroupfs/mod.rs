//! A session's cgroup, and the caps on it and on its user's (cgroupfs backend).

pub mod live;
mod protection;
mod subtree;

pub use subtree::ASIDE;

use berth_config::outcome::MissingController;
use berth_session::{Group, SessionId, Tree};

use crate::caps::pool_of_earlier;
use crate::decide::Planned;
use crate::error::{Error, Result};
use crate::settings::standing::{self, Lowering, Standing};
use crate::settings::{self, Setting, UserTasks, but_tasks, cap_error, of_this_kernel};

/// The caps of one login, ready to be written. Made before any lock is taken: finding the disk behind
/// a path may wait for a file server.
#[derive(Debug)]
pub struct Plan {
    uid: u32,
    everyone: Vec<Setting>,
    pool: Option<(String, Vec<Setting>)>,
    user: Vec<Setting>,
    session: Vec<Setting>,
    /// What the user has that the cgroups below must have too: all sessions', and this one's.
    sessions_inherited: Vec<Setting>,
    session_inherited: Vec<Setting>,
    tasks: UserTasks,
    missing_controller: MissingController,
}

/// A session's place in the tree.
#[derive(Debug)]
pub struct Place {
    pub group: Group,
    /// Caps that are not in force, one line each, where the policy says to go on without them.
    pub missing: Vec<String>,
}

impl Plan {
    /// Works the caps out for this tree.
    pub fn new(tree: &Tree, planned: &Planned) -> Result<Plan> {
        let pool = planned.pool.as_ref();
        let pool =
            pool.map(|(name, caps)| Ok::<_, Error>((name.clone(), settings::of(caps, tree)?)));
        let berth = &planned.berth;
        let user = but_tasks(&berth.user_caps, tree)?;
        let session = settings::of(&berth.session_caps, tree)?;
        Ok(Plan {
            uid: planned.login.uid,
            everyone: but_tasks(&planned.everyone_caps, tree)?,
            pool: pool.transpose()?,
            sessions_inherited: protection::inherited(&user, &[]),
            session_inherited: protection::inherited(&user, &session),
            user,
            session,
            tasks: UserTasks::of(&berth.user_caps),
            missing_controller: berth.missing_controller,
        })
    }

    /// Makes the session's cgroup and everything above it, and sets the caps. The caller holds the
    /// lock on the user's folder.
    pub fn carry_out(&self, tree: &Tree, id: SessionId) -> Result<Place> {
        let pool = self.pool.as_ref().map(|(name, _)| name.as_str());
        let wanted = tree.user_in(pool, self.uid);
        let user = tree.existing_user(self.uid)?.unwrap_or(wanted.clone());
        let line = tree.line_to(&user);
        create(&line)?;
        let available = subtree::open(&line, tree)?;
        let mut writer = Writer {
            available: &available,
            missing_controller: self.missing_controller,
            missing: Vec::new(),
        };
        writer.write_all("everyone", &tree.everyone(), &self.everyone)?;
        let mut pool_above = None;
        if user != wanted {
            let earlier = tree.pool_of(&user);
            let missing = pool_of_earlier(pool, earlier.as_deref());
            writer.missing.push(missing);
        } else if let Some((name, settings)) = &self.pool {
            let group = tree.pool(name);
            writer.write_all(&format!("pool {name}"), &group, settings)?;
            pool_above = Some((group, settings));
        }
        let whom = format!("user {}", self.uid);
        writer.write_all(&whom, &user, &self.user)?;
        writer.write_all(&whom, &user, self.tasks.with_reserve().as_slice())?;
        let mut below = self.user.clone();
        if let Some((group, settings)) = pool_above {
            protection::cover(&group, &below, settings)?;
            below.extend(settings.iter().cloned());
        }
        protection::cover(&tree.everyone(), &below, &self.everyone)?;

        let [sessions, rescue] = Tree::parts(&user);
        sessions.create()?;
        writer.write_all(&whom, &sessions, self.tasks.cap().as_slice())?;
        let part = if self.tasks.are_used_up(&sessions) {
            rescue.create()?;
            writer.write_all(&whom, &rescue, self.tasks.reserve().as_slice())?;
            rescue
        } else {
            sessions
        };
        writer.write_all(&whom, &part, &self.sessions_inherited)?;
        subtree::enable(&part, &available)?;

        let group = part.child(&id.to_string());
        group.create()?;
        writer.write_all(&whom, &group, &self.session_inherited)?;
        writer.write_all(&format!("session {id}"), &group, &self.session)?;
        Ok(Place {
            group,
            missing: writer.missing,
        })
    }
}

/// Makes a line of cgroups, each the parent of the next. The last logout of another user removes those that
/// are empty, perhaps just before the next one is made in it; past this, it is empty no more.
fn create(line: &[Group]) -> Result<()> {
    let mut tries = 0..100;
    loop {
        match line.iter().try_for_each(Group::create) {
            Err(error) if error.is_not_found() && tries.next().is_some() => {}
            created => return Ok(created?),
        }
    }
}

/// Writes settings, and keeps account of those that cannot be had.
struct Writer<'a> {
    available: &'a subtree::Available,
    missing_controller: MissingController,
    missing: Vec<String>,
}

impl Writer<'_> {
    fn write_all(&mut self, whom: &str, group: &Group, settings: &[Setting]) -> Result<()> {
        of_this_kernel(group, settings).try_for_each(|setting| self.write(whom, group, setting))
    }

    fn write(&mut self, whom: &str, group: &Group, setting: &Setting) -> Result<()> {
        let reason = match self.available.reason_against(setting.controller) {
            Some(reason) => reason,
            None => match standing::make_room(group, setting, Lowering::LetGo) {
                // What is in force already is not written again: the kernel may take its time over it.
                Standing::Same => return Ok(()),
                Standing::InUse(reason) => {
                    let left = cap_error(whom, setting, reason);
                    self.missing.push(left.to_string());
                    return Ok(());
                }
                Standing::Unknown(reason) => return Err(cap_error(whom, setting, reason)),
                // The kernel takes the value or refuses it; a refused value is an error in any case.
                Standing::Differs(_) => {
                    return wake(group, setting)
                        .and_then(|()| group.write(setting.file, &setting.value))
                        .map_err(|error| cap_error(whom, setting, error.to_string()));
                }
                Standing::NoFile => {
                    let (file, place) = (setting.file, group.path().display());
                    format!("this kernel has no {file} in {place}")
                }
            },
        };
        let missing = cap_error(whom, setting, reason);
        match self.missing_controller {
            MissingController::Deny => Err(missing),
            MissingController::Warn => {
                let missing = missing.to_string();
                if !self.missing.contains(&missing) {
                    self.missing.push(missing);
                }
                Ok(())
            }
        }
    }
}

/// Makes a cgroup that an older policy has made idle an ordinary one: the kernel refuses it a weight.
fn wake(group: &Group, setting: &Setting) -> berth_session::Result<()> {
    match setting.file == "cpu.weight" && group.number("cpu.idle") == Some(1) {
        true => group.write("cpu.idle", "0"),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests;
