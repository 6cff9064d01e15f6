//! A pager, for text that is longer than the terminal.

use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::process::{Command, Stdio};

use crate::sys;

/// Prints text, by a pager where standard output is a terminal and has fewer lines.
pub fn print(text: &str) {
    let height = io::stdout().is_terminal().then(sys::terminal_height);
    let is_long = height
        .flatten()
        .is_some_and(|height| text.lines().count() >= usize::from(height));
    if is_long && paged(text).is_ok() {
        return;
    }
    // Whoever reads may have seen enough (`head`).
    let _ = io::stdout().write_all(text.as_bytes());
}

/// The same of lines without their ends.
pub fn lines(lines: &[impl AsRef<str>]) {
    let lines = lines.iter().map(|line| format!("{}\n", line.as_ref()));
    print(&lines.collect::<String>());
}

fn paged(text: &str) -> io::Result<()> {
    let mut command = Command::new("/bin/sh");
    command.arg("-c").arg(program()).env("LESS", "FRX");
    // Who may run `berth` as root by sudo is not thereby to get a root shell out of the pager (less(1)).
    command.env("LESSSECURE", "1");
    command.env_remove("LESSSECURE_ALLOW");
    // Ctrl-C is the pager's: if this ended by it, the shell and the pager would both read the terminal.
    let (mut pager, _ignored) = sys::with_keyboard(command.stdin(Stdio::piped()))?;
    let mut input = pager.stdin.take();
    // Whoever reads may have seen enough.
    let _ = input.as_mut().map(|input| input.write_all(text.as_bytes()));
    drop(input);
    match pager.wait()?.code() {
        // The shell's word for a program that is not there.
        Some(126 | 127) => Err(io::ErrorKind::NotFound.into()),
        _ => Ok(()),
    }
}

/// The pager that the user wants; less for another's rights, whose holder is not to choose what runs with them.
fn program() -> OsString {
    let by_another = ["SUDO_UID", "DOAS_USER"].map(std::env::var_os);
    let wanted = std::env::var_os("PAGER").filter(|pager| !pager.is_empty());
    wanted
        .filter(|_| by_another.iter().all(Option::is_none))
        .unwrap_or_else(|| "exec less".into())
}
