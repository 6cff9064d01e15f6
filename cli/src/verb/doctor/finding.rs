//! What a check has to say.

use std::fmt;

use serde_json::{Value, json};

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
    /// What it is about, in a word.
    pub topic: &'static str,
    /// The line.
    pub text: String,
    /// What to do.
    pub remedy: Option<String>,
}

impl Finding {
    /// All is well.
    pub fn ok(topic: &'static str, text: impl Into<String>) -> Finding {
        Finding {
            level: Level::Ok,
            topic,
            text: text.into(),
            remedy: None,
        }
    }

    /// What was not well is now.
    pub fn fixed(topic: &'static str, text: impl Into<String>) -> Finding {
        Finding {
            level: Level::Fixed,
            ..Finding::ok(topic, text)
        }
    }

    /// All is well; what could be had in exchange for something else.
    pub fn offer(topic: &'static str, text: impl Into<String>, how: impl Into<String>) -> Finding {
        Finding {
            remedy: Some(how.into()),
            ..Finding::ok(topic, text)
        }
    }

    /// A warning, and what to do.
    pub fn warn(
        topic: &'static str,
        text: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Finding {
        Finding {
            level: Level::Warn,
            remedy: Some(remedy.into()),
            ..Finding::ok(topic, text)
        }
    }

    /// A failure, and what to do.
    pub fn fail(
        topic: &'static str,
        text: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Finding {
        Finding {
            level: Level::Fail,
            ..Finding::warn(topic, text, remedy)
        }
    }

    /// As `--json` has it.
    pub fn object(&self) -> Value {
        json!({
            "level": self.level.word().to_ascii_lowercase(),
            "topic": self.topic,
            "text": self.text,
            "remedy": self.remedy,
        })
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (level, topic) = (self.level.word(), self.topic);
        writeln!(f, "{level:<5} {topic:<10} {}", self.text)?;
        match &self.remedy {
            Some(remedy) => writeln!(f, "{:17}-> {remedy}", ""),
            None => Ok(()),
        }
    }
}
