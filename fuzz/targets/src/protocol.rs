//! Frames on the socket between module and helper, both ways.

use std::fmt::Debug;
use std::io::{IoSlice, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use berth_protocol::{Ack, Channel, ChannelError, Reply, Request};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::input;

/// The first byte says how many descriptors come along; the rest is the frame.
pub fn run(input: &[u8]) {
    let Some((first, frame)) = input.split_first() else {
        return;
    };
    let count = usize::from(first % 4);
    let frame = input::frame(frame);
    takes::<Request>(&frame, count);
    takes::<Reply>(&frame, count);
    takes::<Ack>(&frame, count);
}

/// Whether an input is a message of some kind.
pub fn is_message(input: &[u8]) -> bool {
    fn of<M: DeserializeOwned>(frame: &[u8]) -> bool {
        let (ours, theirs) = Channel::pair().expect("a pair of sockets");
        let flags = MsgFlags::MSG_DONTWAIT;
        nix::sys::socket::send(theirs.as_fd().as_raw_fd(), frame, flags).expect("room");
        ours.receive::<M>(Instant::now()).is_ok()
    }
    let frame = input::frame(input.get(1..).unwrap_or_default());
    of::<Request>(&frame) || of::<Reply>(&frame) || of::<Ack>(&frame)
}

/// A frame is a message, which is sent and arrives as it is, or an error; what comes after it is not lost, and no
/// descriptor stays open.
fn takes<M: Serialize + DeserializeOwned + PartialEq + Debug>(frame: &[u8], count: usize) {
    let (ours, theirs) = Channel::pair().expect("a pair of sockets");
    let (passed, other_end) = UnixStream::pair().expect("a pair of sockets");
    let fds = vec![passed.as_raw_fd(); count];
    let rights = [ControlMessage::ScmRights(&fds)];
    let sent = sendmsg::<()>(
        theirs.as_fd().as_raw_fd(),
        &[IoSlice::new(frame)],
        if count > 0 { &rights } else { &[] },
        MsgFlags::MSG_DONTWAIT,
        None,
    );
    drop(passed);
    if sent.is_err() {
        return; // longer than the socket takes
    }
    match ours.receive::<M>(Instant::now()) {
        Ok((message, fd)) => {
            let is_safe = |fd: &OwnedFd| is_close_on_exec(fd.as_fd());
            assert!(fd.as_ref().is_none_or(is_safe));
            assert_eq!(fd.is_some(), count == 1);
            theirs.send(&message, None).expect("what came, sent again");
            let (again, none) = ours.receive::<M>(Instant::now()).expect("the same message");
            assert_eq!((again, none.is_none()), (message, true));
        }
        Err(ChannelError::TooMany(there)) => assert_eq!(there, count),
        Err(ChannelError::Malformed | ChannelError::Closed | ChannelError::TooLong) => {}
        Err(error) => panic!("{error}"),
    }
    after_it(&ours, &theirs);
    other_end.set_nonblocking(true).expect("a flag");
    let end = (&other_end).read(&mut [0]);
    assert_eq!(end.ok(), Some(0), "a descriptor stays open");
}

fn after_it(ours: &Channel, theirs: &Channel) {
    theirs.send(&Ack::Joined, None).expect("room");
    let next = ours.receive::<Ack>(Instant::now());
    assert!(matches!(next, Ok((Ack::Joined, None))), "{next:?}");
}

fn is_close_on_exec(fd: BorrowedFd<'_>) -> bool {
    let flags = nix::fcntl::fcntl(fd, nix::fcntl::FcntlArg::F_GETFD).expect("its flags");
    flags & libc::FD_CLOEXEC != 0
}
