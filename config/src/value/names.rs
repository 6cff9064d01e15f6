//! Names and lines of text.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Wrong;

macro_rules! text_type {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(String);

        impl $name {
            /// As it is written.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_type! {
    /// The name of a profile, a pool, a time window, a penalty or a role. Pools become directories
    /// and units, profiles are joined by `+`, so the characters are few.
    Name
}
text_type! {
    /// The name of a rule, as it stands in the log.
    RuleName
}
text_type! {
    /// The name of an account or a group, and no pattern.
    AccountName
}
text_type! {
    /// One line of text.
    Line
}
text_type! {
    /// Text of several lines.
    Text
}
text_type! {
    /// The name of an entry of /tmp.
    TmpName
}
text_type! {
    /// An absolute path.
    Path
}

/// A user's slice in a pool has the pool's name in its own, with four characters for a dash, and systemd takes no
/// name of more than 255.
const NAME_LENGTH: usize = 56;

const RULE_NAME_LENGTH: usize = 64;

impl Name {
    /// Checks a name.
    pub fn parse(text: &str) -> Result<Name, Wrong> {
        let known = |c: char| c.is_ascii_alphanumeric() || ['-', '_', '.'].contains(&c);
        let starts = text.starts_with(|c: char| c.is_ascii_alphanumeric());
        if !starts || !text.chars().all(known) || text.len() > NAME_LENGTH {
            return Err(Wrong::new(
                format!("`{}` cannot be a name", text.escape_debug()),
                "a letter or digit, then letters, digits, `-`, `_`, `.`; at most 56",
            ));
        }
        Ok(Name(text.into()))
    }
}

impl RuleName {
    /// Checks a name.
    pub fn parse(text: &str) -> Result<RuleName, Wrong> {
        if text.is_empty() || text.len() > RULE_NAME_LENGTH || text.chars().any(char::is_control) {
            return Err(Wrong::new(
                "this cannot be a rule's name",
                "1 to 64 bytes, no control characters",
            ));
        }
        Ok(RuleName(text.into()))
    }
}

impl AccountName {
    /// Checks a name: exempt accounts are found in local files, by name alone.
    pub fn parse(text: &str) -> Result<AccountName, Wrong> {
        if text.contains(['*', '?', '[']) {
            return Err(Wrong::new(
                format!("`{text}`: no patterns here"),
                "write the name in full",
            )
            .note("who is exempt is decided from local files, before anything else can fail"));
        }
        let bad =
            |c: char| c.is_control() || c.is_whitespace() && c != ' ' || [':', ','].contains(&c);
        if text.is_empty() || text.chars().any(bad) {
            return Err(Wrong::new(
                format!("`{}` cannot be the name of an account", text.escape_debug()),
                "write a name as passwd(5) or group(5) has it",
            ));
        }
        Ok(AccountName(text.into()))
    }
}

impl Line {
    /// Checks a line.
    pub fn parse(text: &str) -> Result<Line, Wrong> {
        if text.chars().any(char::is_control) {
            return Err(Wrong::new(
                "control characters in a line of text",
                "one line, nothing hidden",
            ));
        }
        Ok(Line(text.into()))
    }
}

impl Text {
    /// Checks a text: it is printed on the user's terminal. Its lines may end as the file's do.
    pub fn parse(text: &str) -> Result<Text, Wrong> {
        let text = text.replace("\r\n", "\n");
        if text
            .chars()
            .any(|c| c.is_control() && c != '\n' && c != '\t')
        {
            return Err(Wrong::new(
                "control characters in a text",
                "newlines and tabs only",
            ));
        }
        Ok(Text(text))
    }
}

impl TmpName {
    /// Checks a name.
    pub fn parse(text: &str) -> Result<TmpName, Wrong> {
        let file = !text.contains(['/', '\0']) && !["", ".", ".."].contains(&text);
        if !file {
            return Err(Wrong::new(
                format!("`{}` is no name in /tmp", text.escape_debug()),
                "write the name alone, as in \".X11-unix\"",
            ));
        }
        Ok(TmpName(text.into()))
    }
}

impl Path {
    /// Checks a path.
    pub fn parse(text: &str) -> Result<Path, Wrong> {
        let up = text.split('/').any(|part| part == "..");
        if !text.starts_with('/') || up || text.contains('\0') {
            return Err(Wrong::new(
                format!("`{}` is no absolute path", text.escape_debug()),
                "write it from the root, without `..`",
            ));
        }
        Ok(Path(text.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_be_something_else_are_refused() {
        assert!(Name::parse("cs101").is_ok());
        assert!(Name::parse(&"x".repeat(56)).is_ok());
        for text in ["", "../x", "a/b", ".a", "a b", "a+b", "é", &"x".repeat(57)] {
            assert!(Name::parse(text).is_err(), "{text}");
        }
        assert!(RuleName::parse("a\nb").is_err());
        assert!(RuleName::parse(&"x".repeat(64)).is_ok());
        assert!(RuleName::parse("").is_err() && RuleName::parse(&"x".repeat(65)).is_err());
        for text in ["gw-*", "", "a:b", "a,b", "a\tb", "a\u{a0}b", "a\x1bb"] {
            assert!(AccountName::parse(text).is_err(), "{text:?}");
        }
        assert!(AccountName::parse("domain users").is_ok());
        assert!(TmpName::parse("..").is_err());
        assert!(Path::parse("/srv/../etc").is_err());
        assert!(Text::parse("\x1b[2J").is_err());
        assert!(Text::parse("a\rb").is_err());
        assert!(Text::parse("a\n\tb").is_ok());
        assert!(Line::parse("a\nb").is_err());
    }
}
