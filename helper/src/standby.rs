//! Who cleans up when the keeper itself is killed.
//!
//! The process that the module started does not set the login up itself: it clones a worker straight
//! into the keepers' cgroup, and waits for it. The worker becomes the session's keeper. Should the
//! worker be killed, at whatever step, the standby removes every trace of its session.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use berth_session::{Cause, Counters, Line, Outcome, SessionId, Tree, sweep};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::error::{Error, Result, system};
use crate::keeper::sweep_until_nothing_is_left;
use crate::sys::{self, Cloned};
use crate::{leader::Leader, privilege};

/// What has to be undone if the worker is killed.
#[derive(Debug)]
pub struct Standby<'a> {
    /// Where cgroups are, if the session has one.
    pub tree: Option<&'a Tree>,
    /// The session's user.
    pub uid: u32,
    /// The session.
    pub id: SessionId,
    /// The process that logs in.
    pub leader: &'a Leader,
}

/// Held by the worker while the login waits.
#[derive(Debug)]
pub struct Worker(UnixStream);

impl Worker {
    /// Tells the standby that the session is open: from now on a killed worker ends it.
    pub fn has_opened(mut self) {
        // A standby that is dead already will not clean up anyway.
        let _ = self.0.write_all(&[1]);
    }
}

/// Waits until the worker says that the session is open (then `true`), or is dead. Told to end meanwhile,
/// by a module whose patience is over, it kills the worker, which may hang.
///
/// The init inherits the worker's end, so it ends only after the init, whose mounts are then gone too.
fn wait_for_the_worker(
    busy: &mut UnixStream,
    terminated: &SignalFd,
    worker: BorrowedFd<'_>,
) -> bool {
    loop {
        let mut fds = [
            PollFd::new(busy.as_fd(), PollFlags::POLLIN),
            PollFd::new(terminated.as_fd(), PollFlags::POLLIN),
        ];
        let polled = poll(&mut fds, PollTimeout::NONE);
        let [busy_now, terminated_now] = fds.map(|fd| fd.any() == Some(true));
        if polled == Err(Errno::EINTR) {
            continue;
        }
        if busy_now || polled.is_err() {
            return matches!(busy.read(&mut [0]), Ok(1));
        }
        if terminated_now {
            let _ = sys::pidfd_kill(worker, Signal::SIGKILL); // it may have ended
            let _ = terminated.read_signal(); // only to empty it
        }
    }
}

impl Standby<'_> {
    /// Splits in two. Returns what the worker tells its standby by; in the standby, `None`, when it is
    /// all over.
    ///
    /// `let_go` drops the module's socket in the standby, so that the module sees the worker's death
    /// at once.
    pub fn split(&self, let_go: impl FnOnce()) -> Result<Option<Worker>> {
        let keepers = self.tree.map(Tree::make_keepers).transpose()?;
        let folder = match &keepers {
            Some(keepers) => {
                let folder = File::open(keepers.path());
                Some(folder.map_err(|error| {
                    berth_session::Error::file("open the cgroup", keepers.path(), error)
                })?)
            }
            None => None,
        };
        let (mut busy, worker) =
            UnixStream::pair().map_err(|error| Error::Init(error.to_string()))?;
        let cgroup = folder.as_ref().map(AsFd::as_fd);
        // Blocked before there is a worker: from then on it means "end the worker and clean up", which a
        // standby that it had killed could not do.
        let mut terminate = SigSet::empty();
        terminate.add(Signal::SIGTERM);
        terminate.thread_block().map_err(system("block SIGTERM"))?;
        let terminated = SignalFd::with_flags(&terminate, SfdFlags::SFD_CLOEXEC)
            .map_err(system("wait for SIGTERM"))?;
        let place = keepers
            .as_ref()
            .map(|keepers| format!(" in {}", keepers.path().display()))
            .unwrap_or_default();
        match sys::clone(0, cgroup).map_err(system(format!("start the login's keeper{place}")))? {
            Cloned::Child => {
                terminate
                    .thread_unblock()
                    .map_err(system("unblock SIGTERM"))?;
                Ok(Some(Worker(worker)))
            }
            Cloned::Parent { child, pidfd } => {
                let_go();
                drop(worker);
                // Until the login is through, the worker is dead, or the module has given up.
                let opened = wait_for_the_worker(&mut busy, &terminated, pidfd.as_fd());
                if let Some(keepers) = keepers {
                    // Out of sshd's cgroup, whose limits and kills are not meant for it. Not earlier:
                    // a move holds the lock of the whole hierarchy for a grace period of the
                    // kernel's, unless it comes right after another one, as it does now.
                    if let Err(error) = keepers.write("cgroup.procs", "0") {
                        Line::new("standby")
                            .field("session", self.id)
                            .field("error", error)
                            .error();
                    }
                }
                self.wait(child, opened);
                Ok(None)
            }
        }
    }

    fn wait(&self, worker: Pid, opened: bool) {
        if opened {
            // If this fails there is more privilege than needed, not less. Without a session this process is
            // about to end, and giving the login its OOM protection back needs a right that is given up here.
            let _ = privilege::for_keeping();
        }
        let status = loop {
            match waitpid(worker, None) {
                Err(Errno::EINTR) => {}
                status => break status,
            }
        };
        match status {
            Ok(WaitStatus::Exited(_, 0)) => return, // The worker has cleaned up itself.
            // Before the session was open that is so whatever became of it: its guard rolls back.
            Ok(WaitStatus::Exited(..)) if !opened => return,
            _ => {}
        }
        if !opened {
            // The login is still root's application and may go on as `on_error` says: it is put back
            // where it was, and not killed.
            self.leader.leave(self.tree, self.uid, self.id);
            Counters::count_failure(Outcome::RolledBack, Cause::HelperKilled);
        }
        let left = match opened {
            true => {
                sweep_until_nothing_is_left(self.tree, self.uid, self.id);
                None
            }
            // The module waits for the end of this process. What is left is the user's next login's.
            false => sweep(self.tree, self.uid, self.id).err(),
        };
        Line::new("close")
            .field("session", self.id)
            .field("uid", self.uid)
            .field("result", "killed")
            .field("reason", "the session's keeper was killed, or failed")
            .optional("left", left)
            .warning();
    }
}
