//! One login, from the module's request to the last trace of the session: five steps, in order. Whatever an early return
//! leaves behind is undone by a guard's drop: see [`Opening`].

use std::time::{Duration, Instant};

use berth_config::outcome::{CgroupPlace, OnError, UserManager, UserNamespace};
use berth_protocol::{Channel, ChannelError, JoinAbility, Phase, Reply, Request};
use berth_session::{
    Backend, Cause, Counters, Line, LoginResult, Record, SessionId, Tree, UserFolder,
};
use nix::unistd::Pid;

use crate::decide::{self, Known, Planned, Undecided, Verdict};
use crate::error::{Error, Result};
use crate::frozen;
use crate::keeper::{Berth, Keeper};
use crate::notice::Watch;
use crate::opening::{NotOpened, Opened, Opening, Reason};
use crate::prepared::Prepared;
use crate::privilege;
use crate::standby::{self, Half, Traces, Worker};
use crate::systemd;

/// How long the module may take for its request. The first one is sent before the helper has even
/// started; the session's comes a moment after the account phase, or goes to another helper.
const REQUEST: Duration = Duration::from_secs(10);

/// Serves one login: its account phase, its session, or the one and then the other, which saves the login
/// a second start. `leader` is who made the socket, by the kernel's word.
pub fn serve(channel: Channel, leader: Pid) -> Result<()> {
    let mut ahead = None;
    let served = answer(channel, leader, &mut ahead);
    // However it ended: what a session has used is gone by now, and what none has used goes here.
    if let Some(uid) = ahead {
        forget(uid);
    }
    standby::go_to_who_reaps();
    served
}

/// `ahead` becomes the user for whom something was done before the session.
fn answer(channel: Channel, leader: Pid, ahead: &mut Option<u32>) -> Result<()> {
    // Without a hierarchy there can still be namespaces (cgroup = "keep"), or nothing to do.
    let tree = Tree::find();
    let mut known = Known::default();
    let mut worker = None;
    let (mut request, _): (Request, _) = channel.receive(Instant::now() + REQUEST)?;
    loop {
        let begun = Instant::now();
        // 1. What does the policy say?
        let planned = match decide::decide(&request, &mut known, tree.as_ref().ok()) {
            Ok(Verdict::Untouched) => None,
            Ok(Verdict::Berth(planned)) => Some(planned),
            Ok(Verdict::Refused {
                message,
                login,
                rule,
            }) => {
                let sent = reply(&channel, &Reply::Refused { message });
                Counters::count(LoginResult::Denied);
                decide::about(Line::new("open"), "-", &login)
                    .optional("rule", rule)
                    .field("result", "deny")
                    .info();
                return sent;
            }
            Err(Undecided {
                on_error,
                cause,
                reason,
            }) => {
                return fail(&channel, &request, on_error, cause, &reason);
            }
        };
        match (request.phase, planned) {
            (Phase::Session, Some(planned)) => {
                return open(channel, worker, &request, *planned, tree, leader, begun);
            }
            (Phase::Session, None) => {
                reply(&channel, &Reply::Untouched)?;
                Counters::count(LoginResult::Exempt);
                return Ok(());
            }
            (Phase::Account, None) => reply(&channel, &Reply::Untouched)?,
            (Phase::Account, Some(planned)) => {
                match refusal(&planned, tree.as_ref().ok()) {
                    Ok(None) => reply(&channel, &Reply::Untouched)?,
                    Ok(Some(message)) => return refuse(&channel, &planned, message),
                    Err(error) => {
                        let on_error = Some(planned.berth.on_error);
                        return fail_by(&channel, &request, on_error, &error.into());
                    }
                }
                // What can be done for a session already, when nobody waits.
                let any_tree = tree.as_ref().ok();
                let tree = any_tree.filter(|_| planned.berth.cgroup == CgroupPlace::Own);
                // Before they part: whoever of the two is left takes it back.
                *ahead = tree
                    .filter(|tree| tree.backend() == Backend::Systemd)
                    .map(|_| planned.login.uid);
                if worker.is_none() {
                    match standby::split(tree) {
                        Ok(Half::Worker(new)) => worker = Some(new),
                        Ok(Half::Standby(standby)) => {
                            drop(channel);
                            // Else the worker has taken it back itself. Not where the application is: a user who could freeze
                            // this process there would keep the lock. Where it cannot go it leaves that to the timer.
                            let is_left = standby.stand_by(any_tree) && ahead.is_some();
                            if !(is_left && any_tree.is_some_and(standby::goes_among_the_keepers)) {
                                *ahead = None;
                            }
                            return Ok(());
                        }
                        // Then nothing is done ahead: there would be nobody to take it back for the one that is killed.
                        Err(_) => *ahead = None,
                    }
                }
                if worker.is_some() {
                    do_ahead(tree, &planned);
                }
                known.keep(request, planned);
            }
        }
        // Whoever has passed the account phase is waited for: a request that reaches this socket is answered.
        request = match channel.receive_or_refuse(Instant::now() + REQUEST) {
            Ok((request, _)) => request,
            // An application that asks about accounts only, or takes its time.
            Err(ChannelError::Closed | ChannelError::TimedOut) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
    }
}

/// Why the account phase refuses a login that the policy lets in. The word that counts comes with the session, under the
/// lock; but no refusal there ends `ssh -N`.
fn refusal(planned: &Planned, tree: Option<&Tree>) -> berth_session::Result<Option<String>> {
    let frozen = tree.and_then(|tree| frozen::refusal_at_the_door(tree, planned));
    match frozen {
        Some(message) => Ok(Some(message)),
        None => planned.refusal(|| UserFolder::logins_of(planned.login.uid)),
    }
}

/// What a session needs that nobody waits for yet. Whatever fails here, the session's turn does it again, and tells.
fn do_ahead(tree: Option<&Tree>, planned: &Planned) {
    match tree.map(|tree| (tree, tree.backend())) {
        Some((tree, Backend::Cgroupfs)) => begin_a_grace_period(tree),
        Some((tree, Backend::Systemd)) => {
            let plan = systemd::Plan::new(tree, planned);
            let _ = Record::prepare()
                .map_err(Error::from)
                .and_then(|()| plan?.ahead(tree));
        }
        None => {}
    }
}

/// Steps 2 to 5: opens a session, and keeps it until its end.
fn open(
    channel: Channel,
    worker: Option<Worker>,
    request: &Request,
    planned: Planned,
    tree: berth_session::Result<Tree>,
    leader: Pid,
    begun: Instant,
) -> Result<()> {
    let failed = |error| fail_by(&channel, request, Some(planned.berth.on_error), &error);
    let prepared = match Prepared::new(&planned, tree, leader) {
        Ok(prepared) => prepared,
        Err(error) => return failed(error),
    };
    let tree = prepared.own_tree();
    let half = match worker {
        Some(worker) => Ok(Half::Worker(worker)),
        None => standby::split(tree),
    };
    let worker = match half {
        Ok(Half::Worker(worker)) => worker,
        Ok(Half::Standby(standby)) => {
            drop(channel);
            standby.stand_by(prepared.tree.as_ref());
            return Ok(());
        }
        Err(error) => return failed(error),
    };
    // From here on there may be traces; whoever of the two processes is left removes them.
    let traces = Traces {
        uid: planned.login.uid,
        id: prepared.id,
        leader: prepared.leader.clone(),
        has_cgroup: tree.is_some(),
    };
    if let Err(error) = worker.begins(traces, tree) {
        return failed(error);
    }

    // 2. to 4.; every failure has rolled everything back by the time it is told.
    let Opened {
        group,
        berth,
        record,
        missing,
    } = match Opening::new(&planned, &prepared).open(&channel) {
        Ok(opened) => opened,
        Err(not_opened) => return give_up(&channel, worker, request, &planned, *not_opened),
    };
    worker.has_opened();
    // Only now may the application go on: until the standby knew, the death of this process would have put it back where
    // it came from. One that does not get this is refused, and hangs up.
    let _ = reply(&channel, &Reply::Kept);
    let watch = prepared
        .tree
        .as_ref()
        .zip(group.as_ref())
        .filter(|_| planned.berth.notify)
        .and_then(|(tree, group)| {
            let contact = planned.berth.contact.clone();
            Watch::new(tree, group, planned.login.uid, contact)
        });
    // First of all: what follows may wait for a log daemon.
    let took = begun.elapsed();
    let executable = prepared.leader.executable();
    give_up_what_keeping_does_not_need(prepared.id);
    Counters::count_opened(took);
    let beside = match &berth {
        Berth::Shared(membership) => membership.beside(),
        Berth::None | Berth::Own(_) => None,
    };
    log_opened(request, &planned, &prepared, took, missing, beside);
    // 5. The session is kept by this process until it ends.
    let keeper = Keeper {
        executable,
        tree: prepared.tree,
        record,
        leader: prepared.leader,
        leaders_end: prepared.leaders_end,
        channel,
        group,
        audits: planned.berth.namespaces.user != UserNamespace::Off,
        berth,
        logout: planned.berth.logout,
        accounting: planned.accounting,
        leader_stays: false,
    };
    keeper.keep(watch);
    Ok(())
}

/// Tells why a session was not opened. Everything is rolled back, but for a berth that another login has joined meanwhile:
/// this process keeps it until that has ended, too.
fn give_up(
    channel: &Channel,
    worker: Worker,
    request: &Request,
    planned: &Planned,
    NotOpened { why, rest }: NotOpened<'_>,
) -> Result<()> {
    let told = match why {
        Reason::Refused(message) => refuse(channel, planned, message),
        Reason::Failed(error) => {
            let text = error.to_string();
            let sent = tell_failure(channel, Some(planned.berth.on_error), &text);
            Counters::count_failure(LoginResult::RolledBack, error.cause());
            log_failure(request, &text);
            sent
        }
    };
    if rest.is_rolled_back() {
        return told;
    }
    worker.has_opened();
    give_up_what_keeping_does_not_need(rest.id());
    drop(rest);
    // Whether the module heard of it or not, it is the good end of a keeper to its standby.
    Ok(())
}

/// The line of a session that is open. What the policy asks for and the session does not have makes it a warning.
fn log_opened(
    request: &Request,
    planned: &Planned,
    prepared: &Prepared,
    took: Duration,
    mut missing: Vec<String>,
    beside: Option<String>,
) {
    // What is cut off at the end of a long line is not to be that there is no berth.
    missing.splice(0..0, planned.notes.iter().cloned());
    let outside = |tree| systemd::has_manager_outside(tree, planned.login.uid);
    if request.join != JoinAbility::Manager
        && planned.berth.namespaces.user_manager == UserManager::Isolated
        && prepared.tree.as_ref().is_some_and(outside)
    {
        missing
            .push("the service manager is hidden and not in the berth (see berth doctor)".into());
    }
    let line = planned.line(prepared.id).field("result", "ok");
    let line = line.field("setup_us", took.as_micros());
    let line = line.optional("beside", beside);
    if missing.is_empty() {
        line.info();
    } else {
        line.field("not_enforced", missing.join("; ")).warning();
    }
}

/// For a session that is open, and that somebody has to keep: where this fails there is more privilege than needed,
/// not less.
fn give_up_what_keeping_does_not_need(id: SessionId) {
    if let Err(error) = privilege::for_keeping() {
        let line = Line::new("keeper").field("session", id);
        line.field("error", error).error();
    }
}

fn reply(channel: &Channel, reply: &Reply) -> Result<()> {
    Ok(channel.send(reply, None)?)
}

/// As after a failure: an application that is gone by now was refused all the same.
fn refuse(channel: &Channel, planned: &Planned, reason: String) -> Result<()> {
    let message = Some(reason.clone());
    let sent = reply(channel, &Reply::Refused { message });
    Counters::count(LoginResult::Denied);
    let line = planned.line("-").field("result", "deny");
    line.field("reason", reason).info();
    sent
}

/// A failure before anything was changed. Tells the module first and the log second: a log daemon that hangs must
/// not hold up the login.
fn fail(
    channel: &Channel,
    request: &Request,
    on_error: Option<OnError>,
    cause: Cause,
    reason: &str,
) -> Result<()> {
    let sent = tell_failure(channel, on_error, reason);
    // One that is let in all the same comes again with its session, and is counted then.
    let is_let_in = on_error.unwrap_or(request.on_error) == OnError::Allow;
    if request.phase == Phase::Session || !is_let_in {
        Counters::count_failure(LoginResult::Failed, cause);
    }
    log_failure(request, reason);
    // A module that has given up already gets no answer, but the log gets its line.
    sent
}

fn fail_by(
    channel: &Channel,
    request: &Request,
    on_error: Option<OnError>,
    error: &Error,
) -> Result<()> {
    fail(
        channel,
        request,
        on_error,
        error.cause(),
        &error.to_string(),
    )
}

fn tell_failure(channel: &Channel, on_error: Option<OnError>, reason: &str) -> Result<()> {
    let message = reason.to_string();
    reply(channel, &Reply::Failed { on_error, message })
}

fn log_failure(request: &Request, reason: &str) {
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
}

/// Takes back what was done ahead for a session that did not come, or failed.
fn forget(uid: u32) {
    let tree = Tree::find().map_err(Error::from);
    if let Err(error) = tree.and_then(|tree| systemd::take_back(&tree, uid)) {
        let line = Line::new("account").field("uid", uid);
        line.field("error", error).warning();
    }
}

/// Moving a process waits for a grace period of the kernel's, unless another move has begun one. The
/// account phase comes a few milliseconds before the session's, so a move to where this process
/// already is, made now, saves the login most of that wait.
fn begin_a_grace_period(tree: &Tree) {
    if let Ok(Some(here)) = tree.of_process(std::process::id() as i32) {
        let _ = here.write("cgroup.procs", "0"); // only a head start
    }
}
