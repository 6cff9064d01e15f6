//! A question before something that cannot be taken back.

use std::io::{IsTerminal, Write};

use crate::exit::{Exit, not_so};

/// Asks at a terminal; elsewhere somebody must have said --yes. `question` shows what it is about, and
/// gives the question.
pub fn confirm(yes: bool, question: impl FnOnce() -> String) -> Result<(), Exit> {
    possible(yes)?;
    if yes {
        return Ok(());
    }
    match answer(&format!("{} [y/N]", question())).as_deref() {
        Some("y" | "Y" | "yes") => Ok(()),
        _ => Err(not_so("nothing is done")),
    }
}

/// Whether somebody can be asked, or need not be.
pub fn possible(yes: bool) -> Result<(), Exit> {
    match yes || std::io::stdin().is_terminal() {
        true => Ok(()),
        false => Err(Exit::Usage.because("nobody can be asked here (no terminal): say --yes")),
    }
}

/// Asks until the answer is one of these letters; nothing if nobody answers any more.
pub fn choose(question: &str, letters: &[char]) -> Option<char> {
    loop {
        let letter = answer(question)?.chars().next();
        if letter.is_some_and(|letter| letters.contains(&letter)) {
            return letter;
        }
    }
}

/// What somebody types; nothing if nobody does any more.
fn answer(question: &str) -> Option<String> {
    eprint!("{question} ");
    // A question that does not show is still waited for.
    let _ = std::io::stderr().flush();
    let mut answer = String::new();
    let read = std::io::stdin().read_line(&mut answer).ok()?;
    (read > 0).then(|| answer.trim().to_owned())
}
