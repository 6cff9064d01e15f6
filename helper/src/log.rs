//! The helper's log lines: syslog, facility AUTHPRIV, `key=value` in a fixed order.

use std::fmt::{self, Write};
use std::time::Duration;

use syslog::{Facility, Formatter3164, Logger, LoggerBackend, Severity};

/// The most bytes of one value: what users choose must not fill the log.
const MAX_VALUE: usize = 256;

/// How long a line may wait for the log daemon.
const PATIENCE: Duration = Duration::from_millis(500);

/// One line in the making.
#[derive(Debug)]
pub struct Line(String);

impl Line {
    /// Begins with what happened.
    pub fn new(event: &str) -> Line {
        Line(event.into())
    }

    /// Adds a field; an empty value is `-`.
    pub fn field(mut self, key: &str, value: impl fmt::Display) -> Line {
        let value = value.to_string();
        let _ = write!(self.0, " {key}={}", quote(&value)); // writing to a String cannot fail
        self
    }

    /// Adds a field if there is a value.
    pub fn optional(self, key: &str, value: Option<impl fmt::Display>) -> Line {
        match value {
            Some(value) => self.field(key, value),
            None => self,
        }
    }

    /// Writes an ordinary line.
    pub fn info(self) {
        send(Severity::LOG_INFO, &self.0);
    }

    /// Writes a line that an admin should see.
    pub fn warning(self) {
        send(Severity::LOG_WARNING, &self.0);
    }

    /// Writes a line about something that failed.
    pub fn error(self) {
        send(Severity::LOG_ERR, &self.0);
    }
}

/// A value that cannot be taken for anything else: quoted if it has a space, a quote or an equals
/// sign, control characters as `\x0a`, cut at a bound.
fn quote(value: &str) -> String {
    if value.is_empty() {
        return "-".into();
    }
    let mut text = String::new();
    for character in value.chars() {
        if text.len() >= MAX_VALUE {
            text.push('…');
            break;
        }
        match character {
            '"' | '\\' => text.extend(['\\', character]),
            c if is_invisible(c) => {
                let mut bytes = [0; 4];
                for byte in c.encode_utf8(&mut bytes).bytes() {
                    let _ = write!(text, "\\x{byte:02x}"); // writing to a String cannot fail
                }
            }
            c => text.push(c),
        }
    }
    if text == value && !value.contains([' ', '=']) {
        text
    } else {
        format!("\"{text}\"")
    }
}

/// Whether a character does not show, or changes how others do (a bidirectional override): what
/// `char::escape_debug` would escape.
fn is_invisible(c: char) -> bool {
    c.is_control() || (!c.is_ascii() && c.escape_debug().len() > 1)
}

fn send(severity: Severity, message: &str) {
    let formatter = Formatter3164 {
        facility: Facility::LOG_AUTHPRIV,
        hostname: None,
        process: "berth".into(),
        pid: std::process::id(),
    };
    // Without a log daemon there is nobody to tell, and a login does not fail for it.
    let Ok(mut logger): Result<Logger<LoggerBackend, Formatter3164>, _> = syslog::unix(formatter)
    else {
        return;
    };
    // A log daemon that hangs, or whose queue a user keeps full, may cost a line and a moment, never the
    // end of a session.
    if let LoggerBackend::Unix(socket) = &logger.backend {
        let _ = socket.set_write_timeout(Some(PATIENCE)); // fails for a time of zero only
    }
    let _ = match severity {
        Severity::LOG_ERR => logger.err(message),
        Severity::LOG_WARNING => logger.warning(message),
        _ => logger.info(message),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_users_text_cannot_forge_a_field_or_a_line() {
        assert_eq!(quote("alice"), "alice");
        assert_eq!(quote(""), "-");
        assert_eq!(quote("m\nallory"), r#""m\x0aallory""#);
        assert_eq!(quote("a result=ok"), r#""a result=ok""#);
        assert_eq!(quote("\u{202e}gnp.exe"), r#""\xe2\x80\xaegnp.exe""#);
        assert_eq!(quote("zoë"), "zoë");
        assert_eq!(quote(r#"a"b\"#), r#""a\"b\\""#);
        assert!(quote(&"é".repeat(10_000)).len() < 300);
    }
}
