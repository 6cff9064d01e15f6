//! What is wrong with a value, before its place is known.

/// Why a value is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// What is wrong, after `error: `.
    pub message: String,
    /// What to write instead, under the caret.
    pub label: String,
    /// More to know, after `= `.
    pub notes: Vec<String>,
}

impl Wrong {
    /// A value that is wrong, and what would be right.
    pub fn new(message: impl Into<String>, label: impl Into<String>) -> Wrong {
        Wrong {
            message: message.into(),
            label: label.into(),
            notes: Vec::new(),
        }
    }

    /// Adds what is worth knowing.
    pub fn note(mut self, note: impl Into<String>) -> Wrong {
        self.notes.push(note.into());
        self
    }

    /// The hint for who, where a limit may be infinite, writes `unlimited` or `-1`, as limits.conf and others do.
    pub(crate) fn no_limit(text: &str) -> Option<Wrong> {
        ["unlimited", "max", "none", "-1", "inf"]
            .contains(&text)
            .then(|| {
                Wrong::new(
                    format!("`{text}` is no limit that Berth knows"),
                    "write \"infinity\"",
                )
                .note("or \"unset\", and Berth leaves the property alone")
            })
    }
}

/// Reads a value that may be no limit.
pub(super) fn or_infinity<T>(
    text: &str,
    infinity: T,
    finite: impl FnOnce(&str) -> Result<T, Wrong>,
) -> Result<T, Wrong> {
    if text == "infinity" {
        return Ok(infinity);
    }
    match Wrong::no_limit(text) {
        Some(wrong) => Err(wrong),
        None => finite(text),
    }
}
