//! `berth completions`: what a shell completes the command with.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::exit::Exit;
use crate::whole;

#[derive(Debug, Args)]
pub struct Arguments {
    /// Whose language to write
    shell: Shell,
}

pub fn run(arguments: &Arguments) -> Result<Exit, Exit> {
    let mut script = Vec::new();
    let mut command = crate::Arguments::command();
    clap_complete::generate(arguments.shell, &mut command, "berth", &mut script);
    whole::print(&script)?;
    Ok(Exit::Done)
}
