//! Colours, on a terminal only, and not where NO_COLOR is set.

use std::io::IsTerminal;

use berth_config::{Diagnostic, Severity};

/// Whether standard output takes colours.
pub fn wanted() -> bool {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    !refused && std::io::stdout().is_terminal()
}

/// A diagnostic as it is printed, its word in colour.
pub fn diagnostic(diagnostic: &Diagnostic) -> String {
    let text = diagnostic.to_string();
    if !wanted() {
        return text;
    }
    let colour = match diagnostic.severity {
        Severity::Error => "\x1b[1;31m",
        Severity::Warning => "\x1b[1;33m",
    };
    let word = diagnostic.severity.word();
    text.replacen(
        &format!(": {word}: "),
        &format!(": {colour}{word}\x1b[0m: "),
        1,
    )
}

/// A line that ends in a word, the word in colour.
pub fn alarm(line: &str, word: &str) -> String {
    match line.strip_suffix(word) {
        Some(rest) if wanted() => format!("{rest}\x1b[1;31m{word}\x1b[0m"),
        _ => line.into(),
    }
}

/// How bad something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Alarm {
    None,
    Warning,
    Failure,
}

/// A word in the colour of how bad it is.
pub fn word(word: &str, alarm: Alarm) -> String {
    let colour = match alarm {
        Alarm::Failure if wanted() => "\x1b[1;31m",
        Alarm::Warning if wanted() => "\x1b[1;33m",
        _ => return word.into(),
    };
    format!("{colour}{word}\x1b[0m")
}

/// A line that begins with how bad it is.
pub fn level(line: &str) -> String {
    for (word, colour) in [("FAIL", "\x1b[1;31m"), ("WARN", "\x1b[1;33m")] {
        if let (Some(rest), true) = (line.strip_prefix(word), wanted()) {
            return format!("{colour}{word}\x1b[0m{rest}");
        }
    }
    line.into()
}
