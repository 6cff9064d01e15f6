//! The caps on a machine that systemd runs: it is asked to set them, and nothing is written to its cgroups.

mod here;
mod in_force;
pub mod live;
mod pool;
mod properties;
mod tasks;

use std::time::{Duration, Instant};

use berth_config::outcome::MissingController;
use berth_session::systemd::{self, Bus, Property, Value};
use berth_session::{Group, Record, SessionId, Tree, UserFolder};

use crate::caps::pool_of_earlier;
use crate::decide::Planned;
use crate::error::{Error, Result};
use crate::leader::Leader;
use crate::settings::{self, Setting};
use here::{Here, here};
use in_force::State;

/// How long it may take from systemd's yes to the kernel's files: an event loop's turn.
const EFFECT: Duration = Duration::from_secs(2);

/// The caps of one login, ready to be asked for.
#[derive(Debug)]
pub struct Plan {
    uid: u32,
    everyone: Vec<Setting>,
    pool: Option<(String, Vec<Setting>)>,
    user: Vec<Setting>,
    session: Vec<Setting>,
    counts_io: bool,
    missing_controller: MissingController,
}

/// How the application comes to be in its session's cgroup.
#[derive(Debug)]
enum Way {
    /// logind has put it there.
    IsThere,
    /// A scope of Berth's is started with it.
    Scope(String),
    /// It stays where it is, in a cgroup of its user's that is not one session's.
    Stays,
}

#[derive(Debug)]
pub struct Place {
    /// The session's cgroup, where it has one of its own.
    pub group: Option<Group>,
    /// Caps that are not in force, one line each, where the policy says to go on without them.
    pub missing: Vec<String>,
    way: Way,
    /// What systemd makes with the scope, where it is not there.
    slices: Vec<pool::Slice>,
    session: Vec<Setting>,
    /// Whether the session's I/O is to be counted, which systemd does not do by itself.
    counts_io: bool,
    /// What is to be in force in the end: whose it is, where, and what.
    asked: Vec<(String, Group, Vec<Setting>)>,
    missing_controller: MissingController,
}

impl Plan {
    /// Works the caps out for this tree.
    pub fn new(tree: &Tree, planned: &Planned) -> Result<Plan> {
        let berth = &planned.berth;
        let pool = planned.pool.as_ref();
        let pool =
            pool.map(|(name, caps)| Ok::<_, Error>((name.clone(), settings::of(caps, tree)?)));
        Ok(Plan {
            uid: planned.login.uid,
            everyone: settings::of(&planned.everyone_caps, tree)?,
            pool: pool.transpose()?,
            user: settings::of(&berth.user_caps, tree)?,
            session: settings::of(&berth.session_caps, tree)?,
            counts_io: planned.accounting.file.is_some(),
            missing_controller: berth.missing_controller,
        })
    }

    /// Has systemd set the caps of all users and of this one, unless they are in force. The caller holds
    /// the lock on the user's folder.
    pub fn carry_out(
        &self,
        tree: &Tree,
        id: SessionId,
        leader: &Leader,
        folder: &UserFolder,
    ) -> Result<Place> {
        let mut missing = Vec::new();
        let but_in_use = settings::but_in_use;
        let everyone = but_in_use("everyone", &tree.everyone(), &self.everyone, &mut missing)?;
        if !everyone.is_empty() {
            // No last logout comes in between the look and the change.
            let folder = UserFolder::lock_everyone()?;
            set(tree, &folder, &tree.everyone(), &everyone)?;
        }
        let own = tree.user_in(None, self.uid);
        let here = here(tree, &own, leader)?;
        let pool = match (&here, &self.pool) {
            (Here::InAnotherUnit, Some((name, _))) => {
                missing.push(format!(
                    "pool {name}: it is in a unit of the user's service manager"
                ));
                None
            }
            (Here::InAnotherUnit, None) => None,
            _ => self.pool_of_session(id, folder, &mut missing)?,
        };
        let slice = tree.user_in(pool.as_deref(), self.uid);
        let name = scope(id);
        let (group, way) = match here {
            Here::InItsSession(group) if pool.is_none() => (Some(group), Way::IsThere),
            Here::InAnotherUnit => (None, Way::Stays),
            _ => (Some(slice.child(&name)), Way::Scope(name)),
        };
        let whom = format!("user {}", self.uid);
        let user = tasks::with_room(&slice, folder, group.as_ref(), &self.user)?;
        let is_rescue = user != self.user;
        let user = but_in_use(&whom, &slice, &user, &mut missing)?;
        let mut asked = vec![("everyone".into(), tree.everyone(), everyone)];
        let mut slices = Vec::new();
        if let Some(name) = &pool {
            // What the user's service manager runs is outside of the pool, and under the same caps.
            let outside = format!("{whom} outside of pool {name}");
            let outside = but_in_use(&outside, &own, &self.user, &mut missing)?;
            set(tree, folder, &own, &outside)?;
            if let Some((_, caps)) = self.pool.as_ref().filter(|(wanted, _)| wanted == name) {
                let (whom, group) = (format!("pool {name}"), tree.pool(name));
                let caps = but_in_use(&whom, &group, caps, &mut missing)?;
                slices.push(pool::Slice::of_pool(tree, name, &caps));
                asked.push((whom, group, caps));
            }
            slices.push(pool::Slice::of_user(slice.clone(), user.clone()));
            for slice in slices.iter().filter(|slice| slice.group.exists()) {
                slice.set(tree)?;
            }
        } else {
            set(tree, folder, &slice, &user)?;
        }
        if !is_rescue {
            systemd::give_back(tree, folder, self.uid)?;
        }
        asked.push((whom, slice, user));
        if let Some(group) = &group {
            asked.push((format!("session {id}"), group.clone(), self.session.clone()));
        }
        Ok(Place {
            group,
            missing,
            way,
            slices,
            session: self.session.clone(),
            counts_io: self.counts_io,
            asked,
            missing_controller: self.missing_controller,
        })
    }

    /// The pool of a session: that of the user's earlier ones, if there are any.
    fn pool_of_session(
        &self,
        id: SessionId,
        folder: &UserFolder,
        missing: &mut Vec<String>,
    ) -> Result<Option<String>> {
        let others = folder.sessions()?.into_iter().filter(|other| *other != id);
        let mut records = others.filter_map(|id| Record::read(id).ok());
        // One without a cgroup is in a unit of the user's service manager, or has got nowhere yet.
        let first = records.find(|one| one.cgroup.is_some());
        let wanted = self.pool.as_ref().map(|(name, _)| name);
        let pool = match &first {
            Some(first) => first.pool.as_ref(),
            None => wanted,
        };
        if pool != wanted {
            let [wanted, pool] = [wanted, pool].map(|pool| pool.map(String::as_str));
            missing.push(pool_of_earlier(wanted, pool));
        }
        Ok(pool.cloned())
    }

    /// Has systemd know the user's caps before the session is there, so that they hold from its first
    /// process on.
    pub fn ahead(&self, tree: &Tree) -> Result<()> {
        let slice = tree.user_in(None, self.uid);
        if slice.exists() || self.user.is_empty() {
            return Ok(()); // The session's turn sees to it.
        }
        let folder = lock_patiently(self.uid)?;
        // Whoever is killed before there is a session leaves them to the timer.
        systemd::mark_as_going_on(&folder)?;
        set(tree, &folder, &slice, &self.user)
    }
}

/// Whether a service manager of the user's runs that Berth has not put into a berth.
pub fn has_manager_outside(tree: &Tree, uid: u32) -> bool {
    let slice = tree.user_in(None, uid);
    let manager = slice.child(&format!("user@{uid}.service"));
    let in_berth = |record: &Record| !record.is_login() && record.init.is_some();
    manager.is_populated() && !UserFolder::records_of(uid).iter().any(in_berth)
}

/// Takes back what [`Plan::ahead`] has set, if no session came of it.
pub fn take_back(tree: &Tree, uid: u32) -> Result<()> {
    Ok(systemd::take_back(tree, lock_patiently(uid)?, uid)?)
}

/// For what can be left to the session, or to the timer: where the lock is never let go, each login would leave a process.
fn lock_patiently(uid: u32) -> Result<UserFolder> {
    let until = Instant::now() + UserFolder::PATIENCE;
    Ok(UserFolder::lock_until(uid, until)?)
}

/// Sets the caps of a slice, unless they are in force.
fn set(tree: &Tree, folder: &UserFolder, slice: &Group, settings: &[Setting]) -> Result<()> {
    let properties = properties::of(settings);
    if !is_in_force(tree, systemd::DROP_INS, slice, settings, &properties) {
        systemd::set_caps(&mut Bus::connect()?, folder, slice.name(), &properties)?;
    }
    Ok(())
}

/// Whether the kernel has these settings, and systemd will not forget their properties: it writes them down in
/// `folder`.
fn is_in_force(
    tree: &Tree,
    folder: &str,
    slice: &Group,
    settings: &[Setting],
    properties: &[Property],
) -> bool {
    let in_force = |setting: &Setting| in_force::look(tree, slice, setting) == State::InForce;
    systemd::is_set(folder, slice.name(), properties)
        && settings::of_this_kernel(slice, settings).all(in_force)
}

impl Place {
    /// Puts the application into its session's cgroup, sets that one's caps, and waits until all caps are
    /// in force.
    pub fn take_in(&mut self, tree: &Tree, leader: &Leader) -> Result<()> {
        let mut properties = properties::of(&self.session);
        if self.counts_io {
            properties.push(Property::new("IOAccounting", Value::Flag(true)));
        }
        match (&self.group, &self.way) {
            (Some(group), Way::Scope(name)) => {
                start_scope(tree, group, name, leader, properties, &self.slices)?;
                self.slices.iter().try_for_each(|slice| slice.set(tree))?;
            }
            (Some(group), _) if !properties.is_empty() => {
                let set = Bus::connect().and_then(|mut bus| bus.set(group.name(), &properties));
                match set {
                    // No login fails for want of a figure.
                    Err(error) if self.session.is_empty() => self
                        .missing
                        .push(format!("the session's I/O is not counted: {error}")),
                    set => set?,
                }
            }
            (None, _) if !self.session.is_empty() => self.missing.push(
                "caps of the session: it is not in a cgroup of its own, but in its user's".into(),
            ),
            _ => {}
        }
        let until = Instant::now() + EFFECT;
        for (whom, group, settings) in &self.asked {
            let missing = self.wait_for(tree, group, whom, settings, until)?;
            self.missing.extend(missing);
        }
        Ok(())
    }

    /// Waits until settings are in force. Says which are not, if the policy lets the login go on without.
    fn wait_for(
        &self,
        tree: &Tree,
        group: &Group,
        whom: &str,
        settings: &[Setting],
        until: Instant,
    ) -> Result<Vec<String>> {
        let mut missing = Vec::new();
        for setting in settings::of_this_kernel(group, settings) {
            let Some(reason) = in_force::wait(tree, group, setting, until) else {
                continue;
            };
            let error = settings::cap_error(whom, setting, reason);
            match self.missing_controller {
                MissingController::Deny => return Err(error),
                MissingController::Warn => missing.push(error.to_string()),
            }
        }
        Ok(missing)
    }
}

/// What a scope of Berth's is called.
pub fn scope(id: SessionId) -> String {
    format!("berth-{id}.scope")
}

/// Has systemd make a scope with the application in it, and waits until it is there.
fn start_scope(
    tree: &Tree,
    group: &Group,
    name: &str,
    leader: &Leader,
    caps: Vec<Property>,
    slices: &[pool::Slice],
) -> Result<()> {
    let pid = leader.role().pid;
    let slice = group.parent().unwrap_or_else(|| group.clone());
    let text = |name, text: &str| Property::new(name, Value::Text(text.into()));
    let mut properties = vec![
        text("Description", "A login with Berth"),
        text("Slice", slice.name()),
        // It goes when it is empty, whatever has become of its processes.
        text("CollectMode", "inactive-or-failed"),
        Property::new("PIDs", Value::Processes(vec![pid.unsigned_abs()])),
        // The user's count, and the session's where the policy says so; not systemd's default.
        Property::new("TasksMax", Value::Number(u64::MAX)),
    ];
    properties.extend(caps);
    let until = Instant::now() + EFFECT;
    loop {
        let missing = slices.iter().filter(|slice| !slice.group.exists());
        let missing: Vec<_> = missing.map(pool::Slice::to_be_made).collect();
        for (slice, _) in &missing {
            // Of one that went between a login's look and what it asked for: systemd took it for an ordinary one.
            systemd::forget_unit(slice);
        }
        let mut bus = Bus::connect()?;
        // Past the connection, for which it may have had to wait.
        leader.check()?;
        match bus.start_scope(name, &properties, &missing) {
            // Another login has just made the slice, or it has just gone with its last one and systemd has
            // not forgotten it yet.
            Err(error) if error.is_unit_exists() && Instant::now() < until => {
                std::thread::sleep(Duration::from_millis(2));
            }
            started => break started?,
        }
    }
    // From its answer on, for which it may take longer: while it reloads it gives none.
    let until = Instant::now() + EFFECT;
    while !tree.is_in(pid, group) {
        if Instant::now() > until {
            return Err(Error::Cap {
                cap: "the session's scope".into(),
                whom: format!("process {pid}"),
                reason: format!("systemd has not put it into {name} after {EFFECT:?}"),
            });
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
