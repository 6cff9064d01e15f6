//! One login, from the module's request to the last trace of the session: DESIGN.md's five steps, in
//! order, each with the undo that goes with it.

use std::collections::BTreeSet;
use std::fs;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use berth_config::outcome::{self, CgroupPlace, OnError, Resource, Scope, UserNamespace};
use berth_protocol::{Ack, Channel, ChannelError, Phase, Reply, Request, Session};
use berth_session::{Group, NamespaceIds, Record, Role, SessionId, State, Tree, UserFolder, sweep};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::Pid;

use crate::decide::{self, Planned, Undecided, Verdict};
use crate::error::{Error, Result};
use crate::filter::{self, UserNamespaces};
use crate::idmap;
use crate::init::{self, Init};
use crate::keeper::{Berth, Keeper};
use crate::leader::{Leader, as_libc};
use crate::log::Line;
use crate::shared::Membership;
use crate::standby::Standby;
use crate::{cgroup, kernel, mounts, privilege};

/// How long the module may take for its request. It is sent before the helper has even started.
const REQUEST: Duration = Duration::from_secs(10);

/// How long the module may take to join. Its own deadline is shorter, and closes the socket.
const ACKNOWLEDGEMENT: Duration = Duration::from_secs(60);

/// There on every machine whose PID 1 is systemd (sd_booted(3)).
const SYSTEMD: &str = "/run/systemd/system";

/// Serves one login. `leader` is who made the socket, by the kernel's word.
pub fn serve(channel: Channel, leader: Pid) -> Result<()> {
    let begun = Instant::now();
    let (request, _): (Request, _) = channel.receive(begun + REQUEST)?;

    // Without a hierarchy there can still be namespaces (cgroup = "keep"), or nothing to do.
    let tree = Tree::find();

    // 1. What does the policy say?
    let planned = match decide::decide(&request, tree.as_ref().ok()) {
        Ok(Verdict::Untouched) => return reply(&channel, &Reply::Untouched),
        Ok(Verdict::Refused {
            message,
            login,
            rule,
        }) => {
            reply(&channel, &Reply::Refused { message })?;
            decide::who("open", "-", &login)
                .optional("rule", rule)
                .field("result", "deny")
                .info();
            return Ok(());
        }
        Ok(Verdict::Berth(planned)) => planned,
        Err(Undecided { on_error, reason }) => return fail(&channel, &request, on_error, &reason),
    };
    if request.phase == Phase::Account {
        reply(&channel, &Reply::Untouched)?;
        if planned.berth.cgroup == CgroupPlace::Own {
            begin_a_grace_period(tree.ok().as_ref());
        }
        return Ok(());
    }
    let on_error = Some(planned.berth.on_error);
    let prepared = Prepared::new(&planned, tree, leader);
    let prepared = match prepared {
        Ok(prepared) => prepared,
        Err(error) => return fail(&channel, &request, on_error, &error.to_string()),
    };

    // From here on there may be traces; whoever of the two processes is left removes them.
    let mut channel = Some(channel);
    let standby = Standby {
        tree: prepared.tree.as_ref(),
        uid: planned.login.uid,
        id: prepared.id,
        leader: &prepared.leader,
    };
    let worker = match standby.split(|| drop(channel.take())) {
        Ok(worker) => worker,
        Err(error) => {
            return channel.map_or(Ok(()), |channel| {
                fail(&channel, &request, on_error, &error.to_string())
            });
        }
    };
    let (Some(worker), Some(channel)) = (worker, channel) else {
        return Ok(()); // The standby, after the session's end.
    };

    // 2. to 4.; every failure has rolled everything back by the time it is told.
    match Opening::new(&planned, &prepared).open(&channel) {
        Ok(opened) => {
            drop(worker); // The login is through.
            let Opened {
                group,
                berth,
                record,
                missing,
            } = opened;
            let mut line = planned.line(prepared.id).field("result", "ok");
            line = line.field("setup_us", begun.elapsed().as_micros());
            if missing.is_empty() && planned.notes.is_empty() {
                line.info();
            } else {
                line.field("not_enforced", [missing, planned.notes].concat().join("; "))
                    .warning();
            }
            // 5. The session is kept by this process until it ends.
            privilege::for_keeping()?;
            let keeper = Keeper {
                executable: prepared.leader.executable(),
                tree: prepared.tree,
                record,
                leader: prepared.leader,
                channel,
                group,
                audits: planned.berth.namespaces.user != UserNamespace::Off,
                berth,
                logout: planned.berth.logout,
            };
            keeper.keep();
            Ok(())
        }
        Err(NotOpened::Refused(message)) => {
            reply(
                &channel,
                &Reply::Refused {
                    message: Some(message.clone()),
                },
            )?;
            planned
                .line("-")
                .field("result", "deny")
                .field("reason", message)
                .info();
            Ok(())
        }
        Err(NotOpened::Failed(error)) => fail(&channel, &request, on_error, &error.to_string()),
    }
}

fn reply(channel: &Channel, reply: &Reply) -> Result<()> {
    Ok(channel.send(reply, None)?)
}

/// Tells the module first and the log second: a log daemon that hangs must not hold up the login.
fn fail(
    channel: &Channel,
    request: &Request,
    on_error: Option<OnError>,
    reason: &str,
) -> Result<()> {
    let on_error = on_error.map(|on_error| match on_error {
        OnError::Allow => berth_protocol::OnError::Allow,
        OnError::Deny => berth_protocol::OnError::Deny,
    });
    let message = reason.to_string();
    // A module that has given up already gets no answer, but the log gets its line.
    let sent = reply(channel, &Reply::Failed { on_error, message });
    let text = String::from_utf8_lossy;
    Line::new("open")
        .field("session", "-")
        .field("user", text(&request.user))
        .field("service", text(&request.service))
        .field("tty", text(&request.tty))
        .field("rhost", text(&request.rhost))
        .field("result", "error")
        .field("error", reason)
        .error();
    sent
}

fn has_hung_up(channel: &Channel) -> bool {
    let mut fds = [PollFd::new(channel.as_fd(), PollFlags::empty())];
    poll(&mut fds, PollTimeout::ZERO) != Ok(0)
}

/// Moving a process waits for a grace period of the kernel's, unless another move has begun one. The
/// account phase comes a few milliseconds before the session's, so a move to where this process
/// already is, made now, saves the login most of that wait.
fn begin_a_grace_period(tree: Option<&Tree>) {
    let here = tree.and_then(|tree| tree.of_process(std::process::id() as i32));
    if let Some(here) = here {
        let _ = here.write("cgroup.procs", "0"); // only a head start
    }
}

/// What is known before anything is changed.
struct Prepared {
    tree: Option<Tree>,
    id: SessionId,
    leader: Leader,
    caps: Option<cgroup::Plan>,
    owner: u32,
    maps: Option<init::Maps>,
}

impl Prepared {
    fn new(planned: &Planned, tree: berth_session::Result<Tree>, leader: Pid) -> Result<Prepared> {
        let berth = &planned.berth;
        let uid = planned.login.uid;
        kernel::is_new_enough()?;
        let tree = match berth.cgroup {
            CgroupPlace::Own if Path::new(SYSTEMD).exists() => {
                return Err(Error::Unsupported(
                    "caps on a machine that systemd runs (its cgroups are systemd's to change)",
                ));
            }
            CgroupPlace::Own => Some(tree?),
            // Not touched, then, by Berth's own processes either: they stay with the login's.
            CgroupPlace::Keep => None,
        };
        let caps = tree.as_ref().map(|tree| {
            let outcome::Berth {
                user_caps,
                session_caps,
                missing_controller,
                ..
            } = berth;
            cgroup::Plan::new(tree, uid, user_caps, session_caps, *missing_controller)
        });
        let caps = caps.transpose()?;
        let leader = Leader::of(leader, tree.as_ref())?;
        let owner = idmap::owner(planned.owner_uid_base, uid)?;
        let maps = maps(planned, &leader)?;
        Record::prepare()?;
        Ok(Prepared {
            tree,
            id: SessionId::next()?,
            leader,
            caps,
            owner,
            maps,
        })
    }
}

/// The maps of the login's user namespace, if it gets one.
fn maps(planned: &Planned, leader: &Leader) -> Result<Option<init::Maps>> {
    let own = |path: &'static str| {
        fs::read_to_string(path).map_err(|source| Error::File {
            action: "read",
            path: path.into(),
            source,
        })
    };
    let base = planned.owner_uid_base;
    let login = &planned.login;
    Ok(match planned.berth.namespaces.user {
        UserNamespace::Off => None,
        UserNamespace::Identity => Some(init::Maps {
            uids: idmap::identity(&own("/proc/self/uid_map")?, base)?,
            gids: idmap::identity(&own("/proc/self/gid_map")?, base)?,
        }),
        UserNamespace::Minimal => {
            // All that the application still sets after the join: root, the user, every group that
            // the databases or pam_group give it, and the terminal's group.
            let tty = nix::unistd::Group::from_name("tty").ok().flatten();
            let mut gids: BTreeSet<u32> = login.groups.iter().map(|group| group.gid).collect();
            gids.extend([0, login.gid]);
            gids.extend(leader.groups());
            gids.extend(tty.map(|tty| tty.gid.as_raw()));
            Some(init::Maps {
                uids: idmap::minimal("the login's users", [0, login.uid])?,
                gids: idmap::minimal("the login's groups", gids)?,
            })
        }
    })
}

/// Why a session was not opened. Everything is rolled back.
enum NotOpened {
    Refused(String),
    Failed(Error),
}

impl<E: Into<Error>> From<E> for NotOpened {
    fn from(error: E) -> NotOpened {
        NotOpened::Failed(error.into())
    }
}

/// A session that the module has acknowledged.
struct Opened {
    group: Option<Group>,
    berth: Berth,
    record: Record,
    missing: Vec<String>,
}

/// A session that is being opened. Dropped before the acknowledgement it rolls everything back, last
/// step first.
struct Opening<'a> {
    planned: &'a Planned,
    prepared: &'a Prepared,
    berth: Berth,
    rlimits: Vec<(u32, libc::rlimit)>,
    oom_score_adj: Option<String>,
    acknowledged: bool,
}

impl<'a> Opening<'a> {
    fn new(planned: &'a Planned, prepared: &'a Prepared) -> Opening<'a> {
        Opening {
            planned,
            prepared,
            berth: Berth::None,
            rlimits: Vec::new(),
            oom_score_adj: None,
            acknowledged: false,
        }
    }

    fn open(mut self, channel: &Channel) -> std::result::Result<Opened, NotOpened> {
        let (planned, prepared) = (self.planned, self.prepared);
        let Prepared { id, leader, .. } = prepared;
        clean_up_after_the_dead(prepared.tree.as_ref(), planned.login.uid);

        // The init mounts while this process makes cgroups.
        let plan = self.init_plan();
        let mut own = match (plan.flags(), planned.berth.namespaces.scope) {
            (0, _) | (_, Scope::User) => None,
            (_, Scope::Session) => Some(plan.start()?),
        };

        // 2. The session's cgroup, under the user's lock.
        let mut record = self.record()?;
        record.write()?;
        let folder = UserFolder::lock(planned.login.uid)?;
        self.refuse_too_many(&folder)?;
        folder.add(*id)?;
        let place = match (&prepared.caps, &prepared.tree) {
            (Some(caps), Some(tree)) => Some(caps.carry_out(tree, *id)?),
            _ => None,
        };

        // 3. The namespaces: the user's shared ones, found or made under the same lock, or its own.
        if plan.flags() != 0 && planned.berth.namespaces.scope == Scope::User {
            let needs = format!(
                "{:?} {:?} {:?}",
                planned.berth.namespaces, planned.berth.privileges, plan.maps
            );
            let membership = match Membership::find(&folder, &needs)? {
                Some(found) => found,
                None => {
                    let mut init = plan.start()?;
                    init.finish(&plan)?;
                    let namespaces = namespace_ids(&init, plan.flags());
                    Membership::found_by(&folder, *id, &needs, init, namespaces)?
                }
            };
            self.berth = Berth::Shared(membership);
        }
        drop(folder);
        if let Some(mut init) = own.take() {
            init.finish(&plan)?;
            self.berth = Berth::Own(init);
        }

        // The application itself, last: until here nothing of it has changed. A module that has given
        // up meanwhile may have let it go on without a berth; then it is not to be touched.
        if has_hung_up(channel) {
            return Err(Error::Channel(ChannelError::Closed).into());
        }
        self.oom_score_adj = leader.lower_oom_protection()?;
        for rlimit in &planned.berth.rlimits {
            self.rlimits.push(leader.limit(rlimit)?);
        }
        if let Some(place) = &place {
            leader.move_to(&place.group)?;
        }

        // 4. Over to the module.
        let tree = prepared.tree.as_ref();
        record.cgroup = place
            .as_ref()
            .zip(tree)
            .map(|(place, tree)| tree.below(&place.group));
        (record.init, record.namespaces) = match &self.berth {
            Berth::None => (None, NamespaceIds::default()),
            Berth::Own(init) => (
                Role::of(init.pid().as_raw()),
                namespace_ids(init, plan.flags()),
            ),
            Berth::Shared(membership) => (Some(membership.init()), membership.namespaces()),
        };
        // Before the answer: should this process be killed right after it, the session counts as
        // opened, and what is in it does not go on without a keeper.
        record.state = State::Active;
        record.write()?;
        channel.send(&Reply::Ready(self.session(plan.flags())), self.pidfd())?;
        match channel.receive(Instant::now() + ACKNOWLEDGEMENT)?.0 {
            Ack::Joined => {}
            Ack::Failed { message } => return Err(Error::CannotJoin(message).into()),
        }
        self.acknowledged = true;
        let (group, missing) = match place {
            Some(place) => (Some(place.group), place.missing),
            None => (None, Vec::new()),
        };
        Ok(Opened {
            group,
            berth: std::mem::replace(&mut self.berth, Berth::None),
            record,
            missing,
        })
    }

    fn init_plan(&self) -> init::Plan<'a> {
        let (planned, prepared) = (self.planned, self.prepared);
        // What a user namespace takes from its maker as ceilings for everybody in it: as high as the
        // policy lets the user go, and no ceiling of its own on processes.
        let ceilings = planned.berth.rlimits.iter().filter(|rlimit| {
            matches!(
                rlimit.resource,
                Resource::Memlock | Resource::Msgqueue | Resource::Sigpending
            )
        });
        let mut rlimits: Vec<_> = ceilings
            .map(|rlimit| {
                let (resource, mut ceiling) = as_libc(rlimit);
                ceiling.rlim_cur = ceiling.rlim_max;
                (resource, ceiling)
            })
            .collect();
        let infinity = libc::rlimit {
            rlim_cur: libc::RLIM_INFINITY,
            rlim_max: libc::RLIM_INFINITY,
        };
        rlimits.push((libc::RLIMIT_NPROC, infinity));
        init::Plan {
            mounts: mounts::Plan {
                namespaces: &planned.berth.namespaces,
                id: prepared.id,
                uid: planned.login.uid,
            },
            owner: prepared.owner,
            maps: prepared.maps.as_ref(),
            nested_userns: planned.berth.privileges.nested_userns,
            rlimits,
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
        let tree = self.prepared.tree.as_ref();
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Ok(Record {
            id: self.prepared.id,
            user: login.user.clone(),
            uid: login.uid,
            service: login.service.clone(),
            tty: login.tty.clone(),
            rhost: login.rhost.clone(),
            profile: berth.profile.clone(),
            rule: rule.clone(),
            user_rule: user_rule.clone(),
            opened: now.map_or(0, |now| now.as_secs()),
            state: State::Opening,
            leader: leader.role(),
            keeper: Role::of(std::process::id() as i32)
                .ok_or(Error::Init("cannot be kept: /proc is not mounted".into()))?,
            init: None,
            cgroup: None,
            origin: leader
                .origin()
                .zip(tree)
                .map(|(origin, tree)| tree.below(origin)),
            namespaces: NamespaceIds::default(),
        })
    }

    /// `max_sessions`. Sessions that only linger do not count: a user could not log in to end them.
    fn refuse_too_many(&self, folder: &UserFolder) -> std::result::Result<(), NotOpened> {
        let Some(max) = self.planned.berth.max_sessions else {
            return Ok(());
        };
        let others = folder
            .sessions()?
            .into_iter()
            .filter(|id| Record::read(*id).is_ok_and(|other| other.state != State::Linger));
        if others.count() < max as usize {
            return Ok(());
        }
        Err(NotOpened::Refused(format!(
            "You have {max} sessions already, and no more are allowed."
        )))
    }

    /// What the module has to do to the application.
    fn session(&self, namespaces: i32) -> Session {
        let berth = &self.planned.berth;
        let user = berth.namespaces.user != UserNamespace::Off;
        let filter = if namespaces == 0 && !berth.privileges.no_new_privs {
            Vec::new()
        } else if user || berth.privileges.nested_userns {
            // With a user namespace its own limit does it, for every way to ask for one.
            filter::build(UserNamespaces::Allowed)
        } else {
            filter::build(UserNamespaces::Refused)
        };
        Session {
            id: self.prepared.id.to_string(),
            on_error: match berth.on_error {
                OnError::Allow => berth_protocol::OnError::Allow,
                OnError::Deny => berth_protocol::OnError::Deny,
            },
            namespaces,
            no_new_privs: berth.privileges.no_new_privs,
            empty_bounding_set: user,
            new_keyring: user,
            filter,
        }
    }

    fn pidfd(&self) -> Option<BorrowedFd<'_>> {
        match &self.berth {
            Berth::None => None,
            Berth::Own(init) => Some(init.pidfd()),
            Berth::Shared(membership) => membership.pidfd(),
        }
    }
}

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        if self.acknowledged {
            return;
        }
        let Prepared {
            tree, id, leader, ..
        } = self.prepared;
        let uid = self.planned.login.uid;
        let from = tree.as_ref().map(|tree| tree.session(uid, *id));
        leader.go_back(tree.as_ref(), from.as_ref().map_or(&[], |from| from));
        for (resource, old) in self.rlimits.drain(..).rev() {
            leader.unlimit(resource, old);
        }
        if let Some(old) = self.oom_score_adj.take() {
            leader.raise_oom_protection(&old);
        }
        match std::mem::replace(&mut self.berth, Berth::None) {
            // With another login in it already, this waits for that login's end.
            Berth::Shared(membership) => {
                report(*id, membership.end(uid).map(drop));
            }
            Berth::Own(init) => drop(init),
            Berth::None => {}
        }
        report(*id, sweep(tree.as_ref(), uid, *id).map_err(Error::from));
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

/// Removes what this user's earlier sessions left, if keeper and standby were both killed.
fn clean_up_after_the_dead(tree: Option<&Tree>, uid: u32) {
    let sessions = UserFolder::lock(uid).and_then(|folder| folder.sessions());
    for id in sessions.unwrap_or_default() {
        if Record::read(id).is_ok_and(|record| !record.keeper.is_alive()) {
            report(id, sweep(tree, uid, id).map_err(Error::from));
        }
    }
}

/// The inode numbers of an init's namespaces, of those that it does not share with the host.
fn namespace_ids(init: &Init, flags: i32) -> NamespaceIds {
    let inode = |flag: i32, name: &str| {
        let path = format!("/proc/{}/ns/{name}", init.pid());
        let metadata = (flags & flag != 0).then(|| fs::metadata(path))?;
        metadata.ok().map(|metadata| metadata.ino())
    };
    NamespaceIds {
        pid: inode(libc::CLONE_NEWPID, "pid"),
        ipc: inode(libc::CLONE_NEWIPC, "ipc"),
        mount: inode(libc::CLONE_NEWNS, "mnt"),
        user: inode(libc::CLONE_NEWUSER, "user"),
    }
}
