//! What a check has to say.

use serde_json::{Value, json};

use crate::paint::{self, Alarm};
use crate::readable::harmless;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// As it should be.
    Ok,
    /// It was not, and is now.
    Fixed,
    /// It may surprise somebody.
    Warn,
    /// Logins do not get what the policy says.
    Fail,
}

impl Level {
    fn word(self) -> &'static str {
        match self {
            Level::Ok => "ok",
            Level::Fixed => "fixed",
            Level::Warn => "WARN",
            Level::Fail => "FAIL",
        }
    }
}

/// One line, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    pub text: String,
    /// What to do.
    pub remedy: Option<String>,
}

impl Finding {
    /// All is well.
    pub fn ok(text: impl Into<String>) -> Finding {
        Finding {
            level: Level::Ok,
            text: text.into(),
            remedy: None,
        }
    }

    /// What was not well is now.
    pub fn fixed(text: impl Into<String>) -> Finding {
        Finding {
            level: Level::Fixed,
            ..Finding::ok(text)
        }
    }

    /// All is well; what could be had in exchange for something else.
    pub fn offer(text: impl Into<String>, how: impl Into<String>) -> Finding {
        Finding {
            remedy: Some(how.into()),
            ..Finding::ok(text)
        }
    }

    /// A warning, and what to do.
    pub fn warn(text: impl Into<String>, remedy: impl Into<String>) -> Finding {
        Finding {
            level: Level::Warn,
            remedy: Some(remedy.into()),
            ..Finding::ok(text)
        }
    }

    /// A failure, and what to do.
    pub fn fail(text: impl Into<String>, remedy: impl Into<String>) -> Finding {
        Finding {
            level: Level::Fail,
            ..Finding::warn(text, remedy)
        }
    }

    /// As `--json` has it, with what it is about, in a word.
    pub fn object(&self, topic: &str) -> Value {
        json!({
            "level": self.level.word().to_ascii_lowercase(),
            "topic": topic,
            "text": self.text,
            "remedy": self.remedy,
        })
    }

    /// As people read it: a line, and one on what to do.
    pub fn lines(&self, topic: &str) -> String {
        let alarm = match self.level {
            Level::Ok | Level::Fixed => Alarm::None,
            Level::Warn => Alarm::Warning,
            Level::Fail => Alarm::Failure,
        };
        let level = paint::word(&format!("{:<5}", self.level.word()), alarm);
        // A process's or an account's name may be in it.
        let text = format!("{level} {topic:<10} {}\n", harmless(&self.text));
        match &self.remedy {
            Some(remedy) => format!("{text}{:17}-> {}\n", "", harmless(remedy)),
            None => text,
        }
    }
}
