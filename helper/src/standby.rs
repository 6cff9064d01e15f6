//! Who cleans up when the keeper itself is killed.
//!
//! The process that the module started does not set a login up itself: it clones a worker straight
//! into the keepers' cgroup, and waits for it. The worker becomes the session's keeper. Should the
//! worker be killed, at whatever step, the standby removes every trace of its session.
//!
//! They part after the account phase, if there is one, so that no session has to wait for it.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Instant;

use berth_protocol::{Channel, ChannelError};
use berth_session::{Cause, Counters, Line, LoginResult, SessionId, Tree, sweep};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{Pid, getppid};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, file, system};
use crate::keeper::{is_only_held_up, sweep_until_nothing_is_left};
use crate::leader::{self, Leader};
use crate::privilege;
use crate::sys::{self, Cloned};

/// What has to be undone if the worker is killed.
#[derive(Debug, Serialize, Deserialize)]
pub struct Traces {
    pub uid: u32,
    pub id: SessionId,
    /// The process that logs in, as it was before.
    pub leader: Leader,
    /// Whether the session gets a cgroup.
    pub has_cgroup: bool,
}

/// What a worker tells its standby, in this order.
#[derive(Debug, Serialize, Deserialize)]
enum Word {
    /// From now on there may be traces.
    Begins(Traces),
    /// The session is open: from now on a killed worker ends it.
    Opened,
}

/// Which of the two a process is.
#[derive(Debug)]
pub enum Half {
    /// It goes on.
    Worker(Worker),
    /// It waits.
    Standby(Standby),
}

/// Held by the worker while the login waits.
#[derive(Debug)]
pub struct Worker {
    /// The init inherits it, so it ends only after the init, whose mounts are then gone too.
    standby: Channel,
    is_among_keepers: bool,
}

/// What the standby has of its worker.
#[derive(Debug)]
pub struct Standby {
    worker: Pid,
    pidfd: OwnedFd,
    told: Channel,
    terminated: SignalFd,
}

/// Splits in two. With a hierarchy the worker starts in the keepers' cgroup.
pub fn split(tree: Option<&Tree>) -> Result<Half> {
    let keepers = tree.map(Tree::make_keepers).transpose()?;
    let folder = match &keepers {
        Some(keepers) => {
            let path = keepers.path();
            Some(File::open(path).map_err(file("open the cgroup", path))?)
        }
        None => None,
    };
    let (told, standby) = Channel::pair().map_err(Error::Standby)?;
    // Blocked before there is a worker: from then on it means "end the worker and clean up", which a standby that it had
    // killed could not do. The worker keeps it blocked: at a shutdown it is sent to all at once (killall5), and a keeper that
    // ended by it would take the init and all that runs in the session along, before that has saved what it has.
    // Where su is typed in a session that ends, SIGHUP comes with it.
    let mut terminate = SigSet::empty();
    terminate.add(Signal::SIGTERM);
    let mut blocked = terminate;
    blocked.add(Signal::SIGHUP);
    blocked.thread_block().map_err(system("block SIGTERM"))?;
    let cloned = SignalFd::with_flags(&terminate, SfdFlags::SFD_CLOEXEC)
        .map_err(system("wait for SIGTERM"))
        .and_then(|terminated| {
            let place = keepers.as_ref().map(|keepers| keepers.path().display());
            let place = place.map_or(String::new(), |path| format!(" in {path}"));
            let cloned = sys::clone(0, folder.as_ref().map(AsFd::as_fd));
            let cloned = cloned.map_err(system(format!("start the login's keeper{place}")))?;
            Ok((cloned, terminated))
        });
    if cloned.is_err() {
        blocked
            .thread_unblock()
            .map_err(system("unblock SIGTERM"))?;
    }
    Ok(match cloned? {
        (Cloned::Child, _) => Half::Worker(Worker {
            standby,
            is_among_keepers: keepers.is_some(),
        }),
        (Cloned::Parent { child, pidfd }, terminated) => Half::Standby(Standby {
            worker: child,
            pidfd,
            told,
            terminated,
        }),
    })
}

/// Moves this process to where keepers are.
fn move_among_keepers(tree: &Tree) -> berth_session::Result<()> {
    tree.make_keepers()?.write("cgroup.procs", "0")
}

/// Moves this process to where keepers are, and says whether it is there.
pub fn goes_among_the_keepers(tree: &Tree) -> bool {
    if tree.is_in(std::process::id() as i32, &tree.keepers()) {
        return true;
    }
    let moved = move_among_keepers(tree);
    if let Err(error) = &moved {
        Line::new("standby").field("error", error).error();
    }
    moved.is_ok()
}

/// The end of a process among the keepers. Who runs su may have orphans come to a program of their own
/// (PR_SET_CHILD_SUBREAPER) that reaps none. What stays of this one then is to count as theirs: here there may be any number.
pub fn go_to_who_reaps() {
    let me = std::process::id() as i32;
    let parent = getppid().as_raw();
    // Root's own, and no setuid program either. One outside of this container is not seen, and no user's.
    match leader::uids(parent) {
        Ok(Some(uids)) if uids != [0, 0] => {}
        _ => return,
    }
    let Ok(tree) = Tree::find() else { return };
    if !tree.is_in(me, &tree.keepers()) {
        return;
    }
    if let Ok(Some(there)) = tree.of_process(parent) {
        let _ = there.write("cgroup.procs", "0"); // it may have ended, and then another one reaps
    }
}

impl Worker {
    /// Tells the standby what to look for from now on.
    pub fn begins(&self, traces: Traces, tree: Option<&Tree>) -> Result<()> {
        if let (Some(tree), false) = (tree, self.is_among_keepers) {
            // The session of the account phase was to have no cgroup: the policy is another one now.
            move_among_keepers(tree)?;
        }
        self.tell(&Word::Begins(traces))
    }

    /// Tells the standby that the session is open: from now on a killed worker ends it.
    pub fn has_opened(self) {
        let _ = self.tell(&Word::Opened);
    }

    /// A standby that is dead already will not clean up anyway.
    fn tell(&self, word: &Word) -> Result<()> {
        match self.standby.send(word, None) {
            Ok(()) | Err(ChannelError::Closed) => Ok(()),
            Err(error) => Err(Error::Standby(error)),
        }
    }
}

impl Standby {
    /// Waits until it is all over, and removes what a worker that was killed has left. Says whether it was killed, and what
    /// it would have done at its end is left, too.
    pub fn stand_by(self, tree: Option<&Tree>) -> bool {
        // Until the login is through, the worker is dead, or the module has given up.
        let (traces, opened) = self.wait_for_the_session();
        if let Some((tree, traces)) = tree.zip(traces.as_ref().filter(|traces| traces.has_cgroup)) {
            // Out of sshd's cgroup, whose limits and kills are not meant for it. Not earlier:
            // a move holds the lock of the whole hierarchy for a grace period of the
            // kernel's, unless it comes right after another one, as it does now.
            if let Err(error) = move_among_keepers(tree) {
                Line::new("standby")
                    .field("session", traces.id)
                    .field("error", error)
                    .error();
            }
        }
        if opened {
            // If this fails there is more privilege than needed, not less. Without a session this process is
            // about to end, and giving the login its OOM protection back needs a right that is given up here.
            let _ = privilege::for_keeping();
        }
        let status = loop {
            match waitpid(self.worker, None) {
                Err(Errno::EINTR) => {}
                status => break status,
            }
        };
        match status {
            Ok(WaitStatus::Exited(_, 0)) => return false, // The worker has cleaned up itself.
            // Before the session was open that is so whatever became of it: its guard rolls back.
            Ok(WaitStatus::Exited(..)) if !opened => return false,
            _ => {}
        }
        if let Some(traces) = traces {
            traces.remove(tree, opened);
        }
        true
    }

    /// Waits until the worker says that the session is open (then `true`), or is dead. Told to end meanwhile,
    /// by a module whose patience is over, it kills the worker, which may hang.
    fn wait_for_the_session(&self) -> (Option<Traces>, bool) {
        let mut traces = None;
        loop {
            let mut fds = [
                PollFd::new(self.told.as_fd(), PollFlags::POLLIN),
                PollFd::new(self.terminated.as_fd(), PollFlags::POLLIN),
            ];
            let polled = poll(&mut fds, PollTimeout::NONE);
            let [told, terminated] = fds.map(|fd| fd.any() == Some(true));
            if polled == Err(Errno::EINTR) {
                continue;
            }
            if told || polled.is_err() {
                match self.told.receive(Instant::now()) {
                    Ok((Word::Begins(begun), _)) => traces = Some(begun),
                    Ok((Word::Opened, _)) => return (traces, true),
                    Err(_) => return (traces, false),
                }
            }
            if terminated {
                let _ = sys::pidfd_kill(self.pidfd.as_fd(), Signal::SIGKILL); // it may have ended
                let _ = self.terminated.read_signal(); // only to empty it
            }
        }
    }
}

impl Traces {
    fn remove(&self, tree: Option<&Tree>, opened: bool) {
        let left = match opened {
            true => {
                sweep_until_nothing_is_left(tree, self.uid, self.id);
                None
            }
            false => {
                // The login is still root's application and may go on as `on_error` says: it is put back
                // where it was, and not killed.
                self.leader.leave(tree, self.uid, self.id);
                Counters::count_failure(LoginResult::RolledBack, Cause::HelperKilled);
                // The module waits for the end of this process, for a while.
                sweep(tree, self.uid, self.id).err()
            }
        };
        Line::new("close")
            .field("session", self.id)
            .field("uid", self.uid)
            .field("result", "killed")
            .field("reason", "the session's keeper was killed, or failed")
            .optional("left", left.as_ref())
            .warning();
        if left.is_some_and(|left| is_only_held_up(&left, self.id)) {
            let _ = privilege::for_keeping(); // as above: else there is more than needed
            sweep_until_nothing_is_left(tree, self.uid, self.id);
        }
    }
}
