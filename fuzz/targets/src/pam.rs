//! The module's core: items as PAM hands them over, a line's arguments, and any answer of the helper's.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use berth_protocol::exempt::ExemptError;
use berth_protocol::{Channel, ChannelError, Instruction, OnError, Phase, Reply, Request, Rlimit};
use nix::errno::Errno;

use crate::arguments::Arguments;
use crate::code::Verdict;
use crate::error::Error;
use crate::host::{ExemptList, Host, Item, Level, Privilege};
use crate::input;
use crate::nested::Nested;
use crate::service::{Program, Threads};
use crate::text::{self, Lines};

/// A byte of choices, the arguments, five items, and the helper's frame; between them a byte that is in no text. The frame is
/// the rest.
pub fn run(input: &[u8]) {
    joins(input);
}

/// The same. Says whether the application has joined a berth.
pub fn joins(input: &[u8]) -> bool {
    let grown = input::grown(input);
    let Some((choices, rest)) = grown.split_first() else {
        return false;
    };
    let mut parts = rest.splitn(7, |byte| *byte == 0xff);
    let mut next = || parts.next().unwrap_or_default();
    let arguments = Arguments::parse(next().split(|byte| *byte == b' '));
    for problem in &arguments.problems {
        is_one_line(problem);
    }
    assert!(arguments.timeout <= Duration::from_secs(600));
    assert!(arguments.helper.is_absolute());
    let mut application = Application {
        exempt: choices & 1 != 0,
        privileged: choices & 2 != 0,
        threaded: choices & 4 != 0,
        fails: choices & 8 != 0,
        items: [next(), next(), next(), next(), next()].map(|item| {
            // As a string of C's.
            item.split(|byte| *byte == 0)
                .next()
                .unwrap_or_default()
                .to_vec()
        }),
        frame: input::frame(next()),
        now: Instant::now(),
        asked: false,
        joined: false,
        changed: false,
    };
    let phase = match choices & 16 {
        0 => Phase::Account,
        _ => Phase::Session,
    };
    let verdict = crate::login::decide(&mut application, &arguments, phase);
    let user = &application.items[Item::User as usize];
    if application.exempt && !user.is_empty() {
        // Whatever the rest is like, and nobody was asked.
        assert_eq!(verdict, Verdict::Pass);
        assert!(!application.asked);
    }
    if application.changed && !application.joined {
        assert_eq!(verdict, Verdict::Failed, "half joined, and let go on");
    }
    for item in &application.items {
        let quoted = text::quoted(item);
        is_one_line(&quoted);
        assert!(quoted.len() < 150);
    }
    let _ = verdict.code(phase);
    application.joined
}

fn is_one_line(line: &str) {
    assert!(!line.contains(|c: char| c.is_control()), "{line:?}");
}

struct Application {
    exempt: bool,
    privileged: bool,
    threaded: bool,
    fails: bool,
    items: [Vec<u8>; 5],
    frame: Vec<u8>,
    now: Instant,
    asked: bool,
    joined: bool,
    changed: bool,
}

impl Application {
    fn step(&mut self) -> Result<(), Errno> {
        match self.fails {
            true => Err(Errno::EPERM),
            false => {
                self.changed = true;
                Ok(())
            }
        }
    }
}

impl Host for Application {
    fn now(&mut self) -> Instant {
        self.now
    }

    fn item(&mut self, item: Item) -> Result<Vec<u8>, Error> {
        Ok(self.items[item as usize].clone())
    }

    fn log(&mut self, _: Level, line: &str) {
        // As the real host does.
        let line = text::escaped(line, Lines::One, text::LONGEST_LINE);
        is_one_line(&line);
        assert!(line.len() <= text::LONGEST_LINE);
    }

    fn tell(&mut self, message: &str) {
        let message = text::escaped(message, Lines::Many, text::LONGEST_MESSAGE);
        assert!(message.len() <= text::LONGEST_MESSAGE);
        assert!(!message.contains(|c: char| c.is_control() && c != '\n' && c != '\t'));
    }

    fn greet(&mut self, line: &str) {
        self.tell(line);
    }

    fn set_environment(&mut self, variable: &str) -> Result<(), Error> {
        assert!(variable.starts_with("BERTH_SESSION="));
        Ok(())
    }

    fn exempt(&mut self, _: ExemptList, user: &[u8]) -> Result<bool, ExemptError> {
        assert_eq!(user, self.items[Item::User as usize].as_slice());
        Ok(self.exempt)
    }

    fn unanswered(&mut self) -> OnError {
        OnError::Deny
    }

    fn privilege(&mut self) -> Privilege {
        match self.privileged {
            true => Privilege::Root,
            false => Privilege::Ordinary,
        }
    }

    fn nested(&mut self, _: &[u8]) -> Nested {
        Nested::Outside
    }

    fn threads(&mut self) -> Threads {
        match self.threaded {
            true => Threads::MoreOrUnknown,
            false => Threads::One,
        }
    }

    fn program(&mut self) -> Program {
        Program::Other
    }

    fn kept(&mut self, _: Phase, _: &[u8]) -> Option<(Verdict, Option<Vec<u8>>)> {
        None
    }

    fn keep(&mut self, _: Phase, _: &[u8], _: Verdict) -> Result<(), Error> {
        Ok(())
    }

    fn release(&mut self) {}

    fn ask(&mut self, helper: &Path, request: &Request, deadline: Instant) -> Result<Reply, Error> {
        self.asked = true;
        assert!(deadline > self.now && deadline <= self.now + Duration::from_secs(600));
        let error = |error| Error::Answer {
            path: helper.into(),
            error,
        };
        let (ours, theirs) = Channel::pair().map_err(error)?;
        // Whatever was in the items, the request fits, and arrives.
        ours.send(request, None).expect("a request that fits");
        let (arrived, _) = theirs.receive::<Request>(self.now).expect("the request");
        assert_eq!(arrived, *request);
        let frame = &self.frame;
        use std::os::fd::{AsFd, AsRawFd};
        let flags = nix::sys::socket::MsgFlags::MSG_DONTWAIT;
        if nix::sys::socket::send(theirs.as_fd().as_raw_fd(), frame, flags).is_err() {
            return Err(error(ChannelError::Closed));
        }
        drop(theirs);
        ours.receive::<Reply>(self.now)
            .map(|(reply, _)| reply)
            .map_err(error)
    }

    fn joined(&mut self) -> Result<(), Error> {
        self.joined = true;
        Ok(())
    }

    fn not_joined(&mut self, _: String) {}

    fn hang_up(&mut self) {}

    fn working_directory(&mut self) -> Option<PathBuf> {
        None
    }

    fn remember_home(&mut self, _: i32) -> Result<(), Errno> {
        Ok(())
    }

    fn setns(&mut self, _: i32) -> Option<Result<(), Errno>> {
        Some(self.step())
    }

    fn no_new_privs(&mut self) -> Result<(), Errno> {
        self.step()
    }

    fn empty_bounding_set(&mut self) -> Result<(), Errno> {
        self.step()
    }

    fn filter(&mut self, _: &[Instruction]) -> Result<(), Errno> {
        self.step()
    }

    fn new_keyring(&mut self) -> Result<(), Errno> {
        self.step()
    }

    fn rlimit(&mut self, of: &Rlimit) -> Result<Rlimit, Error> {
        Ok(Rlimit {
            soft: 1024,
            hard: 4096,
            ..of.clone()
        })
    }

    fn set_rlimit(&mut self, _: &Rlimit) -> Result<(), Error> {
        Ok(())
    }

    fn change_directory(&mut self, _: &Path) -> Result<(), Errno> {
        self.step()
    }

    fn return_home(&mut self) -> Result<(), Errno> {
        Ok(())
    }
}
