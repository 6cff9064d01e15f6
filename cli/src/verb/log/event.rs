//! An event: one line of Berth's in the log, taken apart.

use std::time::SystemTime;

use crate::readable::harmless;

/// What the helper, the module or an admin's command wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// When the log got it, to the second.
    pub time: SystemTime,
    /// What happened: `open`, `close`, `cap`, …; `module` for the words of the PAM module.
    pub word: String,
    /// In the order in which they stand there. Values keep the escapes (`\x0a`) that the writer put in for what does
    /// not show, so they can be printed.
    pub fields: Vec<(String, String)>,
}

impl Event {
    /// Takes a line apart that the log has of a program. `None` for a line that is none of Berth's.
    pub fn parse(time: SystemTime, program: &str, text: &str) -> Option<Event> {
        if program == "berth" {
            let (word, fields) = text.split_once(' ').unwrap_or((text, ""));
            let is_word =
                !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c == '-');
            return is_word.then(|| Event {
                time,
                word: word.into(),
                fields: pairs(fields),
            });
        }
        // pam_syslog(3) has `pam_berth(sshd:session): ` before the module's own words.
        let (place, text) = text.strip_prefix("pam_berth(")?.split_once("): ")?;
        let service = place.split(':').next().unwrap_or_default();
        let field = |key: &str, value: &str| (key.to_owned(), harmless(value));
        Some(Event {
            time,
            word: "module".into(),
            fields: vec![field("service", service), field("text", text)],
        })
    }

    /// A field that has a value.
    pub fn get(&self, key: &str) -> Option<&str> {
        let mut fields = self.fields.iter();
        let (_, value) = fields.find(|(name, value)| name == key && value != "-")?;
        Some(value)
    }

    /// Which cap an event about one says was reached.
    pub fn reached(&self) -> String {
        let cap = self.get("cap").map(|cap| format!("{cap} reached"));
        cap.unwrap_or_else(|| "out of memory".into())
    }

    /// A field that is a number.
    pub fn number(&self, key: &str) -> Option<u64> {
        self.get(key)?.parse().ok()
    }
}

/// `a=1 b="two words"`, as session/src/log.rs writes it.
fn pairs(mut text: &str) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    while let Some((key, rest)) = text.trim_start().split_once('=') {
        let (value, rest) = match rest.strip_prefix('"') {
            Some(quoted) => unquoted(quoted),
            None => {
                let (value, rest) = rest.split_once(' ').unwrap_or((rest, ""));
                (value.to_owned(), rest)
            }
        };
        // Anybody can write to the log in any program's name, and so without Berth's care.
        pairs.push((harmless(key), harmless(&value)));
        text = rest;
    }
    pairs
}

/// A value up to its closing quote, and what follows. What was escaped because it does not show stays so.
fn unquoted(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match c {
            '"' => break,
            '\\' => match rest.clone().next() {
                Some(c @ ('"' | '\\')) => {
                    value.push(c);
                    rest.next();
                }
                _ => value.push('\\'),
            },
            c => value.push(c),
        }
    }
    (value, rest.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(program: &str, text: &str) -> Option<Event> {
        Event::parse(SystemTime::UNIX_EPOCH, program, text)
    }

    #[test]
    fn values_are_what_the_writer_quoted() {
        let text = r#"open session=- user="m\x0allory" rule="two words" reason="a \"b\" \\ c=d" empty=- result=deny"#;
        let event = parse("berth", text).unwrap();
        assert_eq!(event.word, "open");
        assert_eq!(event.get("user"), Some(r"m\x0allory"));
        assert_eq!(event.get("rule"), Some("two words"));
        assert_eq!(event.get("reason"), Some(r#"a "b" \ c=d"#));
        assert_eq!(event.get("empty"), None);
        assert_eq!(event.get("result"), Some("deny"));
    }

    #[test]
    fn what_others_write_in_berths_name_does_no_harm() {
        let event = parse("berth", "cap user=a\u{1b}[2J").unwrap();
        assert_eq!(event.get("user"), Some("a\u{fffd}[2J"));
        for text in ["", "Two words", "open=1", "=", "x\u{1b} a=b"] {
            assert_eq!(parse("berth", text), None, "{text}");
        }
        assert!(parse("berth", "open a=\"no end").is_some());
    }

    #[test]
    fn of_other_programs_the_modules_lines_count() {
        let event = parse("sshd", "pam_berth(sshd:session): cannot start (x)").unwrap();
        assert_eq!(event.word, "module");
        assert_eq!(event.get("service"), Some("sshd"));
        assert_eq!(event.get("text"), Some("cannot start (x)"));
        assert_eq!(parse("sshd", "Accepted publickey for alice"), None);
        assert_eq!(
            parse("sshd", "pam_unix(sshd:session): pam_berth(x): y"),
            None
        );
    }
}
