//! Errors and warnings, and how they are printed.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::source::printable;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The policy cannot be used.
    Error,
    /// The policy can be used, but hardly means this.
    Warning,
}

impl Severity {
    /// As it is printed.
    pub fn word(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
        }
    }
}

/// A place in a policy's files. The span in bytes is known only while the files are at hand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "(u16, u32)", into = "(u16, u32)")]
pub(crate) struct At {
    /// Which of the policy's files.
    pub(crate) file: u16,
    /// The line, from 1.
    pub(crate) line: u32,
    pub(crate) from: u32,
    pub(crate) to: u32,
}

/// A place as `explain` prints it: `policy.toml:87`, `policy.d/20-cron.toml:6`.
pub(crate) fn short_place(files: &[PathBuf], at: At) -> String {
    let Some(path) = files.get(usize::from(at.file)) else {
        return format!("?:{}", at.line);
    };
    let name = path.file_name().unwrap_or(path.as_os_str());
    let drop_in = path
        .parent()
        .and_then(|parent| parent.file_name())
        .is_some_and(|parent| parent == "policy.d");
    let folder = if drop_in { "policy.d/" } else { "" };
    format!("{folder}{}:{}", name.to_string_lossy(), at.line)
}

impl From<(u16, u32)> for At {
    fn from((file, line): (u16, u32)) -> At {
        At {
            file,
            line,
            from: 0,
            to: 0,
        }
    }
}

impl From<At> for (u16, u32) {
    fn from(at: At) -> (u16, u32) {
        (at.file, at.line)
    }
}

/// An error or a warning, with its place in the policy's files.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Finding {
    pub(crate) severity: Severity,
    pub(crate) at: At,
    pub(crate) message: String,
    pub(crate) label: String,
    pub(crate) notes: Vec<String>,
}

impl Finding {
    pub(crate) fn error(at: At, message: impl Into<String>, label: impl Into<String>) -> Finding {
        Finding {
            severity: Severity::Error,
            at,
            message: message.into(),
            label: label.into(),
            notes: Vec::new(),
        }
    }

    pub(crate) fn warning(at: At, message: impl Into<String>, label: impl Into<String>) -> Finding {
        Finding {
            severity: Severity::Warning,
            ..Finding::error(at, message, label)
        }
    }

    pub(crate) fn note(mut self, note: impl Into<String>) -> Finding {
        self.notes.push(note.into());
        self
    }
}

/// An error or a warning, ready to be printed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// The file.
    pub path: PathBuf,
    /// Where in the file; `None` where it is about the whole file.
    pub place: Option<Place>,
    /// What is wrong.
    pub message: String,
    /// What would be right; printed under the place.
    pub label: String,
    /// More to know.
    pub notes: Vec<String>,
}

/// A stretch of one line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Place {
    /// The line, from 1.
    pub line: u32,
    /// The column, in characters, from 1.
    pub column: u32,
    /// How many characters, at least 1.
    pub width: u32,
    /// The whole line.
    pub text: String,
}

/// The shape of `berth check`: where and what, the line, a caret.
impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", printable(&self.path.display().to_string()))?;
        if let Some(place) = &self.place {
            write!(f, ":{}:{}", place.line, place.column)?;
        }
        write!(f, ": {}: {}", self.severity.word(), self.message)?;
        if let Some(place) = &self.place {
            let before = " ".repeat(place.column.saturating_sub(1) as usize);
            let carets = "^".repeat(place.width.max(1) as usize);
            write!(f, "\n{:>5} | {}", place.line, place.text)?;
            write!(f, "\n      | {before}{carets}")?;
            if !self.label.is_empty() {
                write!(f, " {}", self.label)?;
            }
        }
        for note in &self.notes {
            write!(f, "\n      = {note}")?;
        }
        Ok(())
    }
}

/// `2 errors`, `1 warning`.
pub fn counted<N: fmt::Display + PartialEq + From<u8>>(count: N, what: &str) -> String {
    match count == N::from(1) {
        true => format!("{count} {what}"),
        false => format!("{count} {what}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_one_and_all_others_are_many() {
        let told = [0, 1, 2].map(|count| counted(count, "error"));
        assert_eq!(told, ["0 errors", "1 error", "2 errors"]);
    }
}
