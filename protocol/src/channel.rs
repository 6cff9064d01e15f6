//! One end of the socket pair: whole messages, a deadline, at most one descriptor.

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, Shutdown, SockFlag, SockType,
    recv, recvmsg, sendmsg, shutdown, socketpair,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Raised whenever a message changes its shape, which a test of the messages finds.
pub const VERSION: u8 = 6;

/// The largest message either side takes. The module bounds each PAM item far below this.
const MAX_MESSAGE: usize = 64 * 1024;

/// The most descriptors that the kernel takes with one message (SCM_MAX_FD). There is room for all of them, or those
/// that come before the end of the room would be ours and stay open.
const MOST_DESCRIPTORS: usize = 253;

/// What is said of a message of another version. It stands in module and helper, and says of which version
/// they are: `berth doctor` looks for it there.
pub const ANOTHER_VERSION: &str = concat!(
    "not a message of Berth ",
    env!("CARGO_PKG_VERSION"),
    "'s: module and helper come from different versions"
);

/// Why a message could not be sent or received.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// The other end closed the socket, or died, where a message was due.
    #[error("the other end closed the connection")]
    Closed,
    /// The deadline passed.
    #[error("no answer within the time allowed")]
    TimedOut,
    /// The bytes are no message of this version.
    #[error("{ANOTHER_VERSION}")]
    Malformed,
    /// No message has more than one.
    #[error("a message with {0} descriptors")]
    TooMany(usize),
    /// A message over the size that either side takes.
    #[error("a message of more than {MAX_MESSAGE} bytes")]
    TooLong,
    /// A system call failed.
    #[error("{0}")]
    System(#[from] Errno),
}

/// The first number that is no standard stream's.
const PAST_STANDARD: RawFd = 3;

/// The same file under a number past the standard streams', for what stays open while an application goes about its own
/// business. One that has closed these may write to them all the same, or open others in their places.
pub fn past_standard(fd: OwnedFd) -> Result<OwnedFd, Errno> {
    if fd.as_raw_fd() >= PAST_STANDARD {
        return Ok(fd);
    }
    let moved = fcntl(&fd, FcntlArg::F_DUPFD_CLOEXEC(PAST_STANDARD))?;
    // SAFETY: the kernel has just made it, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(moved) })
}

/// One end of a conversation.
#[derive(Debug)]
pub struct Channel(OwnedFd);

impl Channel {
    /// Two connected ends, both close-on-exec, and neither a standard stream.
    pub fn pair() -> Result<(Channel, Channel), ChannelError> {
        let (a, b) = socketpair(
            AddressFamily::Unix,
            SockType::SeqPacket,
            None,
            SockFlag::SOCK_CLOEXEC,
        )?;
        Ok((Channel(past_standard(a)?), Channel(past_standard(b)?)))
    }

    /// Takes over a socket that was inherited.
    pub fn from_fd(fd: OwnedFd) -> Channel {
        Channel(fd)
    }

    /// Sends one message, with a descriptor or without.
    ///
    /// Never blocks for long: the messages are far smaller than a socket buffer. Never raises SIGPIPE:
    /// the module lives in other people's processes.
    pub fn send<M: Serialize>(
        &self,
        message: &M,
        fd: Option<BorrowedFd<'_>>,
    ) -> Result<(), ChannelError> {
        let mut bytes = vec![VERSION];
        bytes.extend(postcard::to_allocvec(message).map_err(|_| ChannelError::Malformed)?);
        if bytes.len() > MAX_MESSAGE {
            return Err(ChannelError::TooLong);
        }
        let raw = fd.map(|fd| [fd.as_raw_fd()]);
        let control: Vec<ControlMessage> =
            raw.iter().map(|r| ControlMessage::ScmRights(r)).collect();
        let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
        loop {
            match sendmsg::<()>(
                self.0.as_raw_fd(),
                &[IoSlice::new(&bytes)],
                &control,
                flags,
                None,
            ) {
                Ok(_) => return Ok(()),
                Err(Errno::EINTR) => {}
                Err(Errno::EPIPE | Errno::ECONNRESET) => return Err(ChannelError::Closed),
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// Receives one message, and the descriptor that came with it.
    ///
    /// The deadline is on the monotonic clock: a clock set back while somebody logs in must not hang
    /// the login.
    pub fn receive<M: DeserializeOwned>(
        &self,
        deadline: Instant,
    ) -> Result<(M, Option<OwnedFd>), ChannelError> {
        self.wait_readable(deadline)?;
        // No more than it takes: an application may have hardly any memory left that it may allocate (RLIMIT_DATA).
        let mut bytes = vec![0; self.next_length()?.min(MAX_MESSAGE) + 1];
        let mut control = nix::cmsg_space!([i32; MOST_DESCRIPTORS]);
        let mut descriptors = Vec::new();
        let length = {
            let mut iov = [IoSliceMut::new(&mut bytes)];
            let flags = MsgFlags::MSG_CMSG_CLOEXEC | MsgFlags::MSG_DONTWAIT;
            let received = recvmsg::<()>(self.0.as_raw_fd(), &mut iov, Some(&mut control), flags)
                .map_err(|errno| match errno {
                Errno::ECONNRESET => ChannelError::Closed,
                errno => errno.into(),
            })?;
            for message in received.cmsgs()? {
                if let ControlMessageOwned::ScmRights(fds) = message {
                    for raw in fds {
                        // SAFETY: the kernel has just installed this descriptor for us, nobody else
                        // knows it.
                        descriptors.push(unsafe { OwnedFd::from_raw_fd(raw) });
                    }
                }
            }
            received.bytes
        };
        if descriptors.len() > 1 {
            return Err(ChannelError::TooMany(descriptors.len()));
        }
        let fd = descriptors.pop();
        match bytes.get(..length) {
            None | Some([]) => Err(ChannelError::Closed),
            Some(_) if length > MAX_MESSAGE => Err(ChannelError::TooLong),
            // What is left over is a part that this side does not know: it must not be left out without a word.
            Some([VERSION, body @ ..]) => match postcard::take_from_bytes(body) {
                Ok((message, [])) => Ok((message, fd)),
                _ => Err(ChannelError::Malformed),
            },
            Some(_) => Err(ChannelError::Malformed),
        }
    }

    /// Receives the last message that is waited for. When the time is up, first no more is taken, and then
    /// what has arrived in that moment counts: the other end's next send fails, so that it cannot believe
    /// to have been heard when it was not.
    pub fn receive_or_refuse<M: DeserializeOwned>(
        &self,
        deadline: Instant,
    ) -> Result<(M, Option<OwnedFd>), ChannelError> {
        match self.receive(deadline) {
            Err(ChannelError::TimedOut) => {
                shutdown(self.0.as_raw_fd(), Shutdown::Read)?;
                self.receive(Instant::now()).map_err(|error| match error {
                    ChannelError::Closed => ChannelError::TimedOut,
                    error => error,
                })
            }
            received => received,
        }
    }

    /// Says that nothing more is to come from here, whoever else has inherited this end: the other end sees a
    /// hang-up.
    pub fn hang_up(&self) -> Result<(), ChannelError> {
        Ok(shutdown(self.0.as_raw_fd(), Shutdown::Both)?)
    }

    /// Says that nothing more is to come from here, and waits until the other end has hung up.
    pub fn hang_up_both(&self, deadline: Instant) -> Result<(), ChannelError> {
        shutdown(self.0.as_raw_fd(), Shutdown::Write)?;
        self.wait_readable(deadline)
    }

    /// How many bytes the next message has, which stays where it is; 0 where none is to come.
    fn next_length(&self) -> Result<usize, ChannelError> {
        let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_TRUNC | MsgFlags::MSG_DONTWAIT;
        match recv(self.0.as_raw_fd(), &mut [], flags) {
            Err(Errno::ECONNRESET) => Err(ChannelError::Closed),
            length => Ok(length?),
        }
    }

    fn wait_readable(&self, deadline: Instant) -> Result<(), ChannelError> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            // Rounded up, so that the time is up when the kernel says so.
            let left = left.saturating_add(Duration::from_micros(999));
            let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            let mut fds = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
            match poll(&mut fds, timeout) {
                Ok(0) => return Err(ChannelError::TimedOut),
                Err(Errno::EINTR) => {}
                Ok(_) => return Ok(()),
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Ack;
    use crate::apart::apart;

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(50)
    }

    #[test]
    fn a_message_and_its_descriptor_arrive_whole() {
        let (a, b) = Channel::pair().unwrap();
        let sent = Ack::Failed {
            message: "é\n".repeat(1000),
        };
        a.send(&sent, Some(a.as_fd())).unwrap();
        let (received, fd): (Ack, _) = b.receive(soon()).unwrap();
        assert_eq!(received, sent);
        assert!(fd.is_some());
    }

    #[test]
    fn a_message_may_be_so_long_and_no_longer() {
        let (a, b) = Channel::pair().unwrap();
        // Before the text are the version, which message it is, and the text's length in three bytes.
        let message = |length| Ack::Failed {
            message: "x".repeat(length - 5),
        };
        let longest = message(MAX_MESSAGE);
        a.send(&longest, None).unwrap();
        assert_eq!(b.receive::<Ack>(soon()).unwrap().0, longest);
        let longer = a.send(&message(MAX_MESSAGE + 1), None);
        assert!(matches!(longer, Err(ChannelError::TooLong)));
        let bytes = [VERSION; MAX_MESSAGE + 1];
        nix::sys::socket::send(a.0.as_raw_fd(), &bytes, MsgFlags::empty()).unwrap();
        let received = b.receive::<Ack>(soon());
        assert!(matches!(received, Err(ChannelError::TooLong)));
    }

    #[test]
    fn who_never_reads_holds_nobody_up() {
        let (a, _b) = Channel::pair().unwrap();
        let full = std::iter::repeat_with(|| a.send(&Ack::Joined, None)).find_map(Result::err);
        assert!(matches!(full, Some(ChannelError::System(Errno::EAGAIN))));
    }

    #[test]
    fn what_the_application_starts_has_no_descriptor_of_ours() {
        let (a, b) = Channel::pair().unwrap();
        a.send(&Ack::Joined, Some(a.as_fd())).unwrap();
        let (_, sent) = b.receive::<Ack>(soon()).unwrap();
        for fd in [&a.0, &b.0, &sent.unwrap()] {
            assert_eq!(fcntl(fd, FcntlArg::F_GETFD), Ok(nix::libc::FD_CLOEXEC));
        }
    }

    #[test]
    fn no_end_is_a_standard_stream_of_an_application_that_has_closed_these() {
        // Other tests write to these streams.
        apart(&[], || {
            // SAFETY: nobody reads from it here.
            drop(unsafe { OwnedFd::from_raw_fd(0) });
            let (a, b) = Channel::pair().unwrap();
            assert!([a, b].iter().all(|end| end.0.as_raw_fd() >= PAST_STANDARD));
        });
    }

    #[test]
    fn a_closed_end_is_an_error_at_once() {
        let (a, b) = Channel::pair().unwrap();
        drop(b);
        assert!(matches!(
            a.send(&Ack::Joined, None),
            Err(ChannelError::Closed)
        ));
        let far = Instant::now() + Duration::from_secs(60);
        let before = Instant::now();
        assert!(matches!(a.receive::<Ack>(far), Err(ChannelError::Closed)));
        assert!(before.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn who_is_too_late_is_told_so() {
        let (a, b) = Channel::pair().unwrap();
        assert!(matches!(
            a.receive_or_refuse::<Ack>(soon()),
            Err(ChannelError::TimedOut)
        ));
        assert!(matches!(
            b.send(&Ack::Joined, None),
            Err(ChannelError::Closed)
        ));
    }

    #[test]
    fn what_came_before_the_refusal_counts() {
        let (a, b) = Channel::pair().unwrap();
        b.send(&Ack::Joined, None).unwrap();
        // Shut before the look, as where a message arrives in the moment when the time is up.
        shutdown(a.0.as_raw_fd(), Shutdown::Read).unwrap();
        assert!(matches!(
            a.receive_or_refuse::<Ack>(soon()),
            Ok((Ack::Joined, None))
        ));
    }

    #[test]
    fn what_comes_at_the_last_moment_counts_or_cannot_be_sent() {
        let mut counts = [0, 0];
        for round in 0..2000 {
            let (a, b) = Channel::pair().unwrap();
            let deadline = Instant::now() + Duration::from_millis(1);
            // From before the end to after it: all that the two can race for.
            let moment = deadline + Duration::from_micros(round) - Duration::from_micros(500);
            let other = std::thread::spawn(move || {
                while Instant::now() < moment {
                    std::hint::spin_loop();
                }
                (b.send(&Ack::Joined, None).is_ok(), b)
            });
            let counted = a.receive_or_refuse::<Ack>(deadline).is_ok();
            let (sent, _b) = other.join().unwrap();
            assert_eq!(sent, counted, "in round {round}");
            counts[usize::from(counted)] += 1;
        }
        assert!(!counts.contains(&0), "no race: {counts:?}");
    }

    #[test]
    fn a_hang_up_waits_for_the_others() {
        let (a, b) = Channel::pair().unwrap();
        let inherited = a.0.try_clone().unwrap();
        assert!(matches!(
            a.hang_up_both(soon()),
            Err(ChannelError::TimedOut)
        ));
        b.hang_up().unwrap();
        let far = Instant::now() + Duration::from_secs(60);
        let before = Instant::now();
        a.hang_up_both(far).unwrap();
        assert!(before.elapsed() < Duration::from_secs(10));
        drop(inherited);
    }

    #[test]
    fn of_a_message_with_many_descriptors_none_stays_open() {
        for count in [2, 3, MOST_DESCRIPTORS] {
            let (a, b) = Channel::pair().unwrap();
            let fds = vec![a.0.as_raw_fd(); count];
            sendmsg::<()>(
                b.0.as_raw_fd(),
                &[IoSlice::new(&[VERSION, 0])],
                &[ControlMessage::ScmRights(&fds)],
                MsgFlags::empty(),
                None,
            )
            .unwrap();
            drop(fds);
            assert!(matches!(
                a.receive::<Ack>(soon()),
                Err(ChannelError::TooMany(there)) if there == count
            ));
            // Were one of them still open, this end would be, too.
            drop(a);
            assert!(matches!(
                b.send(&Ack::Joined, None),
                Err(ChannelError::Closed)
            ));
        }
    }

    #[test]
    fn silence_ends_at_the_deadline() {
        let (a, _b) = Channel::pair().unwrap();
        assert!(matches!(
            a.receive::<Ack>(soon()),
            Err(ChannelError::TimedOut)
        ));
    }

    #[test]
    fn what_is_not_a_message_is_refused() {
        for bytes in [
            &[VERSION][..],
            &[VERSION, 0xff],
            &[VERSION, 0, 0],
            &[VERSION + 1, 0],
            &[0; MAX_MESSAGE + 100],
        ] {
            let (a, b) = Channel::pair().unwrap();
            nix::sys::socket::send(b.0.as_raw_fd(), bytes, MsgFlags::empty()).unwrap();
            assert!(matches!(
                a.receive::<Ack>(soon()),
                Err(ChannelError::Malformed | ChannelError::TooLong)
            ));
        }
    }
}
