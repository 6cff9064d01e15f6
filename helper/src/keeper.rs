//! Step 5 of a login: keeping the session until the login ends, and what lingers of it.

mod ending;

pub use ending::{is_only_held_up, sweep_until_nothing_is_left};

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use berth_config::outcome::{Accounting, Logout};
use berth_protocol::Channel;
use berth_session::{Backend, Group, Line, Record, State, Tree, Usage};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::audit::{self, Event};
use crate::error::Result;
use crate::init::Init;
use crate::leader::{self, Leader};
use crate::notice::{self, Watch};
use crate::shared::Membership;

/// How often a wait that is woken by events looks up all the same: an event can be lost with a process
/// that was killed at the wrong moment.
const LOOK_UP: Duration = Duration::from_secs(60);

/// How long an application gets to end after its session has, before it is moved out: milliseconds.
const LEADERS_END: u8 = 100;

/// Of its own end of the socket by the application (poll(2)), which nix does not name.
const HANG_UP: PollFlags = PollFlags::from_bits_retain(libc::POLLRDHUP);

/// The namespaces of a session.
#[derive(Debug)]
pub enum Berth {
    /// None: caps only.
    None,
    Own(Init),
    /// One that it shares with its user's other logins.
    Shared(Membership),
}

impl Berth {
    pub fn pidfd(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Berth::None => None,
            Berth::Own(init) => Some(init.pidfd()),
            Berth::Shared(membership) => Some(membership.pidfd()),
        }
    }

    /// Kills the init, which may take its time to go, once no other login is in there. This is dropped after the sweep.
    pub fn end(&self) -> Result<()> {
        match self {
            Berth::None => Ok(()),
            Berth::Own(init) => {
                init.kill();
                Ok(())
            }
            Berth::Shared(membership) => membership.end(),
        }
    }
}

/// A session that is set up.
#[derive(Debug)]
pub struct Keeper {
    pub tree: Option<Tree>,
    pub record: Record,
    pub leader: Leader,
    /// Readable once the leader has ended.
    pub leaders_end: OwnedFd,
    pub executable: String,
    pub channel: Channel,
    /// The session's cgroup, where it has one.
    pub group: Option<Group>,
    pub berth: Berth,
    pub logout: Logout,
    /// Whether the user is told what their caps do; the log is in any case.
    pub notify: bool,
    /// Where it is written what the session has used.
    pub accounting: Accounting,
    /// Whether the login's own audit records are lost, and the keeper writes them.
    pub audits: bool,
    /// Whether the application goes on in the session's cgroup after its end.
    pub leader_stays: bool,
}

impl Keeper {
    /// Keeps the session from the acknowledgement to the last trace. What `watch` sees is told.
    pub fn keep(mut self, mut watch: Option<Watch>) {
        let begun = Instant::now();
        self.audit(&[Event::SessionStart]);
        // Of those that an application itself would write; su and cron write none.
        if matches!(self.record.service.as_str(), "sshd" | "login" | "remote") {
            self.audit(&[Event::Login]);
        }
        self.wait_for_the_logins_end(&mut watch);
        // Now, too: systemd removes a scope as soon as it is empty.
        let usage = self.group.as_ref().map(Usage::of).unwrap_or_default();
        // An application that has closed its session waits for this; one that has ended does not.
        let _ = self.channel.hang_up();
        self.let_the_leader_go();
        if let Berth::Shared(membership) = &mut self.berth {
            membership.login_ended();
        }
        // From now on it does not count against max_sessions.
        self.record.state = State::Linger;
        let written = self.record.write();
        if let Err(error) = &written {
            self.line("linger").field("error", error).warning();
        }
        self.audit(&[Event::SessionEnd, Event::CredentialsDisposed]);
        self.linger(&mut watch, written.is_ok());
        self.ask_to_end();
        self.end(begun, usage);
        // Last, because a user can hold it up.
        if let Some(watch) = watch {
            watch.speaker.end();
        }
    }

    fn wait_for_the_logins_end(&self, watch: &mut Option<Watch>) {
        let mut fds = vec![
            PollFd::new(self.leaders_end.as_fd(), PollFlags::POLLIN),
            // No events but the hang-up: the user's side of sshd inherits the module's end, so nothing that comes
            // from there is read, let alone believed.
            PollFd::new(self.channel.as_fd(), HANG_UP),
        ];
        let init = self.berth.pidfd();
        fds.extend(init.map(|init| PollFd::new(init, PollFlags::POLLIN)));
        let look_up = match watch {
            Some(_) => PollTimeout::try_from(notice::LOOK).unwrap_or(PollTimeout::MAX),
            None => PollTimeout::NONE,
        };
        loop {
            match poll(&mut fds, look_up) {
                Ok(0) => self.tell(watch),
                Err(Errno::EINTR) => {}
                Ok(_) if self.is_only_an_exec(&fds) => fds.retain(|fd| !self.is_channel(fd)),
                // An error of poll itself leaves nothing to wait by; ending the session is safe.
                Ok(_) | Err(_) => return,
            }
        }
    }

    /// Tells the user, and the log, what their caps did since the last look.
    fn tell(&self, watch: &mut Option<Watch>) {
        let (Some(watch), Some(group)) = (watch, &self.group) else {
            return;
        };
        let mut said = Vec::new();
        for notice in watch.look(Instant::now()) {
            said.extend(self.notify.then_some(notice.text));
            if let Some((cap, killed)) = notice.bite {
                self.line("cap")
                    .field("cap", cap)
                    .optional("killed", killed)
                    .warning();
            }
        }
        watch
            .speaker
            .say(std::slice::from_ref(group), self.record.uid, &said);
    }

    /// Whether all that happened is that an application executed the user's program in its own place:
    /// that closes the socket as a logout would, and the login is on.
    fn is_only_an_exec(&self, fds: &[PollFd<'_>]) -> bool {
        let mut happened = fds.iter().filter(|fd| fd.any() != Some(false));
        let first = happened.next();
        first.is_some_and(|fd| self.is_channel(fd))
            && happened.next().is_none()
            // What nobody can look at, not even in a while, ends the session, which is safe.
            && matches!(leader::patiently(|| self.leader.is_roots()), Ok(false))
    }

    fn is_channel(&self, fd: &PollFd<'_>) -> bool {
        fd.as_fd().as_raw_fd() == self.channel.as_fd().as_raw_fd()
    }

    /// The application may go on after the end of its session, or open another: not in a cgroup that
    /// is about to be killed. Most end at once, and a move holds up other logins, so it is given a
    /// moment first.
    fn let_the_leader_go(&mut self) {
        if self.leader_ends_within(LEADERS_END) {
            return;
        }
        match self.tree.as_ref().map(Tree::backend) {
            // systemd's scope is not Berth's to move it out of: it is spared there.
            Some(Backend::Systemd) => {
                let is_roots = leader::patiently(|| self.leader.is_roots());
                self.leader_stays = is_roots.unwrap_or_else(|error| {
                    self.leader.ends_with_its_session(&error);
                    false
                });
            }
            Some(Backend::Cgroupfs) | None => self
                .leader
                .go_back(self.tree.as_ref(), self.group.as_slice()),
        }
    }

    /// Leaves what the login left running for as long as the policy lets it. Its record, if it is not written, is as soon as
    /// there is room.
    fn linger(&mut self, watch: &mut Option<Watch>, mut is_written: bool) {
        let Some(group) = self.group.clone() else {
            return; // What cannot be counted cannot linger.
        };
        // By the monotonic clock, whatever becomes of the other one meanwhile. When the last login of a shared berth ended is
        // told by a change of a time stamp, whose own time does not count.
        let mut ended = Instant::now();
        let mut last_ended = None;
        let is_shared = matches!(self.berth, Berth::Shared(_));
        let look_up = if self.leader_stays || is_shared || watch.is_some() {
            // No event tells when all others have ended, nor when the last login of a shared berth has: a watch on its file
            // would be one of the few that root has, and there is no end of sessions that linger.
            notice::LOOK
        } else {
            LOOK_UP
        };
        while self.is_populated(&group) {
            is_written = is_written || self.record.write().is_ok();
            self.tell(watch);
            let until = match &self.berth {
                Berth::Shared(membership) => match membership.all_logins_ended() {
                    Some(stamp) => {
                        if last_ended.replace(stamp) != Some(stamp) {
                            ended = Instant::now();
                        }
                        self.deadline(ended)
                    }
                    None => None, // Somebody of the same user is still logged in.
                },
                Berth::None | Berth::Own(_) => self.deadline(ended),
            };
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            match left {
                Some(left) if left.is_zero() => return,
                Some(left) => wait_for_change(&group, left.min(look_up)),
                None => wait_for_change(&group, look_up),
            }
        }
    }

    fn deadline(&self, ended: Instant) -> Option<Instant> {
        self.logout
            .linger
            .and_then(|linger| ended.checked_add(linger))
    }

    fn line(&self, event: &str) -> Line {
        Line::new(event)
            .in_journal_if(self.accounting.journal)
            .field("session", self.record.id)
            .field("user", &self.record.user)
            .field("uid", self.record.uid)
            .field("service", &self.record.service)
    }

    fn audit(&self, events: &[Event]) {
        if !self.audits {
            return;
        }
        for event in events {
            audit::send(
                *event,
                &audit::Subject {
                    user: &self.record.user,
                    executable: &self.executable,
                    host: &self.record.rhost,
                    terminal: &self.record.tty,
                },
            );
        }
    }
}

/// Waits until the session's cgroup becomes empty, or a time has passed. May return for no reason.
fn wait_for_change(group: &Group, at_most: Duration) {
    if group.says_or_wait("populated", 0, at_most).is_err() {
        // It may be gone, or for the moment there may be no descriptor.
        std::thread::sleep(at_most.min(Duration::from_millis(50)));
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt;
    use std::process::{Child, Command};

    use nix::sys::signal::Signal;
    use nix::sys::wait::{WaitStatus, waitpid};
    use nix::unistd::Pid;

    use super::*;
    use crate::settings::folder::Folder;
    use crate::sys::{self, Cloned};

    /// The keeper of a session whose application is this process.
    fn keeper(name: &str, application: &Child, folder: &Folder, channel: Channel) -> Keeper {
        let pid = Pid::from_raw(application.id() as i32);
        let planned = crate::decide::tests::planned(name, "", "");
        let role = serde_json::json!({ "pid": pid.as_raw(), "start": 1 });
        let record = serde_json::json!({
            "id": 1, "user": "alice", "uid": 1001, "service": "sshd", "tty": "", "rhost": "", "profile": "x",
            "opened": 1, "state": "active", "leader": role, "keeper": role,
        });
        Keeper {
            tree: Some(folder.tree(Backend::Systemd)),
            record: serde_json::from_value(record).unwrap(),
            leader: Leader::of(pid, None, |_| false).unwrap(),
            leaders_end: sys::pidfd_open(pid).unwrap(),
            executable: String::new(),
            channel,
            group: Some(folder.group()),
            berth: Berth::None,
            logout: planned.berth.logout,
            notify: planned.berth.notify,
            accounting: planned.accounting,
            audits: false,
            leader_stays: true,
        }
    }

    #[test]
    fn a_process_that_has_the_pid_of_an_application_that_has_ended_is_not_spared() {
        let mut application = Command::new("sleep").arg("1000").spawn().unwrap();
        let folder = Folder::with(&[("cgroup.events", "populated 1\n")]);
        folder.write("cgroup.procs", format!("{}\n", application.id()));
        let keeper = keeper("spared", &application, &folder, Channel::pair().unwrap().0);
        assert!(!keeper.is_populated(&folder.group()));
        application.kill().unwrap();
        application.wait().unwrap();
        assert!(keeper.is_populated(&folder.group()));
    }

    /// Its user can have logind stop it, which is asked for no password.
    #[test]
    fn an_application_that_is_stopped_goes_on_to_its_end_where_the_rest_does_not_end() {
        let mut stopped = Command::new("sh");
        let mut stopped = stopped.args(["-c", "kill -STOP $$"]).spawn().unwrap();
        // It is said to be in there, and never to end.
        let folder = Folder::with(&[("cgroup.events", "populated 1\n")]);
        folder.write("cgroup.procs", format!("{}\n1\n", stopped.id()));
        let mut keeper = keeper("stopped", &stopped, &folder, Channel::pair().unwrap().0);
        let end = keeper.leaders_end.try_clone().unwrap();
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_secs(20));
            sys::pidfd_kill(end.as_fd(), Signal::SIGKILL)
        });
        keeper.kill(&folder.group(), Duration::ZERO);
        let status = stopped.wait().unwrap();
        assert!(status.success() && !keeper.leader_stays, "{status}");
    }

    #[test]
    fn who_executed_the_users_program_goes_on_although_nobody_can_look_for_a_moment() {
        let mut program = Command::new("sleep");
        let mut program = program.arg("1000").uid(65534).spawn().unwrap();
        let folder = Folder::new();
        let (channel, theirs) = Channel::pair().unwrap();
        drop(theirs);
        let keeper = keeper("executed", &program, &folder, channel);
        let limit = |rlim_cur, rlim_max| {
            let limit = libc::rlimit { rlim_cur, rlim_max };
            sys::prlimit(Pid::from_raw(0), libc::RLIMIT_NOFILE, Some(limit))
        };
        match sys::clone(0, None).unwrap() {
            Cloned::Child => {
                let mut fds = [PollFd::new(keeper.channel.as_fd(), PollFlags::POLLIN)];
                let happened = poll(&mut fds, PollTimeout::NONE).is_ok();
                let none = limit(0, 4096);
                let unseen = keeper.leader.is_roots().is_err();
                let goes_on = std::thread::scope(|scope| {
                    scope.spawn(|| {
                        std::thread::sleep(Duration::from_millis(30));
                        limit(4096, 4096)
                    });
                    keeper.is_only_an_exec(&fds)
                });
                sys::exit((!(happened && none.is_ok() && unseen && goes_on)).into())
            }
            Cloned::Parent { child, .. } => {
                assert_eq!(waitpid(child, None).unwrap(), WaitStatus::Exited(child, 0));
            }
        }
        program.kill().unwrap();
        program.wait().unwrap();
    }
}
