//! The join: what a session asks of the application, in the one order that holds.

use berth_protocol::{Phase, Rlimit, Session};

use crate::arguments::Arguments;
use crate::code::Verdict;
use crate::error::Error;
use crate::host::{Host, Level, Step};
use crate::login::{failure, remember};
use crate::text::quoted;

/// How far the application has been changed.
#[derive(Debug)]
enum Extent {
    /// As it was, but for hard limits that were raised; these are the old ones. Going on without a berth
    /// is possible.
    Untouched(Vec<Rlimit>),
    /// Half joined, which cannot be taken back: letting it go on would be a login that no policy describes.
    Changed,
}

/// Puts the application into a session that waits for it, and tells the helper.
pub fn complete<H: Host>(
    host: &mut H,
    arguments: &Arguments,
    user: &[u8],
    session: &Session,
) -> Verdict {
    let mut extent = Extent::Untouched(Vec::new());
    let entered = enter(host, session, &mut extent)
        .and_then(|()| host.set_environment(&format!("BERTH_SESSION={}", session.id)))
        .and_then(|()| limit(host, &session.rlimits, &mut extent));
    if let Err(error) = entered {
        host.not_joined(error.to_string());
        let verdict = match extent {
            Extent::Untouched(raised) => {
                for old in raised {
                    // Lowering a hard limit needs no right, so this cannot fail.
                    let _ = host.set_rlimit(&old);
                }
                host.hang_up();
                failure(host, session.on_error, &error)
            }
            Extent::Changed => denial(host, &error),
        };
        remember(host, Phase::Session, user, verdict);
        return verdict;
    }
    // From here on the helper keeps the session. One that is gone by now keeps nothing: no end of the
    // session, no limits that anybody watches.
    let kept = host
        .joined()
        .and_then(|()| host.keep(Phase::Session, user, Verdict::Pass));
    if let Err(error) = kept {
        let verdict = denial(host, &error);
        remember(host, Phase::Session, user, verdict);
        return verdict;
    }
    if let Some(motd) = session.motd.as_ref().filter(|_| !arguments.quiet) {
        host.greet(motd);
    }
    if arguments.debug {
        let id = quoted(session.id.as_bytes());
        host.log(
            Level::Debug,
            &format!("joined session {id}, namespaces {:#x}", session.namespaces),
        );
    }
    Verdict::Pass
}

/// The join contract.
fn enter<H: Host>(host: &mut H, session: &Session, extent: &mut Extent) -> Result<(), Error> {
    let failed = |step| move |errno| Error::Join(step, errno);
    let user = session.namespaces & libc::CLONE_NEWUSER != 0;
    // By its path: a descriptor would keep the application's foot in the old mount namespace.
    let directory = host.working_directory();
    raise(host, &session.rlimits, extent)?;
    if session.namespaces != 0 {
        if !user {
            // Without a user namespace the way back exists, and the `close` line needs it.
            host.remember_home(session.namespaces)
                .map_err(failed(Step::RememberNamespaces))?;
        }
        // All or nothing: a failure leaves the application as it was.
        host.setns(session.namespaces)
            .ok_or(Error::NoPidfd)?
            .map_err(failed(Step::Setns))?;
        *extent = Extent::Changed;
    }
    // First, since the filter may need it, and since UID 0 is mapped: it is the boundary.
    if session.no_new_privs {
        host.no_new_privs().map_err(failed(Step::NoNewPrivs))?;
        *extent = Extent::Changed;
    }
    // After setns, which refills it.
    if user {
        // Drops one by one, so even a failure may have changed something.
        *extent = Extent::Changed;
        host.empty_bounding_set()
            .map_err(failed(Step::BoundingSet))?;
    }
    if !session.filter.is_empty() {
        host.filter(&session.filter).map_err(failed(Step::Filter))?;
        *extent = Extent::Changed;
    }
    // After setns, so that it belongs to the new user namespace; before it, the old one would stay readable.
    if user {
        host.new_keyring().map_err(failed(Step::Keyring))?;
        *extent = Extent::Changed;
    }
    if session.namespaces & libc::CLONE_NEWNS != 0 {
        let restored = directory.is_some_and(|path| host.change_directory(&path).is_ok());
        if !restored {
            // It does not exist in there. setns went to the root, but nobody should have to know that.
            host.change_directory(std::path::Path::new("/"))
                .map_err(failed(Step::WorkingDirectory))?;
        }
    }
    Ok(())
}

/// Raises the hard limits that are below the policy's: inside a user namespace nobody may. No soft limit
/// changes, so the rest of the join is not held up by one.
fn raise<H: Host>(host: &mut H, rlimits: &[Rlimit], extent: &mut Extent) -> Result<(), Error> {
    for rlimit in rlimits {
        let old = host.rlimit(rlimit)?;
        if rlimit.hard > old.hard {
            host.set_rlimit(&Rlimit {
                soft: old.soft,
                ..rlimit.clone()
            })?;
            if let Extent::Untouched(raised) = extent {
                raised.push(old);
            }
        }
    }
    Ok(())
}

/// Sets the limits. Only lowers hard ones, which needs no right. Last, because the join opens files and
/// allocates memory, and there may be none left for that.
fn limit<H: Host>(host: &mut H, rlimits: &[Rlimit], extent: &mut Extent) -> Result<(), Error> {
    for rlimit in rlimits {
        host.set_rlimit(rlimit)?;
        *extent = Extent::Changed;
    }
    Ok(())
}

/// A failure when the application is changed, or nobody keeps its session: no setting allows that login.
fn denial<H: Host>(host: &mut H, error: &Error) -> Verdict {
    host.log(
        Level::Error,
        &format!("{error}; the login is refused whatever on_error says, since the join had begun"),
    );
    // Where there is a way back, the other modules' clean-up should run on the host.
    if let Err(errno) = host.return_home() {
        host.log(
            Level::Warning,
            &format!("cannot go back to the host's namespaces: {}", errno.desc()),
        );
    }
    host.hang_up();
    Verdict::Failed
}
