//! A program that is run in the foreground, as a shell would: its terminal, its environment, its exit status.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};

use crate::exit::{Exit, not_so};
use crate::sys::{self, Identity, Terminal};

/// What a clean environment keeps of the caller's: how to write to the terminal.
pub fn kept() -> impl Iterator<Item = (&'static str, OsString)> {
    let names = ["TERM", "LANG"].into_iter();
    names.filter_map(|name| Some((name, std::env::var_os(name)?)))
}

/// Runs it as somebody, and waits for its end. Gives back its exit status, or 128 and the signal that ended it.
pub fn run(mut command: Command, identity: Identity, terminal: Terminal) -> Result<u8, Exit> {
    let name = PathBuf::from(command.get_program());
    wait_for(&mut command, identity, terminal)
        .map_err(|error| not_so(format!("cannot run {}: {error}", name.display())))
}

fn wait_for(command: &mut Command, identity: Identity, terminal: Terminal) -> io::Result<u8> {
    sys::run_as(command, identity, terminal);
    let mut child = command.spawn()?;
    // From here on: the program inherits how signals are handled.
    sys::ignore_keyboard_signals()?;
    let status = child.wait()?;
    if terminal == Terminal::Own {
        // The shell that called us takes it itself where this fails.
        let _ = sys::give_terminal();
    }
    Ok(code(status))
}

/// An exit status as a shell has it.
pub fn code(status: ExitStatus) -> u8 {
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(255)
}
