//! Steps 2 to 4 of a login, each with the undo that goes with it.

use std::os::fd::AsFd;
use std::time::{Duration, Instant, SystemTime};

use berth_config::outcome::{Scope, UserNamespace};
use berth_protocol::{Ack, Channel, ChannelError, Reply, Session};
use berth_session::filter::{self, Sockets, UserNamespaces};
use berth_session::{
    Group, Line, NamespaceIds, Record, Role, SessionId, State, Tree, UserFolder, sweep, sweep_until,
};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::apply;
use crate::caps::Place;
use crate::decide::Planned;
use crate::error::{Error, Result, system};
use crate::frozen;
use crate::init::{self, Init};
use crate::keeper::{Berth, is_only_held_up, sweep_until_nothing_is_left};
use crate::motd;
use crate::mounts;
use crate::prepared::Prepared;
use crate::rlimits;
use crate::shared::{Membership, is_held, needs};

/// How long the module may take to join, for which it has no deadline of its own.
const ACKNOWLEDGEMENT: Duration = Duration::from_secs(60);

/// How long a login removes what earlier ones have left. The module waits, and a private /tmp may take minutes: each login of
/// the user's goes on with it.
const CLEANING_UP: Duration = Duration::from_secs(3);

/// Why a session was not opened.
#[derive(Debug)]
pub enum Reason {
    /// By the policy, with a message for the user.
    Refused(String),
    Failed(Error),
}

impl<E: Into<Error>> From<E> for Reason {
    fn from(error: E) -> Reason {
        Reason::Failed(error.into())
    }
}

/// A session that was not opened. Everything is rolled back, unless `rest` has to wait.
pub struct NotOpened<'a> {
    pub why: Reason,
    /// What is left to be done, when dropped.
    pub rest: Opening<'a>,
}

/// A session that the module has acknowledged.
#[derive(Debug)]
pub struct Opened {
    /// Its cgroup, where it has one.
    pub group: Option<Group>,
    pub berth: Berth,
    /// Its record, as written.
    pub record: Record,
    /// What this machine cannot give of what the policy asks for, one line each.
    pub missing: Vec<String>,
}

/// A session that is being opened. Dropped before the acknowledgement it leaves nothing behind.
pub struct Opening<'a> {
    planned: &'a Planned,
    prepared: &'a Prepared,
    berth: Berth,
    /// What the private /tmp of a berth that this login makes lacks.
    less_tmp: Option<String>,
    /// Acknowledged, or rolled back as far as it goes now.
    over: bool,
}

impl<'a> Opening<'a> {
    /// Begins with nothing to undo.
    pub fn new(planned: &'a Planned, prepared: &'a Prepared) -> Opening<'a> {
        Opening {
            planned,
            prepared,
            berth: Berth::None,
            less_tmp: None,
            over: false,
        }
    }

    /// Steps 2 to 4, or none of them.
    pub fn open(mut self, channel: &Channel) -> std::result::Result<Opened, Box<NotOpened<'a>>> {
        self.carry_out(channel).map_err(|why| {
            self.roll_back();
            Box::new(NotOpened { why, rest: self })
        })
    }

    /// The cgroup, the namespaces, the application, the module's acknowledgement.
    fn carry_out(&mut self, channel: &Channel) -> std::result::Result<Opened, Reason> {
        // First, so that the init mounts while this process makes cgroups.
        let plan = self.init_plan();
        let own = match (plan.flags(), self.planned.berth.namespaces.scope) {
            (0, _) | (_, Scope::User) => None,
            (_, Scope::Session) => Some(plan.start(None)?),
        };
        self.clean_up_after_the_dead(channel);
        let mut record = self.record()?;
        let folder = self.lock(channel)?;
        let mut place = self.take_place(&folder, &mut record)?;
        self.enter_namespaces(&plan, own, folder, &mut record)?;
        self.take_the_application_in(channel, place.as_mut())?;
        // Before the answer, so that whoever has logged in finds the session in `berth list`.
        record.state = State::Active;
        record.write()?;
        if let Some((_, tree)) = &place {
            // Once the record names the cgroup: whoever applies a policy from here on reaches the session, too.
            apply::if_overtaken(tree, &self.planned.by, self.planned.login.uid);
        }
        self.hand_over(channel, plan.flags())?;
        self.over = true;
        let group = place.as_ref().and_then(|(place, _)| place.group().cloned());
        // First, as a long line is cut off at its end; what caps are missing each login says.
        let mut missing: Vec<_> = self.less_tmp.take().into_iter().collect();
        missing.extend(place.into_iter().flat_map(|(place, _)| place.missing()));
        Ok(Opened {
            group,
            berth: std::mem::replace(&mut self.berth, Berth::None),
            record,
            missing,
        })
    }

    /// Step 2: the session's cgroup, if it gets one, under the user's lock.
    fn take_place(
        &self,
        folder: &UserFolder,
        record: &mut Record,
    ) -> std::result::Result<Option<(Place, &'a Tree)>, Reason> {
        let (planned, prepared) = (self.planned, self.prepared);
        let tree = prepared.tree.as_ref();
        if let Some(message) = planned.refusal(tree, || folder.logins())? {
            return Err(Reason::Refused(message));
        }
        // The entry before the record: by it the user's next login finds what is left, should everybody be killed.
        folder.add(prepared.id)?;
        record.write()?;
        let (Some(caps), Some(tree)) = (&prepared.caps, tree) else {
            return Ok(None);
        };
        let place = caps.carry_out(tree, prepared.id, &prepared.leader, folder)?;
        if let Some(group) = place.group() {
            record.cgroup = Some(tree.below(group));
            record.pool = tree.pool_of(group);
        }
        if record.pool.is_some() {
            // Before the lock is let go: a login that comes meanwhile goes into the same pool.
            record.write()?;
        }
        Ok(Some((place, tree)))
    }

    /// Step 3: the namespaces: the user's shared ones, found or made under the same lock, or its `own`, for which nobody else
    /// need wait.
    fn enter_namespaces(
        &mut self,
        plan: &init::Plan<'_>,
        own: Option<Init>,
        folder: UserFolder,
        record: &mut Record,
    ) -> Result<()> {
        let planned = self.planned;
        if plan.flags() != 0 && planned.berth.namespaces.scope == Scope::User {
            let needs = needs(
                &planned.berth.namespaces,
                &planned.berth.privileges,
                plan.maps,
            )?;
            let mut membership = match Membership::find(&folder, &needs)? {
                Some(found) => found,
                None => {
                    let mut init = plan.start(Some(&folder))?;
                    let (role, namespaces, less_tmp) = init.finish(plan)?;
                    self.less_tmp = less_tmp;
                    let id = self.prepared.id;
                    Membership::found_by(&folder, id, &needs, init, role, namespaces)?
                }
            };
            (record.init, record.namespaces) = (Some(membership.init()), membership.namespaces());
            if !record.is_login() {
                // logind ends the manager after the last login, which must not wait for it then.
                membership.login_ended();
            }
            self.berth = Berth::Shared(membership);
        }
        drop(folder);
        if let Some(mut init) = own {
            let (role, namespaces, less_tmp) = init.finish(plan)?;
            self.less_tmp = less_tmp;
            (record.init, record.namespaces) = (Some(role), namespaces);
            self.berth = Berth::Own(init);
        }
        Ok(())
    }

    /// The application itself, last: until here nothing of it has changed.
    fn take_the_application_in(
        &self,
        channel: &Channel,
        place: Option<&mut (Place, &Tree)>,
    ) -> std::result::Result<(), Reason> {
        let leader = &self.prepared.leader;
        // A module that has given up meanwhile may have let it go on without a berth; then it is not to be touched.
        if self.is_given_up(channel) {
            return Err(Error::Channel(ChannelError::Closed).into());
        }
        leader.lower_oom_protection()?;
        if let Some((place, tree)) = place {
            place.take_in(tree, leader)?;
        }
        // Again: who was frozen meanwhile could not answer.
        self.refuse_the_frozen()
    }

    /// Step 4: over to the module, which joins.
    fn hand_over(&self, channel: &Channel, namespaces: i32) -> Result<()> {
        channel.send(&Reply::Ready(self.session(namespaces)), self.berth.pidfd())?;
        // One that comes too late must not be believed in by the module either: its berth is being rolled back.
        match self.acknowledgement(channel)? {
            Ack::Joined => Ok(()),
            Ack::Failed { message } => Err(Error::CannotJoin(message)),
        }
    }

    fn refuse_the_frozen(&self) -> std::result::Result<(), Reason> {
        let tree = self.prepared.tree.as_ref();
        let refusal = tree.and_then(|tree| frozen::refusal(tree, self.planned));
        refusal.map_or(Ok(()), |message| Err(Reason::Refused(message)))
    }

    /// What the module says. One that stands with its frozen user, as the policy wants it to, has all the time until it
    /// is thawed, and then as much as any other.
    fn acknowledgement(&self, channel: &Channel) -> Result<Ack> {
        let stands = || {
            let tree = self.prepared.tree.as_ref();
            tree.is_some_and(|tree| frozen::stands(tree, self.planned))
        };
        loop {
            let stood = stands();
            match channel.receive(Instant::now() + ACKNOWLEDGEMENT) {
                Err(ChannelError::TimedOut) if stood || stands() => {}
                Err(ChannelError::TimedOut) => {
                    return Ok(channel.receive_or_refuse(Instant::now())?.0);
                }
                received => return Ok(received?.0),
            }
        }
    }

    /// Whether the module is gone. A process that the application has forked may have its end of the socket still.
    fn is_given_up(&self, channel: &Channel) -> bool {
        let ended = self.prepared.leaders_end.as_fd();
        let mut fds = [
            PollFd::new(channel.as_fd(), PollFlags::empty()),
            PollFd::new(ended, PollFlags::POLLIN),
        ];
        poll(&mut fds, PollTimeout::ZERO) != Ok(0)
    }

    /// The user's lock, for which a login waits as long as its module does. Not longer: where it is never let go, each login
    /// that is killed meanwhile would leave this process.
    fn lock(&self, channel: &Channel) -> berth_session::Result<UserFolder> {
        let uid = self.planned.login.uid;
        loop {
            let patience = match self.is_given_up(channel) {
                true => Duration::ZERO,
                false => UserFolder::PATIENCE,
            };
            match UserFolder::lock_until(uid, Instant::now() + patience) {
                // Told now: with the module's patience this process may end.
                Err(error @ berth_session::Error::Held { .. }) if !patience.is_zero() => {
                    let line = Line::new("lock").field("uid", uid);
                    line.field("error", error).warning();
                }
                locked => return locked,
            }
        }
    }

    /// Removes what this user's earlier sessions left, if keeper and standby were both killed. They may have had a cgroup
    /// where this one gets none.
    fn clean_up_after_the_dead(&self, channel: &Channel) {
        let uid = self.planned.login.uid;
        let abandoned = self.lock(channel).and_then(|folder| {
            let mut sessions = folder.sessions()?;
            // A record may have been removed because it could not be read. Under the lock: a login that comes just now must
            // not take the look for somebody who ends the berth.
            sessions.retain(|id| Record::is_abandoned(*id) && !is_held(folder.path(), *id));
            Ok(sessions)
        });
        let end = Instant::now() + CLEANING_UP;
        let until = Some(end);
        for id in abandoned.unwrap_or_default() {
            if Instant::now() > end {
                break;
            }
            let tree = Tree::find_if_any();
            let swept = tree.and_then(|tree| sweep_until(tree.as_ref(), uid, id, until));
            report(id, swept.map_err(Error::from));
        }
    }

    fn init_plan(&self) -> init::Plan<'a> {
        let (planned, prepared) = (self.planned, self.prepared);
        init::Plan {
            mounts: mounts::Plan {
                namespaces: &planned.berth.namespaces,
                id: prepared.id,
                uid: planned.login.uid,
                gid: planned.login.gid,
            },
            owner: prepared.owner,
            maps: prepared.maps.as_ref(),
            nested_userns: planned.berth.privileges.nested_userns,
            rlimits: rlimits::ceilings(&planned.berth.rlimits, |resource| {
                prepared.leader.hard_limit(resource)
            }),
        }
    }

    fn record(&self) -> Result<Record> {
        let Planned {
            login,
            berth,
            rule,
            user_rule,
            ..
        } = self.planned;
        let leader = &self.prepared.leader;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Ok(Record {
            id: self.prepared.id,
            user: login.user.clone(),
            uid: login.uid,
            service: login.service.clone(),
            tty: login.tty.clone(),
            rhost: login.rhost.clone(),
            ruser: login.ruser.clone(),
            profile: berth.profile.clone(),
            rule: rule.clone(),
            user_rule: user_rule.clone(),
            pool: None,
            policy: self.planned.policy.clone(),
            opened: now.map_or(0, |now| now.as_secs()),
            state: State::Opening,
            leader: leader.role(),
            keeper: Role::of(std::process::id() as i32)
                .ok_or(Errno::ENOENT)
                .map_err(system("see this process in /proc"))?,
            init: None,
            cgroup: None,
            namespaces: NamespaceIds::default(),
        })
    }

    /// What the module has to do to the application.
    fn session(&self, namespaces: i32) -> Session {
        let berth = &self.planned.berth;
        let user = berth.namespaces.user != UserNamespace::Off;
        let sockets = match berth.namespaces.net {
            true => Sockets::OfTheNetwork,
            false => Sockets::Any,
        };
        let filter = if !user && !berth.privileges.nested_userns {
            filter::build(UserNamespaces::Refused, sockets)
        } else if namespaces != 0 || berth.privileges.no_new_privs {
            // With a user namespace its own limit refuses them, for every way to ask for one.
            filter::build(UserNamespaces::Allowed, sockets)
        } else {
            Vec::new()
        };
        Session {
            id: self.prepared.id.to_string(),
            on_error: berth.on_error,
            namespaces,
            no_new_privs: berth.privileges.no_new_privs,
            filter,
            rlimits: rlimits::of_application(&berth.rlimits),
            motd: motd::line(self.planned, self.less_tmp.is_some()),
        }
    }
}

impl Opening<'_> {
    /// Undoes everything, last step first, but for a berth that another login has joined meanwhile, which ends with it, and for
    /// what needs a lock that somebody does not let go: the module is not to wait so long.
    fn roll_back(&mut self) {
        let Prepared {
            tree, id, leader, ..
        } = self.prepared;
        let uid = self.planned.login.uid;
        leader.leave(tree.as_ref(), uid, *id);
        if let Berth::Shared(membership) = &mut self.berth {
            membership.login_ended();
            if !membership.can_end() {
                return self.linger();
            }
        }
        report(*id, self.berth.end());
        match sweep(tree.as_ref(), uid, *id) {
            Err(error) if is_only_held_up(&error, *id) => self.linger(),
            swept => {
                self.berth = Berth::None;
                self.over = true;
                report(*id, swept.map_err(Error::from));
            }
        }
    }

    /// It counts against max_sessions no more.
    fn linger(&self) {
        let id = self.prepared.id;
        let lingers = Record::read(id).and_then(|mut record| {
            record.state = State::Linger;
            record.write()
        });
        report(id, lingers.map_err(Error::from));
    }

    pub fn id(&self) -> SessionId {
        self.prepared.id
    }

    /// After a failure: whether all is undone that this process is to undo. It is not where another login is in the berth, or
    /// somebody does not let the user's lock go.
    pub fn is_rolled_back(&self) -> bool {
        self.over
    }
}

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        if !self.over {
            report(self.id(), self.berth.end());
            let tree = self.prepared.tree.as_ref();
            sweep_until_nothing_is_left(tree, self.planned.login.uid, self.id());
        }
    }
}

fn report(id: SessionId, result: Result<()>) {
    if let Err(error) = result {
        Line::new("sweep")
            .field("session", id)
            .field("error", error)
            .error();
    }
}
