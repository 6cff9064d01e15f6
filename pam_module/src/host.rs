//! The world as the module's core sees it: the PAM application, the helper, the kernel.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use berth_protocol::exempt::ExemptError;
use berth_protocol::{Instruction, OnError, Phase, Reply, Request, Rlimit};
use nix::errno::Errno;

use crate::code::Verdict;
use crate::error::Error;
use crate::nested::Nested;
use crate::service::{Program, Threads};

/// The PAM items that a request has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Item {
    Service,
    User,
    Tty,
    Rhost,
    Ruser,
}

/// How loud a log line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// The policy could not be carried out.
    Error,
    /// Somebody should look.
    Warning,
    /// A login was refused.
    Notice,
    /// Only with the argument `debug`.
    Debug,
}

/// Which list decides that Berth does not touch a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExemptList {
    /// The installed one, and root.
    Installed,
    RootOnly,
}

/// What the application is allowed to do at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Privilege {
    /// Its effective UID is 0.
    Root,
    /// It is an ordinary user's process.
    Ordinary,
}

/// One step of the join, for error messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // see Display
pub enum Step {
    RememberNamespaces,
    Setns,
    NoNewPrivs,
    BoundingSet,
    Filter,
    Keyring,
    WorkingDirectory,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Step::RememberNamespaces => "open the application's own namespaces under /proc/self/ns",
            Step::Setns => "join the session's namespaces (setns)",
            Step::NoNewPrivs => "set no_new_privs",
            Step::BoundingSet => "empty the capability bounding set",
            Step::Filter => "install the seccomp filter",
            Step::Keyring => "start a new session keyring",
            Step::WorkingDirectory => "go to / in the session's mount namespace",
        })
    }
}

/// Everything that the core asks of the world. Each method is one thing that a test can script.
pub trait Host {
    /// The monotonic clock.
    fn now(&mut self) -> Instant;
    /// A PAM item; one that is not set is empty.
    fn item(&mut self, item: Item) -> Result<Vec<u8>, Error>;
    /// One line to the log.
    fn log(&mut self, level: Level, line: &str);
    /// Shows the user a message.
    fn tell(&mut self, message: &str);
    /// Shows the user a line, unless it would get among what a program prints.
    fn greet(&mut self, line: &str);
    /// Sets a variable of the session's environment.
    fn set_environment(&mut self, variable: &str) -> Result<(), Error>;

    /// Whether local files alone say that Berth does not touch this user.
    fn exempt(&mut self, list: ExemptList, user: &[u8]) -> Result<bool, ExemptError>;
    /// What the policy that was loaded last says of logins whose helper gives no answer.
    fn unanswered(&mut self) -> OnError;
    /// Whether the application is root.
    fn privilege(&mut self) -> Privilege;
    /// Whether the process is in a berth already.
    fn nested(&mut self, user: &[u8]) -> Nested;
    /// How many threads the application has.
    fn threads(&mut self) -> Threads;
    /// Which program the application is.
    fn program(&mut self) -> Program;

    /// What an earlier line of the same stack decided about this user, and its `policy=`.
    fn kept(&mut self, phase: Phase, user: &[u8]) -> Option<(Verdict, Option<Vec<u8>>)>;
    /// Keeps a decision, and with it what was asked by, the helper and the session's descriptors that are open.
    fn keep(&mut self, phase: Phase, user: &[u8], verdict: Verdict) -> Result<(), Error>;
    /// Lets a kept session go. The helper then ends it.
    fn release(&mut self);

    /// Gets the helper's reply before the deadline: of the one that waits since the account phase, or of a new
    /// one. A helper that is late is told to end, and one that gives no reply has rolled everything back.
    fn ask(&mut self, helper: &Path, request: &Request, deadline: Instant) -> Result<Reply, Error>;
    /// Says that the application has joined, and waits for the helper's word that it keeps the session.
    fn joined(&mut self) -> Result<(), Error>;
    /// Says that it has not, and waits until the helper has rolled everything back. One that does not get this sees the end
    /// of the socket, which says the same.
    fn not_joined(&mut self, message: String);
    /// Lets the helper go, and everything that came with the reply.
    fn hang_up(&mut self);

    fn working_directory(&mut self) -> Option<PathBuf>;
    /// Opens the namespaces that the application is in, of these kinds, to come back to them.
    fn remember_home(&mut self, namespaces: i32) -> Result<(), Errno>;
    /// setns(2) on the pidfd that came with the reply. `None`: none came.
    fn setns(&mut self, namespaces: i32) -> Option<Result<(), Errno>>;
    fn no_new_privs(&mut self) -> Result<(), Errno>;
    /// Drops every capability from the bounding set.
    fn empty_bounding_set(&mut self) -> Result<(), Errno>;
    fn filter(&mut self, filter: &[Instruction]) -> Result<(), Errno>;
    /// Starts a new session keyring.
    fn new_keyring(&mut self) -> Result<(), Errno>;
    /// What a resource limit of the application is now.
    fn rlimit(&mut self, of: &Rlimit) -> Result<Rlimit, Error>;
    /// Sets a resource limit of the application.
    fn set_rlimit(&mut self, to: &Rlimit) -> Result<(), Error>;
    /// chdir(2), by a path that has no link in it.
    fn change_directory(&mut self, path: &Path) -> Result<(), Errno>;
    /// Back to the remembered namespaces, of this call or of the kept session; nothing where there are none.
    fn return_home(&mut self) -> Result<(), Errno>;
}
