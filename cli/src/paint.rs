//! Colours, on a terminal only, and not where NO_COLOR is set.

use std::io::{IsTerminal, stdout};

use berth_config::{Diagnostic, Severity};

/// Whether standard output takes colours.
pub fn wanted() -> bool {
    takes_colours(&stdout())
}

fn takes_colours(stream: &impl IsTerminal) -> bool {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    !refused && stream.is_terminal()
}

/// How bad something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alarm {
    None,
    Warning,
    Failure,
}

/// A word in the colour of how bad it is, for standard output.
pub fn word(word: &str, alarm: Alarm) -> String {
    word_on(&stdout(), word, alarm)
}

fn word_on(stream: &impl IsTerminal, word: &str, alarm: Alarm) -> String {
    let colour = match alarm {
        Alarm::Failure if takes_colours(stream) => "\x1b[1;31m",
        Alarm::Warning if takes_colours(stream) => "\x1b[1;33m",
        _ => return word.into(),
    };
    format!("{colour}{word}\x1b[0m")
}

/// A diagnostic as it is printed there, its word in colour.
pub fn diagnostic(diagnostic: &Diagnostic, stream: &impl IsTerminal) -> String {
    let alarm = match diagnostic.severity {
        Severity::Error => Alarm::Failure,
        Severity::Warning => Alarm::Warning,
    };
    let plain = diagnostic.severity.word();
    let coloured = format!(": {}: ", word_on(stream, plain, alarm));
    let text = diagnostic.to_string();
    text.replacen(&format!(": {plain}: "), &coloured, 1)
}

/// A line that ends in a word, the word in colour.
pub fn alarm(line: &str, alarming: &str) -> String {
    match line.strip_suffix(alarming) {
        Some(rest) => format!("{rest}{}", word(alarming, Alarm::Failure)),
        None => line.into(),
    }
}
