//! What a program said, and how it ended.

use std::process::ExitStatus;

use serde_json::Value;

/// What a program printed, and how it ended.
#[derive(Debug, Clone)]
pub struct Output {
    /// How the program ended.
    pub status: ExitStatus,
    /// Its standard output, without the last newline.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Output {
    /// The standard output of a program that must succeed.
    #[track_caller]
    pub fn ok(self) -> String {
        assert!(self.status.success(), "{self:?}");
        self.stdout
    }

    /// What it printed as JSON, however it ended.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Asserts that the program failed, and gives back what it said.
    #[track_caller]
    pub fn refused(self) -> Output {
        assert!(!self.status.success(), "should have failed: {self:?}");
        self
    }

    /// Whether the program succeeded.
    pub fn success(&self) -> bool {
        self.status.success()
    }
}

impl From<std::process::Output> for Output {
    fn from(output: std::process::Output) -> Output {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace('\r', "");
        Output {
            status: output.status,
            stdout: text(&output.stdout).trim_end_matches('\n').to_owned(),
            stderr: text(&output.stderr),
        }
    }
}
