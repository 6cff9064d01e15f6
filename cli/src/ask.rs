//! A question before something that cannot be taken back.

use std::io::{IsTerminal, Write};

use crate::exit::Exit;

/// Asks at a terminal; elsewhere somebody must have said --yes. `question` shows what it is about, and
/// gives the question.
pub fn confirm(yes: bool, question: impl FnOnce() -> String) -> Result<(), Exit> {
    if yes {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        eprintln!("berth: nobody can be asked here (no terminal): say --yes");
        return Err(Exit::Usage);
    }
    eprint!("{} [y/N] ", question());
    // A question that does not show is still waited for.
    let _ = std::io::stderr().flush();
    let mut answer = String::new();
    let read = std::io::stdin().read_line(&mut answer);
    match (read, answer.trim()) {
        (Ok(_), "y" | "Y" | "yes") => Ok(()),
        _ => {
            eprintln!("berth: nothing is done");
            Err(Exit::NotSo)
        }
    }
}
