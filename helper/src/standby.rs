//! Who cleans up when the keeper itself is killed.
//!
//! The process that the module started does not set the login up itself: it clones a worker straight
//! into the keepers' cgroup, and waits for it. The worker becomes the session's keeper. Should the
//! worker be killed, at whatever step, the standby removes every trace of its session.

use std::fs::File;
use std::os::fd::AsFd;

use berth_session::{Group, Record, SessionId, State, Tree, sweep};
use nix::errno::Errno;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::error::{Result, system};
use crate::log::Line;
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

impl Standby<'_> {
    /// Splits in two. Returns `true` in the worker; in the standby, `false`, when it is all over.
    ///
    /// `before_waiting` is run in the standby: it lets go of the module's socket, so that the module
    /// sees the worker's death at once.
    pub fn split(&self, before_waiting: impl FnOnce()) -> Result<bool> {
        let keepers = self.tree.map(Tree::keepers);
        let folder = match &keepers {
            Some(keepers) => {
                self.tree
                    .map(Tree::berth)
                    .as_ref()
                    .map_or(Ok(()), Group::create)?;
                keepers.create()?;
                let folder = File::open(keepers.path());
                Some(folder.map_err(|error| {
                    berth_session::Error::file("open the cgroup", keepers.path(), error)
                })?)
            }
            None => None,
        };
        let cgroup = folder.as_ref().map(AsFd::as_fd);
        match sys::clone(0, cgroup).map_err(system("start the login's keeper"))? {
            Cloned::Child => Ok(true),
            Cloned::Parent { child, .. } => {
                before_waiting();
                if let Some(keepers) = keepers {
                    // Out of sshd's cgroup, whose limits and kills are not meant for it. This move
                    // waits for a grace period of the kernel's, in the background; the worker's
                    // move of the login then finds it already under way.
                    if let Err(error) = keepers.write("cgroup.procs", "0") {
                        Line::new("standby")
                            .field("session", self.id)
                            .field("error", error)
                            .error();
                    }
                }
                self.wait(child);
                Ok(false)
            }
        }
    }

    fn wait(&self, worker: Pid) {
        // The leader's old cgroup can only be written as root, and that is all the privilege that is
        // left to need. If this fails there is more privilege than needed, not less.
        let _ = privilege::for_keeping();
        let status = loop {
            match waitpid(worker, None) {
                Err(Errno::EINTR) => {}
                status => break status,
            }
        };
        if matches!(status, Ok(WaitStatus::Exited(..))) {
            return; // The worker has cleaned up itself.
        }
        let record = Record::read(self.id).ok();
        let opened = record.is_some_and(|record| {
            record.state != State::Opening
                && record
                    .init
                    .is_none_or(|_| self.leader.has_joined(&record.namespaces))
        });
        if !opened {
            // The login is still root's application and may go on as `on_error` says: it is put back
            // where it was, and not killed.
            self.leader.go_back(self.tree);
        }
        let result = sweep(self.tree, self.uid, self.id);
        Line::new("close")
            .field("session", self.id)
            .field("uid", self.uid)
            .field("result", "killed")
            .field("reason", "the session's keeper was killed")
            .optional("left", result.err())
            .warning();
    }
}
