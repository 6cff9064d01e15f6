//! The caps on a machine that systemd runs: it is asked to set them, and nothing is written to its cgroups.

mod in_force;
mod properties;
mod tasks;

use std::fs;
use std::time::{Duration, Instant};

use berth_config::outcome::MissingController;
use berth_session::systemd::{self, Bus, Property, Value};
use berth_session::{Group, SessionId, Tree, UserFolder};

use crate::cgroup::{self, Setting};
use crate::decide::Planned;
use crate::error::{Error, Result};
use crate::leader::Leader;
use in_force::State;

/// How long it may take from systemd's yes to the kernel's files: an event loop's turn.
const EFFECT: Duration = Duration::from_secs(2);

/// The caps of one login, ready to be asked for.
#[derive(Debug)]
pub struct Plan {
    uid: u32,
    everyone: Vec<Setting>,
    user: Vec<Setting>,
    session: Vec<Setting>,
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

/// A session's place.
#[derive(Debug)]
pub struct Place {
    /// The session's cgroup, where it has one of its own.
    pub group: Option<Group>,
    /// Caps that are not in force, one line each, where the policy says to go on without them.
    pub missing: Vec<String>,
    way: Way,
    session: Vec<Setting>,
    /// What is to be in force in the end: whose it is, where, and what.
    asked: Vec<(String, Group, Vec<Setting>)>,
    missing_controller: MissingController,
}

impl Plan {
    /// Works the caps out for this tree.
    pub fn new(tree: &Tree, planned: &Planned) -> Result<Plan> {
        if let Some((pool, _)) = &planned.pool {
            return Err(Error::Unsupported(format!(
                "pools under systemd (this user is in {pool})"
            )));
        }
        let berth = &planned.berth;
        Ok(Plan {
            uid: planned.login.uid,
            everyone: cgroup::settings(&planned.everyone_caps, tree)?,
            user: cgroup::settings(&berth.user_caps, tree)?,
            session: cgroup::settings(&berth.session_caps, tree)?,
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
        if !self.everyone.is_empty() {
            // No last logout comes in between the look and the change.
            let folder = UserFolder::lock_everyone()?;
            set(tree, &folder, &tree.berth(), &self.everyone)?;
        }
        let slice = tree.user(self.uid);
        let (group, way) = place(tree, &slice, id, leader);
        let user = tasks::with_room(tree, &slice, group.as_ref(), &self.user)?;
        set(tree, folder, &slice, &user)?;
        let mut asked = vec![
            ("everyone".into(), tree.berth(), self.everyone.clone()),
            (format!("user {}", self.uid), slice, user),
        ];
        if let Some(group) = &group {
            asked.push((format!("session {id}"), group.clone(), self.session.clone()));
        }
        Ok(Place {
            group,
            missing: Vec::new(),
            way,
            session: self.session.clone(),
            asked,
            missing_controller: self.missing_controller,
        })
    }

    /// Has systemd know the user's caps before the session is there, so that they hold from its first
    /// process on.
    pub fn ahead(&self, tree: &Tree) -> Result<()> {
        let slice = tree.user(self.uid);
        if slice.exists() || self.user.is_empty() {
            return Ok(()); // The session's turn sees to it.
        }
        let folder = UserFolder::lock(self.uid)?;
        set(tree, &folder, &slice, &self.user)
    }
}

/// Takes back what [`Plan::ahead`] has set, if no session came of it.
pub fn take_back(tree: &Tree, uid: u32) -> Result<()> {
    let folder = UserFolder::lock(uid)?;
    systemd::take_back(tree, &folder, uid)?;
    Ok(folder.remove_if_empty()?)
}

/// Sets the caps of a slice, unless they are in force.
fn set(tree: &Tree, folder: &UserFolder, slice: &Group, settings: &[Setting]) -> Result<()> {
    let properties = properties::of(settings);
    let is_in_force = |setting: &Setting| in_force::look(tree, slice, setting) == State::InForce;
    let all_in_force = systemd::is_set(slice.name(), &properties)
        && cgroup::of_this_kernel(slice, settings).all(is_in_force);
    if !properties.is_empty() && !all_in_force {
        systemd::set_caps(&mut Bus::connect()?, folder, slice.name(), &properties)?;
    }
    Ok(())
}

/// Where the application is or is to be, and how it gets there.
fn place(tree: &Tree, slice: &Group, id: SessionId, leader: &Leader) -> (Option<Group>, Way) {
    let pid = leader.role().pid;
    if let Some(here) = tree.of_process(pid) {
        let is_users = here.path().starts_with(slice.path());
        if is_users && is_session_of(&here, pid) {
            return (Some(here), Way::IsThere);
        }
        // A unit of the user's service manager, or the manager itself: it must not be torn out of there.
        if is_users && !here.name().ends_with(".scope") {
            return (None, Way::Stays);
        }
    }
    let name = format!("berth-{id}.scope");
    (Some(slice.child(&name)), Way::Scope(name))
}

/// Whether this is the scope of a session that logind has made for this very process. In another's (su
/// typed in a session) it would be killed with that, and that with it.
fn is_session_of(group: &Group, pid: i32) -> bool {
    let id = group.name().strip_prefix("session-");
    let id = id.and_then(|id| id.strip_suffix(".scope"));
    let Some(id) = id.filter(|id| !id.is_empty()) else {
        return false;
    };
    // As sd_session_get_leader(3) reads it.
    let session = fs::read_to_string(format!("/run/systemd/sessions/{id}"));
    let session = session.unwrap_or_default();
    let leader = session
        .lines()
        .find_map(|line| line.strip_prefix("LEADER="));
    leader.and_then(|leader| leader.parse().ok()) == Some(pid)
}

impl Place {
    /// Puts the application into its session's cgroup, sets that one's caps, and waits until all caps are
    /// in force.
    pub fn take_in(&mut self, tree: &Tree, leader: &Leader) -> Result<()> {
        let properties = properties::of(&self.session);
        match (&self.group, &self.way) {
            (Some(group), Way::Scope(name)) => {
                start_scope(tree, group, name, leader, properties)?;
            }
            (Some(group), _) if !properties.is_empty() => {
                Bus::connect()?.set(group.name(), &properties)?;
            }
            (None, _) if !properties.is_empty() => self.missing.push(
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
        for setting in cgroup::of_this_kernel(group, settings) {
            let reason = loop {
                match in_force::look(tree, group, setting) {
                    State::InForce => break None,
                    State::Impossible(reason) => break Some(reason),
                    State::Awaited(reason) if Instant::now() > until => break Some(reason),
                    State::Awaited(_) => std::thread::sleep(Duration::from_millis(1)),
                }
            };
            let Some(reason) = reason else { continue };
            let error = Error::Cap {
                cap: setting.cap.into(),
                whom: whom.into(),
                reason,
            };
            match self.missing_controller {
                MissingController::Deny => return Err(error),
                MissingController::Warn => missing.push(error.to_string()),
            }
        }
        Ok(missing)
    }
}

/// Has systemd make a scope with the application in it, and waits until it is there.
fn start_scope(
    tree: &Tree,
    group: &Group,
    name: &str,
    leader: &Leader,
    caps: Vec<Property>,
) -> Result<()> {
    let pid = leader.role().pid;
    let slice = tree.line_to(group).into_iter().nth(1);
    let slice = slice.as_ref().map(Group::name).unwrap_or_default();
    let text = |name, text: &str| Property::new(name, Value::Text(text.into()));
    let mut properties = vec![
        text("Description", "A login with Berth"),
        text("Slice", slice),
        // It goes when it is empty, whatever has become of its processes.
        text("CollectMode", "inactive-or-failed"),
        Property::new("PIDs", Value::Processes(vec![pid.unsigned_abs()])),
        // The user's count, and the session's where the policy says so; not systemd's default.
        Property::new("TasksMax", Value::Number(u64::MAX)),
    ];
    properties.extend(caps);
    Bus::connect()?.start_scope(name, &properties)?;
    let until = Instant::now() + EFFECT;
    while tree.of_process(pid).as_ref() != Some(group) {
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
