//! One question to the helper: start it, send the request, wait for the reply, all before one deadline.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use berth_protocol::{Channel, ChannelError, Reply, Request};

use crate::error::Error;
use crate::sys::start::start;

/// How long a roll-back may take. Until its end the application may be in the session's cgroup, and what it
/// starts there would be killed with the session.
const ROLL_BACK: Duration = Duration::from_secs(2);

/// When a roll-back that begins now is waited for no longer.
pub fn end_of_roll_back() -> Instant {
    let now = Instant::now();
    now.checked_add(ROLL_BACK).unwrap_or(now)
}

/// A helper that has replied.
#[derive(Debug)]
pub struct Answered {
    /// What it said.
    pub reply: Reply,
    /// The socket to it.
    pub channel: Channel,
    /// The init's pidfd, where there is something to join.
    pub init: Option<OwnedFd>,
}

/// Starts the helper and gets its reply. There is no second try: what failed once fails twice, and costs a
/// login twice the time.
pub fn ask(helper: &Path, request: &Request, deadline: Instant) -> Result<Answered, Error> {
    let (channel, theirs) = Channel::pair().map_err(Error::Socket)?;
    let process = start(helper, channel.as_fd(), theirs)?;
    let answered = channel
        .send(request, None)
        .and_then(|()| channel.receive(deadline));
    match answered {
        Ok((reply, init)) => Ok(Answered {
            reply,
            channel,
            init,
        }),
        Err(error) => {
            // Hung: it may never look at the socket's end, and so has to be told to end and to roll back. A
            // helper that said something else sees the end of the socket, and rolls back by itself.
            if matches!(error, ChannelError::TimedOut) {
                process.end();
            }
            drop(channel);
            process.wait(end_of_roll_back());
            Err(Error::Answer {
                path: helper.into(),
                error,
            })
        }
    }
}
