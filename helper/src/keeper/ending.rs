//! The end of a session: what is left of it is asked to end, then killed, and every trace is removed.

use std::os::fd::AsFd;
use std::time::{Duration, Instant, SystemTime};

use berth_session::{Group, Line, Record, SessionId, Tree, Usage, sweep};
use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::signal::Signal;
use nix::unistd::Pid;

use super::{Berth, Keeper, LOOK_UP};
use crate::accounting::{self, End};
use crate::sys;

/// How long all that forks beside an application that is to live on is killed without a pause.
const KILLING: Duration = Duration::from_secs(10);

impl Keeper {
    /// Whether anything of the session is in its cgroup.
    pub(super) fn is_populated(&self, group: &Group) -> bool {
        let only_leader =
            |all: Vec<i32>| !all.is_empty() && all.iter().all(|pid| self.is_spared(*pid));
        let spared = self.leader_stays && group.processes().is_ok_and(only_leader);
        group.is_populated() && !spared
    }

    /// Whether this is the application that goes on. Once that has ended its PID may be that of a process of the session's.
    fn is_spared(&self, pid: i32) -> bool {
        self.leader_stays && pid == self.leader.role().pid && !self.leader_ends_within(0)
    }

    /// Asks what is left to end, and gives it the time of the policy.
    pub(super) fn ask_to_end(&self) {
        let Some(group) = &self.group else { return };
        // Who is given no time is asked nothing: a thousand signals would only make the end later.
        if self.logout.grace.is_zero() || !self.is_populated(group) {
            return;
        }
        // A shell ends at a hang-up and not at SIGTERM; what is stopped must go on to end at all.
        self.signal(group, &[Signal::SIGTERM, Signal::SIGHUP, Signal::SIGCONT]);
        let until = Instant::now() + self.logout.grace;
        while self.is_populated(group) && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Signals each process that is still in the session's cgroup: its PID may be another's by now, but the
    /// descriptor, once checked, cannot.
    fn signal(&self, group: &Group, signals: &[Signal]) {
        for pid in group.processes().unwrap_or_default() {
            if self.is_spared(pid) {
                continue;
            }
            let Ok(pidfd) = sys::pidfd_open(Pid::from_raw(pid)) else {
                continue; // It has ended.
            };
            if !self
                .tree
                .as_ref()
                .is_some_and(|tree| tree.is_in(pid, group))
            {
                continue;
            }
            for signal in signals {
                let _ = sys::pidfd_kill(pidfd.as_fd(), *signal); // it may end at any of them
            }
        }
    }

    /// Kills what is left, at once and with all that it forks meanwhile. An application that is to live on is spared
    /// for as long as that takes: given up, what forks as fast as it is killed would go on without a record and
    /// without caps.
    pub(super) fn kill(&mut self, group: &Group, without_a_pause: Duration) {
        let begun = Instant::now();
        while self.leader_stays && self.is_populated(group) {
            self.signal(group, &[Signal::SIGKILL]);
            let is_late = begun.elapsed() > without_a_pause;
            if is_late {
                // Its user can have logind stop root's, too: it goes on to its end.
                let _ = sys::pidfd_kill(self.leaders_end.as_fd(), Signal::SIGCONT); // it may have ended
            }
            // But not for ever where an ordinary user has started it (su), who can stop it again and again.
            self.leader_stays =
                !self.leader_ends_within(0) && (!is_late || self.leader.was_started_by_root());
            std::thread::sleep(Duration::from_millis(if is_late { 50 } else { 1 }));
        }
        if !self.leader_stays {
            // The sweep tries again, and says so.
            let only = std::slice::from_ref(group);
            let _ = self.tree.as_ref().map(|tree| tree.kill(only, None));
        }
    }

    pub(super) fn leader_ends_within(&self, milliseconds: u8) -> bool {
        let mut ended = [PollFd::new(self.leaders_end.as_fd(), PollFlags::POLLIN)];
        poll(&mut ended, milliseconds) != Ok(0)
    }

    /// Ends the berth, removes every trace, and tells what the session has used.
    pub(super) fn end(mut self, begun: Instant, early: Usage) {
        if let Some(group) = self.group.clone().filter(|group| self.is_populated(group)) {
            self.kill(&group, KILLING);
        }
        // Who made a shared berth ends it after all others who are in it, which may take weeks.
        let waits = matches!(&self.berth, Berth::Shared(membership) if !membership.can_end());
        let is_over = self
            .group
            .as_ref()
            .is_some_and(|group| !self.is_populated(group));
        if self.leader_stays || waits && is_over {
            // What a record does not name the sweep does not kill: an application that goes on, or a later session to which
            // logind gives the scope's name again.
            if let Err(error) = Record::leave_cgroup_alone(self.record.id) {
                self.line("end").field("error", error).error();
            }
        }
        let end = End {
            seconds: begun.elapsed().as_secs(),
            at: SystemTime::now(),
        };
        let group = self.group.as_ref().filter(|group| group.exists());
        let usage = group.map(Usage::of).unwrap_or_default().or(early);
        if waits {
            self.tell_the_end(&end, &usage);
        }
        if let Err(error) = self.berth.end() {
            self.line("end").field("error", error).error();
        }
        sweep_until_nothing_is_left(self.tree.as_ref(), self.record.uid, self.record.id);
        if matches!(&self.berth, Berth::Shared(membership) if membership.has_joined()) {
            self.berth = Berth::None; // Who made it waits for this.
        }
        // After everything else: a disk that fails or hangs costs a record, and no clean-up.
        if !waits {
            self.tell_the_end(&end, &usage);
        }
        drop(self.berth); // Last, because it may have to wait.
    }

    /// Tells the log and the accounting of the session's end, and what it has used.
    fn tell_the_end(&self, end: &End, usage: &Usage) {
        let seconds = |us: u64| format!("{:.1}", us as f64 / 1e6);
        self.line("close")
            .field("result", "ok")
            .field("duration_s", end.seconds)
            .optional("cpu_s", usage.cpu_us.map(seconds))
            .optional("memory_peak", usage.memory_peak)
            .optional("tasks_peak", usage.tasks_peak)
            .optional("io_read", usage.io_read)
            .optional("io_write", usage.io_write)
            .optional("oom_kills", usage.oom_kills)
            .optional("tasks_refused", usage.tasks_refused)
            .optional("throttled_s", usage.throttled_us.map(seconds))
            .info();
        let written = accounting::write(&self.accounting, &self.record, end, usage);
        if let Err(error) = written {
            self.line("accounting").field("error", error).error();
        }
    }
}

/// Whether a failed login's sweep is to be tried again by who tried it; whatever else is left is the user's next login's. Where
/// the lock is never let go, only those who had entered their session by then wait for it: no later login gets so far.
pub fn is_only_held_up(error: &berth_session::Error, id: SessionId) -> bool {
    matches!(error, berth_session::Error::Held { .. }) && Record::path(id).exists()
}

/// Removes the traces of a session that is over. As long as anything is left somebody has to be there who knows of it.
pub fn sweep_until_nothing_is_left(tree: Option<&Tree>, uid: u32, id: SessionId) {
    let mut told = None;
    while let Err(error) = sweep(tree, uid, id) {
        let error = error.to_string();
        if told.as_ref() != Some(&error) {
            let line = Line::new("sweep").field("session", id).field("uid", uid);
            line.field("error", &error).error();
            told = Some(error);
        }
        std::thread::sleep(LOOK_UP);
    }
}
