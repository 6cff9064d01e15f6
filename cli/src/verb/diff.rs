//! `berth diff`.

use crate::exit::Exit;

/// The arguments.
#[derive(Debug, clap::Args)]
pub struct Arguments {}

/// Does it.
pub fn run(_arguments: Arguments) -> Exit {
    eprintln!("berth diff is not written yet");
    Exit::Partly
}
