//! One question to the helper: start it, unless one waits, send the request, wait for the reply, all before one
//! deadline.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use berth_protocol::{Ack, Channel, ChannelError, Reply, Request};

use crate::error::Error;
use crate::sys::start::{Process, start};

/// A helper that runs for this application. Dropped, it sees the end of its socket, and ends.
#[derive(Debug)]
pub struct Helper {
    pub channel: Channel,
    process: Process,
    path: PathBuf,
    /// Whose login it serves, by the kernel's word.
    application: u32,
}

/// How long a roll-back may take. Until its end the application may be in the session's cgroup, and what it
/// starts there would be killed with the session.
const ROLL_BACK: Duration = Duration::from_secs(2);

/// How long the helper may take at least to say that it keeps a session. It has nothing else to do then, but the join
/// may have used up the call's time, or the user was frozen in it.
const KEPT: Duration = Duration::from_secs(2);

/// How long the end of a session waits for the keeper to read what the session has used.
const READING: Duration = Duration::from_millis(100);

fn from_now(span: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(span).unwrap_or(now)
}

/// A helper that has replied.
#[derive(Debug)]
pub struct Answered {
    pub reply: Reply,
    pub helper: Helper,
    /// The init's pidfd, where there is something to join.
    pub init: Option<OwnedFd>,
}

impl AsFd for Helper {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.channel.as_fd()
    }
}

impl Helper {
    fn start(path: &Path) -> Result<Helper, Error> {
        let (channel, theirs) = Channel::pair().map_err(Error::Socket)?;
        Ok(Helper {
            process: start(path, channel.as_fd(), theirs)?,
            channel,
            path: path.into(),
            application: std::process::id(),
        })
    }

    /// As it is kept over calls of the application's: with the socket alone.
    pub fn kept(mut self) -> Helper {
        self.process.let_go();
        self
    }

    /// Ends the session. The application ends soon, too, and systemd removes a scope as soon as it is empty: so
    /// the keeper is waited for, which first reads what the session has used.
    pub fn end_session(&self) {
        // Not by a process that was forked from the application, whose session goes on.
        if self.application == std::process::id() {
            // A keeper that is gone, or late, has no figures: what it then does not know it says.
            let _ = self.channel.hang_up_both(from_now(READING));
        }
    }

    /// Tells it that the application has joined, and waits for its word that it keeps the session, in a call that should end at
    /// the deadline.
    pub fn joined(&mut self, deadline: Instant) -> Result<(), Error> {
        let sent = self.channel.send(&Ack::Joined, None);
        sent.map_err(Error::Acknowledge)?;
        let reply = self.channel.receive(deadline.max(from_now(KEPT)));
        if let Err(error @ ChannelError::TimedOut) = &reply {
            await_roll_back(&self.process, error);
        }
        self.process.let_go();
        match reply {
            Ok((Reply::Kept, _)) => Ok(()),
            Ok((Reply::Failed { message, .. }, _)) => Err(Error::Helper(message)),
            Ok(_) => Err(Error::Acknowledge(ChannelError::Malformed)),
            Err(error) => Err(Error::Acknowledge(error)),
        }
    }

    /// Tells it that the application has not joined, and waits until all is rolled back: by the helper, which then answers, or
    /// by who stands by for one that is gone or hangs.
    pub fn not_joined(&self, message: String) {
        let sent = self.channel.send(&Ack::Failed { message }, None);
        let answered = sent.and_then(|()| self.channel.receive::<Reply>(from_now(ROLL_BACK)));
        if let Err(error) = answered {
            await_roll_back(&self.process, &error);
        }
    }

    /// Itself, if the request has reached it. Another program, or the helper of the process that this one was
    /// forked from, is not asked; one that has waited long enough has ended, and takes no request.
    fn taking(mut self, path: &Path, request: &Request) -> Option<Helper> {
        if self.path != path || self.application != std::process::id() {
            return None;
        }
        // While it waits: once it has the request it may fail, and is to be waited for all the same.
        self.process.find(self.channel.as_fd());
        self.channel.send(request, None).ok()?;
        Some(self)
    }
}

/// Gets a reply from the helper that waits since the account phase, or from a new one. There is no second
/// try once one has the request: what failed once fails twice, and costs a login twice the time.
pub fn ask(
    waiting: Option<Helper>,
    path: &Path,
    request: &Request,
    deadline: Instant,
) -> Result<Answered, Error> {
    let helper = match waiting.and_then(|helper| helper.taking(path, request)) {
        Some(helper) => Ok(helper),
        None => Helper::start(path).and_then(|helper| {
            let sent = helper.channel.send(request, None);
            sent.map(|()| helper).map_err(|error| answer(path, error))
        }),
    }?;
    match helper.channel.receive(deadline) {
        Ok((reply, init)) => Ok(Answered {
            reply,
            helper,
            init,
        }),
        Err(error) => {
            let Helper {
                channel, process, ..
            } = helper;
            // One that said something else sees the end of the socket, and rolls back by itself.
            drop(channel);
            await_roll_back(&process, &error);
            Err(answer(path, error))
        }
    }
}

/// Waits until a helper has rolled everything back, from which came this. One that hangs may never look at the socket's end,
/// and so has to be told to end.
fn await_roll_back(process: &Process, error: &ChannelError) {
    if matches!(error, ChannelError::TimedOut) {
        process.end();
    }
    process.wait(from_now(ROLL_BACK));
}

fn answer(path: &Path, error: ChannelError) -> Error {
    Error::Answer {
        path: path.into(),
        error,
    }
}
