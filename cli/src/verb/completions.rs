//! `berth completions`: what a shell completes the command with.

use std::io::Write;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::exit::Exit;

#[derive(Debug, Args)]
pub struct Arguments {
    /// Whose language to write
    shell: Shell,
}

pub fn run(arguments: &Arguments) -> Result<Exit, Exit> {
    let mut script = Vec::new();
    let mut command = crate::Arguments::command();
    clap_complete::generate(arguments.shell, &mut command, "berth", &mut script);
    match std::io::stdout().write_all(&script) {
        Ok(()) => Ok(Exit::Done),
        Err(_) => Err(Exit::NotSo), // Nobody reads it to the end.
    }
}
