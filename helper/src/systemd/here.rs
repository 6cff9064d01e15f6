//! Where an application is before Berth takes it anywhere.

use std::io::ErrorKind;
use std::path::Path;

use berth_session::{Group, Tree, read_file};

use crate::error::{Result, file};
use crate::leader::Leader;

/// The cgroup that a service manager keeps itself in, below its service's.
const MANAGERS_OWN: &str = "init.scope";

#[derive(Debug)]
pub enum Here {
    /// In the scope that logind has made for its session.
    InItsSession(Group),
    /// In a unit of the user's service manager, or the manager itself: it must not be torn out of there.
    InAnotherUnit,
    /// In the server's unit, or in another session.
    Elsewhere,
}

/// Where it is. `own` is its user's slice.
pub fn here(tree: &Tree, own: &Group, leader: &Leader) -> Result<Here> {
    let pid = leader.role().pid;
    // What nobody could look at fails: out of logind's session, which would then end, no login is taken by mistake.
    let group = tree.of_process(pid)?;
    let group = group.filter(|group| group.is_within(own));
    let is_its_session = match &group {
        // Further down users call their own units as they like, also as logind calls its scope for somebody else.
        Some(group) if group.parent().as_ref() == Some(own) => is_session_of(group, pid)?,
        _ => false,
    };
    Ok(match group {
        Some(group) if is_its_session => Here::InItsSession(group),
        Some(group) if group.name() == MANAGERS_OWN || !group.name().ends_with(".scope") => {
            Here::InAnotherUnit
        }
        _ => Here::Elsewhere,
    })
}

/// Whether this is the scope of a session that logind has made for this very process. In another's (su
/// typed in a session) it would be killed with that, and that with it.
fn is_session_of(group: &Group, pid: i32) -> Result<bool> {
    let id = group.name().strip_prefix("session-");
    let id = id.and_then(|id| id.strip_suffix(".scope"));
    let Some(id) = id.filter(|id| !id.is_empty()) else {
        return Ok(false);
    };
    // As sd_session_get_leader(3) reads it.
    let path = Path::new("/run/systemd/sessions").join(id);
    // Not what only has the name of one: who reads a session's FIFO, ID.ref, waits until it ends.
    let session = match read_file(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
        session => session.map_err(file("read", path))?,
    };
    let session = String::from_utf8_lossy(&session);
    let leader = session
        .lines()
        .find_map(|line| line.strip_prefix("LEADER="));
    Ok(leader.and_then(|leader| leader.parse().ok()) == Some(pid))
}
