//! The caps of a login, and its place among the cgroups: one interface for both who manage those.

use berth_session::{Backend, Group, SessionId, Tree, UserFolder};

use crate::decide::Planned;
use crate::error::Result;
use crate::leader::Leader;
use crate::{cgroupfs, systemd};

/// The caps of one login, worked out before any lock is taken.
#[derive(Debug)]
pub enum Plan {
    /// Berth writes them.
    Cgroupfs(Box<cgroupfs::Plan>),
    /// systemd is asked for them.
    Systemd(systemd::Plan),
}

/// A session's place, with the user's caps in force.
#[derive(Debug)]
pub enum Place {
    /// A cgroup that Berth has made.
    Cgroupfs(cgroupfs::Place),
    /// A unit of systemd's.
    Systemd(systemd::Place),
}

/// Why a session is in another pool than the policy says, or in none. Who is logged in keeps the pool of the first login,
/// whatever the policy says since: in two places they would have their caps twice.
pub fn pool_of_earlier(wanted: Option<&str>, pool: Option<&str>) -> String {
    let [wanted, pool] = [wanted, pool].map(|pool| match pool {
        Some(name) => format!("pool {name}"),
        None => "no pool".into(),
    });
    format!("{wanted}: the user's earlier sessions are in {pool}, and with them this one")
}

impl Plan {
    /// Works the caps out for this tree.
    pub fn new(tree: &Tree, planned: &Planned) -> Result<Plan> {
        Ok(match tree.backend() {
            Backend::Cgroupfs => Plan::Cgroupfs(Box::new(cgroupfs::Plan::new(tree, planned)?)),
            Backend::Systemd => Plan::Systemd(systemd::Plan::new(tree, planned)?),
        })
    }

    /// Sets the caps of all that the session is to be in. The application is not touched yet.
    pub fn carry_out(
        &self,
        tree: &Tree,
        id: SessionId,
        leader: &Leader,
        folder: &UserFolder,
    ) -> Result<Place> {
        Ok(match self {
            Plan::Cgroupfs(plan) => Place::Cgroupfs(plan.carry_out(tree, id)?),
            Plan::Systemd(plan) => Place::Systemd(plan.carry_out(tree, id, leader, folder)?),
        })
    }
}

impl Place {
    /// Puts the application there.
    pub fn take_in(&mut self, tree: &Tree, leader: &Leader) -> Result<()> {
        match self {
            Place::Cgroupfs(place) => leader.move_to(&place.group),
            Place::Systemd(place) => place.take_in(tree, leader),
        }
    }

    /// The session's cgroup, where it has one of its own.
    pub fn group(&self) -> Option<&Group> {
        match self {
            Place::Cgroupfs(place) => Some(&place.group),
            Place::Systemd(place) => place.group.as_ref(),
        }
    }

    /// Caps that are not in force, one line each.
    pub fn missing(self) -> Vec<String> {
        match self {
            Place::Cgroupfs(place) => place.missing,
            Place::Systemd(place) => place.missing,
        }
    }
}
