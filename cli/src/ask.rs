//! A question before something that cannot be taken back.

use std::io::{IsTerminal, Write};

use crate::exit::{Exit, not_so};

/// Asks at a terminal; elsewhere somebody must have said --yes. `question` shows what it is about, and
/// gives the question.
pub fn confirm(yes: bool, question: impl FnOnce() -> String) -> Result<(), Exit> {
    if yes {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        return Err(Exit::Usage.because("nobody can be asked here (no terminal): say --yes"));
    }
    eprint!("{} [y/N] ", question());
    // A question that does not show is still waited for.
    let _ = std::io::stderr().flush();
    let mut answer = String::new();
    let read = std::io::stdin().read_line(&mut answer);
    match (read, answer.trim()) {
        (Ok(_), "y" | "Y" | "yes") => Ok(()),
        _ => Err(not_so("nothing is done")),
    }
}

/// Asks until the answer is one of these letters; nothing if nobody answers any more.
pub fn choose(question: &str, letters: &[char]) -> Option<char> {
    loop {
        eprint!("{question} ");
        // A question that does not show is still waited for.
        let _ = std::io::stderr().flush();
        let mut answer = String::new();
        let read = std::io::stdin().read_line(&mut answer);
        let letter = answer.trim().chars().next();
        match read {
            Ok(0) | Err(_) => return None,
            Ok(_) if letter.is_some_and(|letter| letters.contains(&letter)) => return letter,
            Ok(_) => {}
        }
    }
}
