//! What `berth` exits with.

use std::fmt::Display;
use std::io;
use std::process::ExitCode;

/// Shown under `berth --help`.
pub const HELP: &str = "\
Exit status:
  0  done, or the answer is yes
  1  no: not found, refused, a difference (diff), a warning (check --strict)
  2  usage
  3  the policy has an error
  4  no permission
  5  done in part";

/// How a verb ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done, or the answer is yes.
    Done,
    /// The answer is no.
    NotSo,
    /// The arguments make no sense together.
    Usage,
    /// The policy has an error.
    Policy,
    /// Only root may do this.
    Permission,
    /// Some of it is done.
    Partly,
    /// A command was run, and ended with this.
    Of(u8),
}

impl Exit {
    /// Says why it ends so.
    pub fn because(self, why: impl Display) -> Exit {
        eprintln!("berth: {why}");
        self
    }
}

impl From<&io::Error> for Exit {
    fn from(error: &io::Error) -> Exit {
        match denied(error) {
            true => Exit::Permission,
            false => Exit::NotSo,
        }
    }
}

/// Whether an error is one of permission.
pub fn denied(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied
}

/// Says why it is not so.
pub fn not_so(why: impl Display) -> Exit {
    Exit::NotSo.because(why)
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(match exit {
            Exit::Done => 0,
            Exit::NotSo => 1,
            Exit::Usage => 2,
            Exit::Policy => 3,
            Exit::Permission => 4,
            Exit::Partly => 5,
            Exit::Of(status) => status,
        })
    }
}
