//! What can go wrong. Each message says what was tried, on what, what the system said, and what helps.

use std::path::PathBuf;

use berth_protocol::{ChannelError, Rlimit};
use nix::errno::Errno;

use crate::host::{Item, Step};

/// Why the policy could not be carried out, as far as this side of the socket can tell.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// libpam did not give an item.
    #[error("cannot get {0:?} from libpam: code {1}")]
    Item(Item, i32),
    #[error("the application has not set PAM_USER")]
    NoUser,
    /// Nobody has a name or a terminal of this length.
    #[error("{0:?} is {1} bytes long, more than the {2} taken")]
    ItemTooLong(Item, usize, usize),
    /// The line in the PAM configuration has something that we do not understand.
    #[error("the PAM line is wrong: {0}")]
    Arguments(String),
    /// No socket for the helper.
    #[error("cannot make a socket for the helper: {0}")]
    Socket(ChannelError),
    /// The helper's path has a NUL in it.
    #[error("{0} is no path of a program")]
    HelperPath(PathBuf),
    /// The helper could not be started at all.
    #[error("cannot start {}{}: {errno_text}", path.display(), step.map(|s| format!(" ({s})")).unwrap_or_default(), errno_text = errno.desc())]
    Start {
        path: PathBuf,
        /// What failed, where it was not exec itself.
        step: Option<&'static str>,
        errno: Errno,
    },
    /// The helper was started, but there is no answer from it.
    #[error("no answer from {}: {error}{}", path.display(), hint(error))]
    Answer {
        path: PathBuf,
        /// What came instead.
        error: ChannelError,
    },
    /// The helper says that it failed, and why.
    #[error("{0}")]
    Helper(String),
    /// The reply wants namespaces joined, but no process to take them from came with it.
    #[error("the helper's reply names namespaces, but has no pidfd with it")]
    NoPidfd,
    /// One step of the join failed.
    #[error("cannot {0}: {errno_text}", errno_text = .1.desc())]
    Join(Step, Errno),
    /// A resource limit cannot be set.
    #[error("cannot set the rlimit {} to {}:{}: {}{}", rlimit.name, rlimit.soft, rlimit.hard, errno.desc(), rlimit_hint(*errno))]
    Rlimit {
        /// The limit, as it was to become.
        rlimit: Rlimit,
        errno: Errno,
    },
    /// libpam did not take the environment variable.
    #[error("cannot set {0:?} in the session's environment: PAM code {1}")]
    Environment(String, i32),
    /// Perhaps nobody keeps the session.
    #[error("no word from the helper that it keeps the session: {0}")]
    Acknowledge(ChannelError),
    /// libpam did not keep the session's descriptors for us.
    #[error("cannot keep the session's state in libpam: code {0}")]
    Keep(i32),
}

fn hint(error: &ChannelError) -> &'static str {
    match error {
        ChannelError::Closed => " (its own log lines say why it ended)",
        ChannelError::TimedOut => " (it was killed; timeout= on the PAM line sets the time)",
        _ => "",
    }
}

fn rlimit_hint(errno: Errno) -> &'static str {
    match errno {
        Errno::EPERM => {
            " (above the hard limit that the login has; a container may lack CAP_SYS_RESOURCE, and \
             nofile has its most in fs.nr_open)"
        }
        _ => "",
    }
}
