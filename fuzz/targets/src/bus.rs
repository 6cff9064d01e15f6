//! What systemd answers on its socket, or whoever sits there instead.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;

use berth_session::Error;
use berth_session::systemd::fuzzing::{self, Incoming, bus, take};

use crate::input::grown;

/// All that comes in after the authentication; or with it, where the first byte is no message's.
pub fn run(input: &[u8]) {
    let input = grown(input);
    let greeted = matches!(input.first(), Some(b'l' | b'B'));
    let (messages, error) = all(&input, input.len());
    // However it is cut on its way.
    for step in [1, 7, 4096] {
        if input.len() / step < 20_000 {
            let (again, end) = all(&input, step);
            assert_eq!((&again, end), (&messages, error));
        }
    }
    for message in &messages {
        let Incoming::Returned(_, body) = message else {
            continue;
        };
        if let Some(value) = fuzzing::value(body) {
            let again = fuzzing::body(&value);
            assert_eq!(fuzzing::value(&again).as_ref(), Some(&value));
            // A value is no longer than what it was read from.
            assert!(again.len() <= body.len() + 8, "{value:?}");
        }
    }
    called(&input, greeted, &messages);
    // As the specification has a message, and not as it is read: whatever the body is, if it is not too long.
    let mut answer = fuzzing::answer(2, 7, &input);
    match input.len() <= 1 << 20 {
        true => assert_eq!(take(&mut answer), Ok(Some(Incoming::Returned(7, input)))),
        false => assert!(take(&mut answer).is_err()),
    }
}

/// The messages in it, as they come in in pieces, and what is wrong at the end.
fn all(input: &[u8], step: usize) -> (Vec<Incoming>, Option<&'static str>) {
    let (mut read, mut messages) = (Vec::new(), Vec::new());
    for chunk in input.chunks(step.max(1)) {
        read.extend(chunk);
        loop {
            let before = read.len();
            match take(&mut read) {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break assert_eq!(read.len(), before),
                Err(error) => return (messages, Some(error)),
            }
            // Each takes something away, so there is an end to it.
            assert!(read.len() + 16 <= before);
        }
    }
    (messages, None)
}

/// A call gets the first answer to it, and an error where there is none: never another's, and never no end.
fn called(input: &[u8], greeted: bool, messages: &[Incoming]) {
    let (ours, mut theirs) = UnixStream::pair().expect("a pair");
    for stream in [&ours, &theirs] {
        stream.set_nonblocking(true).expect("not to block");
    }
    let greeting: &[u8] = if greeted { b"OK 1\r\n" } else { b"" };
    // As much as the socket holds; the rest would come later.
    let sent = theirs.write(&[greeting, input].concat()).expect("sent");
    theirs.shutdown(Shutdown::Write).expect("shut");
    let got = bus(ours).and_then(|mut bus| bus.get("user-1001.slice", "TasksMax"));
    if greeted && sent == greeting.len() + input.len() {
        let answer = messages.iter().find_map(|message| match message {
            Incoming::Returned(1, body) => Some(fuzzing::value(body)),
            Incoming::Failed(1, _) => Some(None),
            _ => None,
        });
        match answer {
            Some(Some(value)) => assert_eq!(got.ok(), Some(value)),
            Some(None) => assert!(matches!(got, Err(Error::Refused { .. }))),
            None => assert!(matches!(got, Err(Error::Systemd { .. }))),
        }
    }
    let mut asked = Vec::new();
    let _ = theirs.read_to_end(&mut asked);
    assert!(asked.starts_with(b"\0AUTH EXTERNAL 30\r\nBEGIN\r\n"));
}
