//! The arguments of the line in /etc/pam.d.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

use berth_protocol::{HELPER, OnError};

use crate::text::quoted;

/// How long a login waits for the helper, unless `timeout=` says otherwise.
const TIMEOUT: u64 = 10;

/// Past this a "timeout" would be a hang (sshd's own LoginGraceTime is 120 s).
const LONGEST_TIMEOUT: u64 = 600;

/// How many problems are told: what comes of them has to fit into the same line of the log.
const MOST_PROBLEMS: usize = 5;

/// Which part this line plays in the session stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line {
    /// The only one.
    Whole,
    /// `open`: the last of two; opens, and at the end lets the session go.
    Open,
    /// `close`: the first of two; at the end brings the application back before others clean up.
    Close,
}

/// The arguments, and what was wrong with them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arguments {
    /// `debug`: say more in the log.
    pub debug: bool,
    /// `helper=PATH`
    pub helper: PathBuf,
    /// `policy=FILE`: read this file alone.
    pub policy: Option<PathBuf>,
    /// `timeout=SECONDS`, for all of one call.
    pub timeout: Duration,
    /// `on_error=allow|deny`: counts where the helper's reply does not say it.
    pub on_error: Option<OnError>,
    /// `quiet`: show the user nothing.
    pub quiet: bool,
    /// `open`, `close` or neither.
    pub line: Line,
    /// Arguments that were not understood. They count as a failure to carry out the policy, so they follow
    /// `on_error`: `polcy=/etc/berth/strict.toml` must not quietly put everybody under another policy.
    /// Who is exempt is decided first, so no typo locks out root.
    pub problems: Vec<String>,
}

impl Default for Arguments {
    fn default() -> Arguments {
        Arguments {
            debug: false,
            helper: HELPER.into(),
            policy: None,
            timeout: Duration::from_secs(TIMEOUT),
            on_error: None,
            quiet: false,
            line: Line::Whole,
            problems: Vec::new(),
        }
    }
}

impl Arguments {
    /// Reads a line's arguments. Of an argument that stands twice the last counts.
    pub fn parse<'a>(arguments: impl IntoIterator<Item = &'a [u8]>) -> Arguments {
        let mut parsed = Arguments::default();
        for argument in arguments {
            if let Err(problem) = parsed.take(argument) {
                parsed.problems.push(problem);
            }
        }
        parsed.problems.truncate(MOST_PROBLEMS);
        parsed
    }

    fn take(&mut self, argument: &[u8]) -> Result<(), String> {
        let mut halves = argument.splitn(2, |byte| *byte == b'=');
        match (halves.next().unwrap_or_default(), halves.next()) {
            (b"debug", None) => self.debug = true,
            (b"quiet", None) => self.quiet = true,
            (b"open", None) => self.be(Line::Open)?,
            (b"close", None) => self.be(Line::Close)?,
            (b"helper", Some(path)) => self.helper = absolute("helper", path)?,
            (b"policy", Some(path)) => self.policy = Some(absolute("policy", path)?),
            (b"timeout", Some(seconds)) => self.timeout = timeout(seconds)?,
            (b"on_error", Some(b"allow")) => self.on_error = Some(OnError::Allow),
            (b"on_error", Some(b"deny")) => self.on_error = Some(OnError::Deny),
            (b"on_error", Some(value)) => {
                return Err(format!(
                    "on_error={} is neither allow nor deny",
                    quoted(value)
                ));
            }
            _ => return Err(format!("unknown argument {}", quoted(argument))),
        }
        Ok(())
    }

    fn be(&mut self, line: Line) -> Result<(), String> {
        if self.line != Line::Whole && self.line != line {
            return Err("open and close stand on one line; they belong on two".into());
        }
        self.line = line;
        Ok(())
    }
}

fn absolute(name: &str, path: &[u8]) -> Result<PathBuf, String> {
    let wrong = |problem| Err(format!("{name}={} is {problem}", quoted(path)));
    if !path.starts_with(b"/") {
        // It would depend on where the application happens to stand.
        return wrong("not an absolute path");
    }
    if path.len() >= libc::PATH_MAX as usize {
        // And would not fit into a request.
        return wrong("longer than a path can be");
    }
    Ok(OsStr::from_bytes(path).into())
}

fn timeout(seconds: &[u8]) -> Result<Duration, String> {
    std::str::from_utf8(seconds)
        .ok()
        .and_then(|text| text.parse().ok())
        .filter(|seconds| (1..=LONGEST_TIMEOUT).contains(seconds))
        .map(Duration::from_secs)
        .ok_or_else(|| {
            format!(
                "timeout={} is no number of seconds from 1 to {LONGEST_TIMEOUT}",
                quoted(seconds)
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Arguments {
        Arguments::parse(line.split_whitespace().map(str::as_bytes))
    }

    #[test]
    fn every_argument_is_read() {
        assert_eq!(parse(""), Arguments::default());
        assert_eq!(Arguments::default().timeout, Duration::from_secs(10));
        let all =
            parse("debug helper=/opt/h policy=/etc/p=q.toml timeout=3 on_error=allow quiet close");
        let expected = Arguments {
            debug: true,
            helper: "/opt/h".into(),
            policy: Some("/etc/p=q.toml".into()),
            timeout: Duration::from_secs(3),
            on_error: Some(OnError::Allow),
            quiet: true,
            line: Line::Close,
            problems: vec![],
        };
        assert_eq!(all, expected);
        assert_eq!(parse("open").line, Line::Open);
        assert_eq!(
            parse("on_error=allow on_error=deny").on_error,
            Some(OnError::Deny)
        );
    }

    #[test]
    fn what_is_not_understood_is_a_problem_and_changes_nothing() {
        let longer_than_a_path = format!("policy=/{}", "x".repeat(4095));
        for line in [
            &longer_than_a_path,
            "polcy=/x",
            "debug=1",
            "helper",
            "helper=",
            "helper=bin/x",
            "policy=x",
            "timeout=0",
            "timeout=-1",
            "timeout=1O",
            "timeout=601",
            "timeout",
            "on_error=yes",
            "on_error",
            "Quiet",
            "=",
        ] {
            let parsed = parse(line);
            assert_eq!(parsed.problems.len(), 1, "{line}");
            let rest = Arguments {
                problems: vec![],
                ..parsed
            };
            assert_eq!(rest, Arguments::default(), "{line}");
        }
        assert_eq!(
            parse("on_error=yes").problems,
            ["on_error=\"yes\" is neither allow nor deny"]
        );
        assert_eq!(parse("open close").problems.len(), 1);
        assert!(parse("open open").problems.is_empty());
    }

    #[test]
    fn the_manual_has_every_argument_and_no_other() {
        let manual = include_str!("../../docs/pam_berth.md");
        let rows = manual.lines().filter_map(|row| row.strip_prefix("| `"));
        let written: Vec<&str> = rows
            .filter_map(|row| row.split(['`', '=']).next())
            .collect();
        // The arms of `take`, which are all that is understood.
        let code = include_str!("arguments.rs").split("#[cfg(test)]").next();
        let arms = code.unwrap().lines().map(str::trim_start);
        let known = arms.filter_map(|arm| arm.strip_prefix("(b\"")?.split('"').next());
        let mut known: Vec<&str> = known.collect();
        known.dedup();
        let sorted = |mut names: Vec<&'static str>| {
            names.sort_unstable();
            names
        };
        assert_eq!(sorted(written), sorted(known));
    }
}
