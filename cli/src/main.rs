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

mod exit;
mod json;
mod paint;
mod place;
mod verb;

use std::process::ExitCode;

use clap::Parser;

/// Caps and isolation for each login, as one policy says.
#[derive(Debug, Parser)]
#[command(name = "berth", version, after_help = exit::HELP)]
struct Arguments {
    #[command(subcommand)]
    verb: verb::Verb,
}

fn main() -> ExitCode {
    // clap prints usage errors itself, with exit code 2.
    Arguments::parse().verb.run().into()
}
