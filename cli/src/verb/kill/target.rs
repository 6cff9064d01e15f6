//! A session that `berth kill` is about.

use std::os::fd::AsFd;

use berth_session::{Group, Record, Role, SessionId, Tree, UserFolder};
use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::unistd::Pid;

use crate::{live, sys};

/// A session, and what of it can be signalled.
pub struct Target<'a> {
    pub record: &'a Record,
    group: Option<Group>,
    /// Without a cgroup: the login, and the init if no other session lives under it.
    roles: Vec<Role>,
    /// The sessions that stay, and live in the same berth.
    pub sharers: Vec<SessionId>,
    /// Whether its keeper and its standby were killed.
    pub dead: bool,
}

impl<'a> Target<'a> {
    /// Of one of `chosen`. `everybody` are all sessions: others may live in its berth.
    pub fn new(
        record: &'a Record,
        chosen: &[Record],
        everybody: &[Record],
        tree: Option<&Tree>,
    ) -> Target<'a> {
        let stays = |other: &&Record| chosen.iter().all(|chosen| chosen.id != other.id);
        let shares = |other: &&Record| other.init.is_some() && other.init == record.init;
        let sharers = everybody.iter().filter(shares).filter(stays);
        let sharers: Vec<_> = sharers.map(|other| other.id).collect();
        let init = record.init.filter(|_| sharers.is_empty());
        Target {
            record,
            group: live::group(tree, record).filter(Group::exists),
            // With one, an application that has left it goes on outside the session.
            roles: match record.cgroup {
                Some(_) => Vec::new(),
                None => init.into_iter().chain([record.leader]).collect(),
            },
            sharers,
            dead: live::is_dead(record),
        }
    }

    /// Sends a signal to all that runs in the session; says to how many processes.
    pub fn signal(&self, signal: Signal, tree: Option<&Tree>) -> Result<usize, String> {
        let mut sent = 0;
        let Some(group) = &self.group else {
            for role in &self.roles {
                sent += usize::from(to(role.pid, signal, || role.is_alive())?);
            }
            return Ok(sent);
        };
        let mut pids = group.processes().map_err(|error| error.to_string())?;
        // After its own end nobody would signal the others.
        pids.sort_by_key(|pid| u32::try_from(*pid) == Ok(std::process::id()));
        for pid in pids {
            // The PID may be another's by now; the descriptor, once looked at, cannot.
            let still_there = || tree.is_some_and(|tree| tree.is_in(pid, group));
            sent += usize::from(to(pid, signal, still_there)?);
        }
        Ok(sent)
    }

    /// Whether anything runs in it.
    pub fn runs(&self) -> bool {
        match &self.group {
            Some(group) => group.is_populated(),
            None => self.roles.iter().any(Role::is_alive),
        }
    }

    /// Whether what runs in it is stopped: a signal waits there until it is thawed, but for SIGKILL.
    pub fn is_frozen(&self) -> bool {
        self.group.as_ref().is_some_and(Group::is_frozen)
    }

    /// Kills all that runs in these, and says of which it could not. What does not end in one holds up no other.
    pub fn kill_each<'t>(
        targets: &'t [Target<'a>],
        tree: Option<&Tree>,
    ) -> Vec<(&'t Target<'a>, String)> {
        let running: Vec<&Target> = targets.iter().filter(|target| target.runs()).collect();
        let groups = running.iter().filter_map(|target| target.group.clone());
        let groups: Vec<Group> = groups.collect();
        let killed = tree.map_or(Vec::new(), |tree| tree.kill_each(&groups));
        let mut killed = killed.into_iter();
        let failed = running.into_iter().filter_map(|target| {
            let done = match target.group {
                Some(_) => killed.next()?.map_err(|error| error.to_string()),
                None => target.signal(Signal::SIGKILL, None).map(drop),
            };
            Some((target, done.err()?))
        });
        failed.collect()
    }

    /// Whether nothing of it is left.
    pub fn is_gone(&self) -> bool {
        !Record::path(self.record.id).exists()
    }

    /// Whether nothing runs in it, and its keeper stays only for others: it is the one that made the
    /// berth that they share, and holds it until the last of them ends.
    pub fn is_held(&self) -> bool {
        let is_holder = || UserFolder::holds_berth(self.record.uid, self.record.id);
        !self.sharers.is_empty() && is_holder() && !self.runs()
    }
}

/// Sends a signal to a process, if it is still the one that is meant.
fn to(pid: i32, signal: Signal, is_meant: impl Fn() -> bool) -> Result<bool, String> {
    let sent = match sys::pidfd_open(Pid::from_raw(pid)) {
        Ok(process) if is_meant() => sys::pidfd_kill(process.as_fd(), signal),
        Ok(_) => Err(Errno::ESRCH),
        Err(errno) => Err(errno),
    };
    match sent {
        Ok(()) => Ok(true),
        Err(Errno::ESRCH) => Ok(false), // It has ended.
        Err(errno) => Err(format!("cannot send {signal} to process {pid}: {errno}")),
    }
}
