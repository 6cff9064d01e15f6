//! The verbs, one file each: its arguments, and `run`.

mod check;
mod diff;
mod explain;
mod reload;

use clap::Subcommand;

use crate::exit::Exit;

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Check the policy, or the files named
    Check(check::Arguments),
    /// Check the edited policy and put it in force
    Reload(reload::Arguments),
    /// Show what differs between two policies (by default: the one in force and the edited one)
    Diff(diff::Arguments),
    /// Show what a user gets, and why
    Explain(explain::Arguments),
}

impl Verb {
    /// Does it.
    pub fn run(self) -> Exit {
        match self {
            Verb::Check(arguments) => check::run(arguments),
            Verb::Reload(arguments) => reload::run(arguments),
            Verb::Diff(arguments) => diff::run(arguments),
            Verb::Explain(arguments) => explain::run(arguments),
        }
    }
}
