//! A session that `berth kill` is about.

use std::collections::{HashMap, HashSet};
use std::os::fd::AsFd;

use berth_session::{Group, Record, Role, SessionId, Tree, UserFolder};
use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::unistd::Pid;

use crate::{live, sys};

/// The sessions that stay, by the init that they live under.
pub struct Staying {
    by_init: HashMap<Role, Vec<SessionId>>,
    /// Whether these are all: one that could not be read may live under any init.
    is_whole: bool,
}

impl Staying {
    /// All but those that are chosen. A user's can be thousands under one init, so each is looked at once.
    pub fn of(everybody: &[Record], is_whole: bool, chosen: &[Record]) -> Staying {
        let chosen: HashSet<SessionId> = chosen.iter().map(|record| record.id).collect();
        let mut by_init: HashMap<Role, Vec<SessionId>> = HashMap::new();
        for record in everybody {
            if let Some(init) = record.init.filter(|_| !chosen.contains(&record.id)) {
                by_init.entry(init).or_default().push(record.id);
            }
        }
        Staying { by_init, is_whole }
    }

    fn under(&self, init: Option<Role>) -> &[SessionId] {
        let sessions = init.and_then(|init| self.by_init.get(&init));
        sessions.map_or(&[], Vec::as_slice)
    }
}

/// A session, and what of it can be signalled.
pub struct Target<'a> {
    pub record: &'a Record,
    group: Option<Group>,
    /// Where it is: in that cgroup, or where its login is.
    place: Option<Group>,
    /// Without a cgroup: the login, and the init if no other session lives under it.
    roles: Vec<Role>,
    /// The sessions that stay, and live in the same berth.
    pub sharers: Vec<SessionId>,
    /// Whether its keeper and its standby were killed.
    pub dead: bool,
}

impl<'a> Target<'a> {
    /// Others that stay may live in its berth.
    pub fn new(record: &'a Record, staying: &Staying, tree: Option<&Tree>) -> Target<'a> {
        let sharers = staying.under(record.init);
        let init = record
            .init
            .filter(|_| staying.is_whole && sharers.is_empty());
        Target {
            record,
            place: live::place(tree, record),
            group: live::group(tree, record).filter(Group::exists),
            // With one, an application that has left it goes on outside the session.
            roles: match record.cgroup {
                Some(_) => Vec::new(),
                None => init.into_iter().chain([record.leader]).collect(),
            },
            sharers: sharers.to_vec(),
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
        self.place.as_ref().is_some_and(Group::is_frozen)
    }

    /// Kills all that runs in these, and says of which it could not. What does not end in one holds up no other.
    pub fn kill_each<'t>(
        targets: &'t [Target<'a>],
        tree: Option<&Tree>,
    ) -> Vec<(&'t Target<'a>, String)> {
        let running: Vec<&Target> = targets.iter().filter(|target| target.runs()).collect();
        let groups = running.iter().filter_map(|target| target.group.clone());
        let groups: Vec<Group> = groups.collect();
        let killed = tree.map_or(Vec::new(), |tree| tree.kill(&groups, None));
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

    /// Whether it is gone, or all of it that others do not need.
    pub fn has_ended(&self) -> bool {
        self.is_gone() || self.is_held()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::tests::record;

    #[test]
    fn an_init_is_ended_with_the_last_of_the_sessions_that_live_under_it() {
        let init = |start| {
            Some(Role {
                pid: i32::MAX,
                start,
            })
        };
        let of = |id: u64, init| Record {
            init,
            ..record(id, "active", None)
        };
        // By the user's choice they are many: to look at all for each, and there at all chosen ones, took minutes.
        let all: Vec<Record> = (1..5000).map(|id| of(id, init(1))).collect();
        let [alone, without] = [of(5000, init(2)), of(5001, None)];
        let everybody = [&all[..], &[alone.clone(), without.clone()]].concat();
        let targets = |chosen: &[Record], is_whole| {
            let staying = Staying::of(&everybody, is_whole, chosen);
            let targets = chosen.iter().map(|one| Target::new(one, &staying, None));
            let seen = targets.map(|target| (target.sharers.len(), target.roles.len()));
            seen.collect::<Vec<_>>()
        };
        assert_eq!(targets(&all, true), vec![(0, 2); 4999]);
        assert_eq!(targets(&all[1..], true), vec![(1, 1); 4998]);
        let chosen = [alone, without];
        assert_eq!(targets(&chosen, true), [(0, 2), (0, 1)]);
        // One whose record cannot be read may live there.
        assert_eq!(targets(&chosen, false), [(0, 1), (0, 1)]);
    }
}
