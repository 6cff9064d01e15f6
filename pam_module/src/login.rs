//! `pam_sm_acct_mgmt` and `pam_sm_open_session`: whom Berth leaves alone, and what it asks for the others.

use berth_protocol::{JoinAbility, OnError, Phase, Reply, Request};

use crate::arguments::{Arguments, Line};
use crate::code::Verdict;
use crate::error::Error;
use crate::host::{ExemptList, Host, Item, Level, Privilege};
use crate::join;
use crate::nested::Nested;
use crate::service::join_ability;
use crate::text::quoted;

/// The longest item that is passed on. Nobody's name, terminal or address comes near it, and the request
/// with all of them stays far below what a message may have.
pub const LONGEST_ITEM: usize = 1024;

/// One call of either function.
pub fn decide<H: Host>(host: &mut H, arguments: &Arguments, phase: Phase) -> Verdict {
    let is_understood = arguments.problems.is_empty();
    // One that is not may have been meant to open.
    if phase == Phase::Session && arguments.line == Line::Close && is_understood {
        return Verdict::Pass;
    }
    let user = match host.item(Item::User) {
        Ok(user) if user.is_empty() => {
            return unheard(host, arguments, &Error::NoUser);
        }
        Ok(user) => user,
        Err(error) => return unheard(host, arguments, &error),
    };
    // Before anything that can be broken: whom local files exempt gets in whatever the rest is like.
    if exempt(host, arguments, &user) {
        return Verdict::Pass;
    }
    // A screen locker without privilege asks about its own user, and can place nobody. What opens a session is a login,
    // which goes on all the same.
    if host.privilege() == Privilege::Ordinary {
        match phase {
            Phase::Session => {
                let line = format!(
                    "the application is not root: the login of {} goes on without a berth",
                    quoted(&user)
                );
                host.log(Level::Warning, &line);
            }
            Phase::Account if arguments.debug => host.log(
                Level::Debug,
                "the application is not root: nothing to do with logins",
            ),
            Phase::Account => {}
        }
        return Verdict::Ignore;
    }
    if !is_understood {
        let error = Error::Arguments(arguments.problems.join("; "));
        return unheard(host, arguments, &error);
    }
    let request = match request(host, arguments, phase, user) {
        Ok(request) => request,
        Err(error @ Error::ItemTooLong(..)) => {
            // Not a failure of ours that on_error could excuse: no honest login is like this.
            host.log(Level::Notice, &format!("login refused: {error}"));
            return Verdict::Refused;
        }
        Err(error) => return unheard(host, arguments, &error),
    };
    // su-l includes su: listed twice in one stack, the first line's word counts for both. Also when it was
    // a failure, or a hung helper would cost its time twice.
    if let Some((verdict, policy)) = host.kept(phase, &request.user) {
        if verdict != Verdict::Pass || policy == request.policy {
            return verdict;
        }
        // Nor are there two sessions.
        let error = Error::Arguments("another line of this stack has another policy=".into());
        return failure(host, request.on_error, &error);
    }
    match host.nested(&request.user) {
        Nested::Outside => {}
        Nested::Same => return Verdict::Pass,
        inside @ (Nested::Other(_) | Nested::Joined | Nested::Unrecorded) => {
            let user = quoted(&request.user);
            host.log(Level::Notice, &format!("login of {user} refused: {inside}"));
            return Verdict::Refused;
        }
    }
    ask(host, arguments, &request)
}

fn exempt<H: Host>(host: &mut H, arguments: &Arguments, user: &[u8]) -> bool {
    // A policy named on the line has its own [exempt], which only the helper can read.
    let list = match arguments.policy {
        Some(_) => ExemptList::RootOnly,
        None => ExemptList::Installed,
    };
    match host.exempt(list, user) {
        Ok(exempt) => exempt,
        Err(error) => {
            host.log(Level::Error, &error.to_string());
            host.exempt(ExemptList::RootOnly, user).unwrap_or(false)
        }
    }
}

fn request<H: Host>(
    host: &mut H,
    arguments: &Arguments,
    phase: Phase,
    user: Vec<u8>,
) -> Result<Request, Error> {
    let bounded = |item, bytes: Vec<u8>| match bytes.len() {
        0..=LONGEST_ITEM => Ok(bytes),
        length => Err(Error::ItemTooLong(item, length, LONGEST_ITEM)),
    };
    let user = bounded(Item::User, user)?;
    let mut item = |item| bounded(item, host.item(item)?);
    let (service, tty) = (item(Item::Service)?, item(Item::Tty)?);
    let (rhost, ruser) = (item(Item::Rhost)?, item(Item::Ruser)?);
    let policy = arguments.policy.as_ref();
    let join = join_ability(&service, host.threads(), host.program());
    let on_error = match (arguments.on_error, join) {
        // It asks from among what its user runs, and so its user can keep the helper from answering.
        (None, JoinAbility::Manager) => OnError::Deny,
        _ => on_error(host, arguments),
    };
    Ok(Request {
        phase,
        user,
        join,
        service,
        tty,
        rhost,
        ruser,
        policy: policy.map(|path| path.as_os_str().as_encoded_bytes().to_vec()),
        on_error,
    })
}

fn ask<H: Host>(host: &mut H, arguments: &Arguments, request: &Request) -> Verdict {
    // One deadline for all of the call. `timeout` is bounded, so the sum exists.
    let now = host.now();
    let deadline = now.checked_add(arguments.timeout).unwrap_or(now);
    let reply = host.ask(&arguments.helper, request, deadline);
    if arguments.debug {
        let reply = match &reply {
            Ok(Reply::Untouched) => "nothing to object to",
            Ok(Reply::Refused { .. }) => "refused",
            Ok(Reply::Failed { .. }) => "failed",
            Ok(Reply::Ready(_)) => "ready",
            Ok(Reply::Kept) => "kept",
            Err(_) => "none",
        };
        let (user, join) = (quoted(&request.user), request.join);
        host.log(
            Level::Debug,
            &format!(
                "{:?} of {user}: join {join:?}, the helper's reply: {reply}",
                request.phase
            ),
        );
    }
    let verdict = match (reply, request.phase) {
        (Ok(Reply::Ready(session)), Phase::Session) => {
            return join::complete(host, arguments, &request.user, &session);
        }
        // The helper waits for the session's request, which then costs no second start.
        (Ok(Reply::Untouched), Phase::Account) => Verdict::Pass,
        (reply, _) => {
            host.hang_up();
            match reply {
                Ok(Reply::Untouched) => Verdict::Pass,
                Ok(Reply::Refused { message }) => refused(host, arguments, request, message),
                Ok(Reply::Failed { on_error, message }) => {
                    failure(host, on_error, &Error::Helper(message))
                }
                // No helper of this version gives these.
                Ok(Reply::Ready(_) | Reply::Kept) => {
                    let message = "the helper has a session where none was asked for or joined";
                    failure(host, request.on_error, &Error::Helper(message.into()))
                }
                Err(error) => failure(host, request.on_error, &error),
            }
        }
    };
    remember(host, request.phase, &request.user, verdict);
    verdict
}

/// What the user is told of a refusal is the policy's.
fn refused<H: Host>(
    host: &mut H,
    arguments: &Arguments,
    request: &Request,
    message: Option<String>,
) -> Verdict {
    let line = format!("login of {} refused by the policy", quoted(&request.user));
    host.log(Level::Notice, &line);
    if let Some(message) = message.filter(|_| !arguments.quiet) {
        host.tell(&message);
    }
    Verdict::Refused
}

/// Keeps a decision for a second line of ours in the same stack.
pub fn remember<H: Host>(host: &mut H, phase: Phase, user: &[u8], verdict: Verdict) {
    if let Err(error) = host.keep(phase, user, verdict) {
        // Costs a second question at most.
        host.log(Level::Warning, &error.to_string());
    }
}

/// What a failure does that comes without the policy's own word: what the line says, or else what the policy that was
/// loaded last has left for this. A line with a policy of its own is not under that one, and one that is not
/// understood may not have been meant to be.
pub fn on_error<H: Host>(host: &mut H, arguments: &Arguments) -> OnError {
    let is_bare = arguments.policy.is_none() && arguments.problems.is_empty();
    match arguments.on_error {
        Some(on_error) => on_error,
        None if is_bare => host.unanswered(),
        None => OnError::Deny,
    }
}

/// A failure before the helper is asked.
fn unheard<H: Host>(host: &mut H, arguments: &Arguments, error: &Error) -> Verdict {
    let on_error = on_error(host, arguments);
    failure(host, on_error, error)
}

/// A failure to carry out the policy, while the application is untouched.
pub fn failure<H: Host>(host: &mut H, on_error: OnError, error: &Error) -> Verdict {
    let consequence = match on_error {
        OnError::Allow => "the login goes on without a berth (on_error = allow)",
        OnError::Deny => "the login is refused (on_error = deny)",
    };
    host.log(Level::Error, &format!("{error}; {consequence}"));
    Verdict::on_error(on_error)
}
