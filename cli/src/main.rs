//! `berth`: what an admin types.
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

// As std's, but whoever reads no more (`head`) has seen enough, and a disk that is full is no reason either: std's would
// panic, in the middle of what is being done.
macro_rules! print {
    ($($text:tt)*) => {{
        let _ = std::io::Write::write_fmt(&mut std::io::stdout(), format_args!($($text)*));
    }};
}
macro_rules! println {
    ($($text:tt)*) => {
        print!("{}\n", format_args!($($text)*))
    };
}
macro_rules! eprint {
    ($($text:tt)*) => {{
        let _ = std::io::Write::write_fmt(&mut std::io::stderr(), format_args!($($text)*));
    }};
}
macro_rules! eprintln {
    ($($text:tt)*) => {
        eprint!("{}\n", format_args!($($text)*))
    };
}

mod admin_log;
mod application;
mod applied;
mod ask;
mod caller;
mod difference;
mod due;
mod exceptions;
mod exit;
mod figures;
mod helper;
mod json;
mod live;
mod lock;
mod machine_lacks;
mod object;
#[cfg(test)]
#[path = "../../tests/src/own_folder.rs"]
mod own_folder;
mod own_sessions;
mod pager;
mod paint;
mod pam_stack;
mod parallel;
mod penalties;
mod place;
mod program;
mod progress;
mod readable;
mod repeated;
mod replace;
mod slices;
mod stale;
mod sys;
mod table;
#[cfg(test)]
mod tests;
mod verb;
mod when;
mod whole;

use std::process::ExitCode;

use clap::Parser;

/// Caps and isolation for each login, as one policy says.
#[derive(Debug, Parser)]
#[command(name = "berth", version, after_help = exit::HELP)]
struct Arguments {
    /// By default, root sees `list`, and a user their own `show`
    #[command(subcommand)]
    verb: Option<verb::Verb>,
}

fn main() -> ExitCode {
    sys::forget_zone();
    // Users look into the folders that root makes, by `berth show` and others.
    sys::set_umask();
    // clap prints usage errors itself, with exit code 2.
    let verb = Arguments::parse().verb;
    verb.unwrap_or_else(verb::Verb::bare).run().into()
}
