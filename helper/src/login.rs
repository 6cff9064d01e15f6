//! One login, from the module's request to the last trace of the session: five steps, in order. Whatever an early return
//! leaves behind is undone by a guard's drop: see [`Opening`].

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use berth_config::outcome::{CgroupPlace, OnError, UserManager, UserNamespace};
use berth_protocol::{Channel, ChannelError, JoinAbility, Phase, Reply, Request};
use berth_session::{Backend, Counters, Line, LoginResult, Record, SessionId, Tree, UserFolder};
use nix::unistd::Pid;

use crate::decide::{self, Known, Planned, Verdict};
use crate::error::{Error, Result};
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
    let (request, _): (Request, _) = channel.receive(Instant::now() + REQUEST)?;
    if request.phase == Phase::Session {
        return session(channel, None, &request, known, tree, leader);
    }
    let passed = account(channel, request, &mut known, tree.as_ref().ok(), ahead)?;
    let Some((channel, worker)) = passed else {
        return Ok(());
    };
    // Whoever has passed the account phase is waited for: a request that reaches this socket is answered.
    match channel.receive_or_refuse::<Request>(Instant::now() + REQUEST) {
        Ok((request, _)) if request.phase == Phase::Session => {
            session(channel, worker, &request, known, tree, leader)
        }
        // No module asks the same helper about a second account.
        Ok(_) => Err(ChannelError::Malformed.into()),
        // An application that asks about accounts only, or takes its time.
        Err(ChannelError::Closed | ChannelError::TimedOut) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Step 1: what the policy says, and nothing where it leaves the login alone. A refusal and a failure are told, and
/// are the end.
fn plan(
    channel: &Channel,
    request: &Request,
    known: &mut Known,
    tree: Option<&Tree>,
) -> ControlFlow<Result<()>, Option<Box<Planned>>> {
    match decide::decide(request, known, tree) {
        Ok(Verdict::Untouched) => ControlFlow::Continue(None),
        Ok(Verdict::Berth(planned)) => ControlFlow::Continue(Some(planned)),
        Ok(Verdict::Refused {
            message,
            login,
            rule,
        }) => {
            let sent = reply(channel, &Reply::Refused { message });
            Counters::count(LoginResult::Denied);
            decide::about(Line::new("open"), "-", &login)
                .optional("rule", rule)
                .field("result", "deny")
                .info();
            ControlFlow::Break(sent)
        }
        Err((on_error, error)) => ControlFlow::Break(fail(channel, request, on_error, &error)),
    }
}

/// The account phase. Where a session may follow, the socket, and the worker that is to open it; elsewhere all is told.
fn account(
    channel: Channel,
    request: Request,
    known: &mut Known,
    tree: Option<&Tree>,
    ahead: &mut Option<u32>,
) -> Result<Option<(Channel, Option<Worker>)>> {
    let planned = match plan(&channel, &request, known, tree) {
        ControlFlow::Continue(planned) => planned,
        ControlFlow::Break(told) => return told.map(|()| None),
    };
    let Some(planned) = planned else {
        reply(&channel, &Reply::Untouched)?;
        return Ok(Some((channel, None)));
    };
    // The word that counts comes with the session, under the lock; but no refusal there ends `ssh -N`.
    match planned.refusal(tree, || UserFolder::logins_of(planned.login.uid)) {
        Ok(None) => reply(&channel, &Reply::Untouched)?,
        Ok(Some(message)) => return refuse(&channel, &planned, message).map(|()| None),
        Err(error) => {
            let on_error = planned.berth.on_error;
            return fail(&channel, &request, on_error, &error.into()).map(|()| None);
        }
    }
    // What can be done for a session already, when nobody waits.
    let own = tree.filter(|_| planned.berth.cgroup == CgroupPlace::Own);
    // Before they part: whoever of the two is left takes it back.
    *ahead = own
        .filter(|tree| tree.backend() == Backend::Systemd)
        .map(|_| planned.login.uid);
    let worker = match standby::split(own) {
        Ok(Half::Worker(worker)) => {
            do_ahead(own, &planned);
            Some(worker)
        }
        Ok(Half::Standby(standby)) => {
            drop(channel);
            // Else the worker has taken it back itself. Not where the application is: a user who could freeze
            // this process there would keep the lock. Where it cannot go it leaves that to the timer.
            let is_left = standby.stand_by(tree) && ahead.is_some();
            if !(is_left && tree.is_some_and(standby::goes_among_the_keepers)) {
                *ahead = None;
            }
            return Ok(None);
        }
        // Then nothing is done ahead: there would be nobody to take it back for the one that is killed.
        Err(_) => {
            *ahead = None;
            None
        }
    };
    known.keep(request, planned);
    Ok(Some((channel, worker)))
}

/// The session, by what the account phase has left, if there was one.
fn session(
    channel: Channel,
    worker: Option<Worker>,
    request: &Request,
    mut known: Known,
    tree: berth_session::Result<Tree>,
    leader: Pid,
) -> Result<()> {
    let begun = Instant::now();
    match plan(&channel, request, &mut known, tree.as_ref().ok()) {
        ControlFlow::Continue(Some(planned)) => {
            open(channel, worker, request, *planned, tree, leader, begun)
        }
        ControlFlow::Continue(None) => {
            reply(&channel, &Reply::Untouched)?;
            Counters::count(LoginResult::Exempt);
            Ok(())
        }
        ControlFlow::Break(told) => told,
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
    let failed = |error| fail(&channel, request, planned.berth.on_error, &error);
    let prepared = match Prepared::new(&planned, request.join, tree, leader) {
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
        notify: planned.berth.notify,
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
            let on_error = planned.berth.on_error;
            fail_as(LoginResult::RolledBack, channel, request, on_error, &error)
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

/// A failure before anything was changed.
fn fail(channel: &Channel, request: &Request, on_error: OnError, error: &Error) -> Result<()> {
    fail_as(LoginResult::Failed, channel, request, on_error, error)
}

/// Tells the module first and the log second: a log daemon that hangs must not hold up the login.
fn fail_as(
    counted: LoginResult,
    channel: &Channel,
    request: &Request,
    on_error: OnError,
    error: &Error,
) -> Result<()> {
    let message = error.to_string();
    let sent = reply(channel, &Reply::Failed { on_error, message });
    // One that is let in all the same comes again with its session, and is counted then.
    if request.phase == Phase::Session || on_error == OnError::Deny {
        Counters::count_failure(counted, error.cause());
    }
    let text = String::from_utf8_lossy;
    Line::new("open")
        .field("session", "-")
        .field("user", text(&request.user))
        .field("service", text(&request.service))
        .field("tty", text(&request.tty))
        .field("rhost", text(&request.rhost))
        .field("result", "error")
        .field("error", error)
        .error();
    // A module that has given up already gets no answer, but the log gets its line.
    sent
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

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;

    use berth_protocol::JoinAbility;

    use super::*;
    use crate::decide::tests::request;
    use crate::own_folder::Folder;

    #[test]
    fn a_second_account_phase_on_one_socket_is_an_error_and_no_wait() {
        let folder = Folder::new();
        let policy = folder.join("policy.toml");
        std::fs::write(&policy, "version = 1\n").unwrap();
        let request = Request {
            phase: Phase::Account,
            user: "root".into(),
            policy: Some(policy.as_os_str().as_bytes().into()),
            ..request(JoinAbility::Yes)
        };
        let (ours, theirs) = Channel::pair().unwrap();
        for _ in 0..2 {
            theirs.send(&request, None).unwrap();
        }
        let answered = answer(ours, Pid::this(), &mut None);
        assert!(
            matches!(answered, Err(Error::Channel(ChannelError::Malformed))),
            "{answered:?}"
        );
        let reply = || theirs.receive::<Reply>(Instant::now());
        assert!(matches!(reply(), Ok((Reply::Untouched, None))));
        assert!(matches!(reply(), Err(ChannelError::Closed)));
    }
}
