//! A host that expects one call after the other, each with its answer, and nothing else.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use berth_protocol::exempt::ExemptError;
use berth_protocol::{
    ChannelError, Instruction, JoinAbility, OnError, Phase, Reply, Request, Rlimit,
};
use nix::errno::Errno;

use crate::arguments::Arguments;
use crate::code::Verdict;
use crate::error::Error;
use crate::host::{ExemptList, Host, Item, Level, Privilege};
use crate::nested::Nested;
use crate::service::{Program, Threads};

/// A call that is due, what it must be about, and what it gets.
#[derive(Debug)]
#[allow(clippy::large_enum_variant)] // a script is short
pub enum Due {
    Now(Instant),
    Item(Item, Result<Vec<u8>, Error>),
    /// The level, and a part of the line.
    Log(Level, &'static str),
    Tell(&'static str),
    Greet(&'static str),
    Environment(&'static str, Result<(), Error>),
    Exempt(ExemptList, &'static str, Result<bool, ExemptError>),
    Privilege(Privilege),
    Nested(&'static str, Nested),
    Threads(Threads),
    Kept(Phase, Option<Verdict>),
    /// By a line with this `policy=`.
    KeptBy(Phase, Verdict, &'static str),
    Keep(Phase, Verdict, Result<(), Error>),
    Release,
    Ask(PathBuf, Request, Instant, Result<Reply, Error>),
    Joined(Result<(), Error>),
    /// A part of the message.
    Failed(&'static str),
    HangUp,
    WorkingDirectory(Option<&'static str>),
    RememberHome(i32, Result<(), Errno>),
    Setns(i32, Option<Result<(), Errno>>),
    NoNewPrivs(Result<(), Errno>),
    EmptyBoundingSet(Result<(), Errno>),
    Filter(usize, Result<(), Errno>),
    NewKeyring(Result<(), Errno>),
    /// The name, and the soft and the hard limit that it has.
    Rlimit(&'static str, u64, u64),
    /// The name, and the soft and the hard limit that it gets.
    SetRlimit(&'static str, u64, u64, Result<(), Error>),
    ChangeDirectory(&'static str, Result<(), Errno>),
    ReturnHome(Result<(), Errno>),
    Panic,
}

#[derive(Debug)]
pub struct Scripted {
    due: VecDeque<Due>,
    /// What the loaded policy says of logins whose helper gives no answer.
    pub unanswered: OnError,
    /// What runs the module.
    pub program: Program,
}

impl Scripted {
    pub fn new(script: impl IntoIterator<Item = Due>) -> Scripted {
        Scripted {
            due: script.into_iter().collect(),
            unanswered: OnError::Deny,
            program: Program::Other,
        }
    }

    /// The script must have been played to its end.
    pub fn end(self) {
        assert!(self.due.is_empty(), "calls that never came: {:?}", self.due);
    }

    fn next(&mut self, call: &str) -> Due {
        match self.due.pop_front() {
            Some(Due::Panic) => panic!("scripted"),
            Some(due) => due,
            None => panic!("{call}, past the end of the script"),
        }
    }
}

macro_rules! due {
    ($self:ident, $call:expr, $pattern:pat $(if $guard:expr)? => $answer:expr) => {
        match $self.next(&$call) {
            $pattern $(if $guard)? => $answer,
            other => panic!("{}, where this was due: {other:?}", $call),
        }
    };
}

impl Host for Scripted {
    fn now(&mut self) -> Instant {
        due!(self, String::from("now"), Due::Now(now) => now)
    }

    fn item(&mut self, item: Item) -> Result<Vec<u8>, Error> {
        due!(self, format!("item {item:?}"), Due::Item(due, answer) if due == item => answer)
    }

    fn log(&mut self, level: Level, line: &str) {
        due!(self, format!("log {level:?} {line}"),
            Due::Log(due, part) if due == level && line.contains(part) => ())
    }

    fn tell(&mut self, message: &str) {
        due!(self, format!("tell {message}"), Due::Tell(due) if due == message => ())
    }

    fn greet(&mut self, line: &str) {
        due!(self, format!("greet {line}"), Due::Greet(due) if due == line => ())
    }

    fn set_environment(&mut self, variable: &str) -> Result<(), Error> {
        due!(self, format!("environment {variable}"),
            Due::Environment(due, answer) if due == variable => answer)
    }

    fn exempt(&mut self, list: ExemptList, user: &[u8]) -> Result<bool, ExemptError> {
        due!(self, format!("exempt {list:?} {user:?}"),
            Due::Exempt(due, name, answer) if due == list && name.as_bytes() == user => answer)
    }

    fn unanswered(&mut self) -> OnError {
        self.unanswered
    }

    fn privilege(&mut self) -> Privilege {
        due!(self, String::from("privilege"), Due::Privilege(answer) => answer)
    }

    fn nested(&mut self, user: &[u8]) -> Nested {
        due!(self, format!("nested {user:?}"),
            Due::Nested(due, answer) if due.as_bytes() == user => answer)
    }

    fn threads(&mut self) -> Threads {
        due!(self, String::from("threads"), Due::Threads(answer) => answer)
    }

    fn program(&mut self) -> Program {
        self.program
    }

    fn kept(&mut self, phase: Phase, user: &[u8]) -> Option<(Verdict, Option<Vec<u8>>)> {
        assert_eq!(user, b"alice");
        match self.next("kept") {
            Due::Kept(due, answer) if due == phase => answer.map(|verdict| (verdict, None)),
            Due::KeptBy(due, verdict, policy) if due == phase => {
                Some((verdict, Some(policy.into())))
            }
            other => panic!("kept {phase:?}, where this was due: {other:?}"),
        }
    }

    fn keep(&mut self, phase: Phase, user: &[u8], verdict: Verdict) -> Result<(), Error> {
        assert_eq!(user, b"alice");
        due!(self, format!("keep {phase:?} {verdict:?}"),
            Due::Keep(due, what, answer) if due == phase && what == verdict => answer)
    }

    fn release(&mut self) {
        due!(self, String::from("release"), Due::Release => ())
    }

    fn ask(&mut self, helper: &Path, request: &Request, deadline: Instant) -> Result<Reply, Error> {
        due!(self, format!("ask {helper:?} {request:?} {deadline:?}"),
            Due::Ask(due, what, when, answer)
                if due == helper && what == *request && when == deadline => answer)
    }

    fn joined(&mut self) -> Result<(), Error> {
        due!(self, String::from("joined"), Due::Joined(answer) => answer)
    }

    fn not_joined(&mut self, message: String) {
        due!(self, format!("failed {message}"), Due::Failed(part) if message.contains(part) => ())
    }

    fn hang_up(&mut self) {
        due!(self, String::from("hang up"), Due::HangUp => ())
    }

    fn working_directory(&mut self) -> Option<PathBuf> {
        due!(self, String::from("cwd"), Due::WorkingDirectory(answer) => answer.map(PathBuf::from))
    }

    fn remember_home(&mut self, namespaces: i32) -> Result<(), Errno> {
        due!(self, format!("remember {namespaces:#x}"),
            Due::RememberHome(due, answer) if due == namespaces => answer)
    }

    fn setns(&mut self, namespaces: i32) -> Option<Result<(), Errno>> {
        due!(self, format!("setns {namespaces:#x}"),
            Due::Setns(due, answer) if due == namespaces => answer)
    }

    fn no_new_privs(&mut self) -> Result<(), Errno> {
        due!(self, String::from("no_new_privs"), Due::NoNewPrivs(answer) => answer)
    }

    fn empty_bounding_set(&mut self) -> Result<(), Errno> {
        due!(self, String::from("bounding set"), Due::EmptyBoundingSet(answer) => answer)
    }

    fn filter(&mut self, filter: &[Instruction]) -> Result<(), Errno> {
        due!(self, String::from("filter"),
            Due::Filter(length, answer) if length == filter.len() => answer)
    }

    fn new_keyring(&mut self) -> Result<(), Errno> {
        due!(self, String::from("keyring"), Due::NewKeyring(answer) => answer)
    }

    fn rlimit(&mut self, of: &Rlimit) -> Result<Rlimit, Error> {
        due!(self, format!("look at {of:?}"),
            Due::Rlimit(name, soft, hard) if name == of.name => Ok(Rlimit { soft, hard, ..of.clone() }))
    }

    fn set_rlimit(&mut self, to: &Rlimit) -> Result<(), Error> {
        due!(self, format!("set {to:?}"), Due::SetRlimit(name, soft, hard, answer)
            if name == to.name && (soft, hard) == (to.soft, to.hard) => answer)
    }

    fn change_directory(&mut self, path: &Path) -> Result<(), Errno> {
        due!(self, format!("chdir {path:?}"),
            Due::ChangeDirectory(due, answer) if Path::new(due) == path => answer)
    }

    fn return_home(&mut self) -> Result<(), Errno> {
        due!(self, String::from("return"), Due::ReturnHome(answer) => answer)
    }
}

/// alice comes by sshd; nothing is special about her or it.
pub struct Login {
    pub phase: Phase,
    pub arguments: Arguments,
    /// What the loaded policy says of logins whose helper gives no answer.
    pub unanswered: OnError,
    pub service: &'static str,
    pub threads: Threads,
    pub join: JoinAbility,
    /// When the helper is asked.
    pub now: Instant,
}

impl Login {
    pub fn new(phase: Phase, line: &str) -> Login {
        Login {
            phase,
            arguments: Arguments::parse(line.split_whitespace().map(str::as_bytes)),
            unanswered: OnError::Deny,
            service: "sshd",
            threads: Threads::One,
            join: JoinAbility::Yes,
            now: Instant::now() + Duration::from_secs(1_000_000),
        }
    }

    /// Up to where it is known that the exempt list has nothing to say.
    pub fn known(&self) -> Vec<Due> {
        let list = match self.arguments.policy {
            Some(_) => ExemptList::RootOnly,
            None => ExemptList::Installed,
        };
        vec![
            Due::Item(Item::User, Ok(b"alice".into())),
            Due::Exempt(list, "alice", Ok(false)),
            Due::Privilege(Privilege::Root),
        ]
    }

    /// And up to where the whole request is there.
    pub fn collected(&self) -> Vec<Due> {
        let mut script = self.known();
        script.extend([
            Due::Item(Item::Service, Ok(self.service.into())),
            Due::Item(Item::Tty, Ok(b"ssh".into())),
            Due::Item(Item::Rhost, Ok(b"192.0.2.7".into())),
            Due::Item(Item::Ruser, Ok(vec![])),
            Due::Threads(self.threads),
        ]);
        script
    }

    pub fn request(&self) -> Request {
        let policy = self.arguments.policy.as_ref();
        Request {
            phase: self.phase,
            user: b"alice".into(),
            service: self.service.into(),
            tty: b"ssh".into(),
            rhost: b"192.0.2.7".into(),
            ruser: vec![],
            policy: policy.map(|path| path.to_str().unwrap().into()),
            join: self.join,
            on_error: match self.arguments.policy {
                None if self.join == JoinAbility::Manager => OnError::Deny,
                None => self.arguments.on_error.unwrap_or(self.unanswered),
                Some(_) => self.arguments.on_error.unwrap_or(OnError::Deny),
            },
        }
    }

    /// And up to the helper's reply.
    pub fn asked(&self, reply: Result<Reply, Error>) -> Vec<Due> {
        let mut script = self.collected();
        script.extend([
            Due::Kept(self.phase, None),
            Due::Nested("alice", Nested::Outside),
            Due::Now(self.now),
            Due::Ask(
                self.arguments.helper.clone(),
                self.request(),
                self.now + self.arguments.timeout,
                reply,
            ),
        ]);
        script
    }

    /// Plays a script to its end.
    pub fn play(&self, script: Vec<Due>, rest: impl IntoIterator<Item = Due>) -> Verdict {
        let mut host = Scripted::new(script.into_iter().chain(rest));
        host.unanswered = self.unanswered;
        if self.join == JoinAbility::Manager {
            host.program = Program::Berth;
        }
        let verdict = crate::login::decide(&mut host, &self.arguments, self.phase);
        host.end();
        verdict
    }
}

/// What comes of a helper that gives no reply.
pub fn no_answer(error: ChannelError) -> Error {
    Error::Answer {
        path: berth_protocol::HELPER.into(),
        error,
    }
}
