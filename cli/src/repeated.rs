//! What a round each minute says is wrong is said once: cron sends it by mail, and systemd keeps it in the journal.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use berth_session::{Line, read_file, remove_file, replace_file};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::unistd::{dup, dup2_stderr};

use crate::exit::Exit;

/// What was wrong at the last round, if anything was. In /run, so that each boot tells it once.
const WRONG: &str = "/run/berth-due-wrong";

/// Does a round. What it says is wrong is said unless it was at the last one. The log has when that began and when it was
/// over.
pub fn once(round: impl FnOnce() -> Result<Exit, Exit>) -> Result<Exit, Exit> {
    let Ok(heard) = Heard::begin() else {
        return round(); // Said again is better than never.
    };
    let exit = round();
    let said = heard.end();
    let before = read_file(WRONG).ok();
    let before = before.and_then(|text| String::from_utf8(text).ok());
    let wrong = (exit != Ok(Exit::Done)).then(|| gist(&said));
    if wrong.is_some() && wrong == before {
        return exit;
    }
    eprint!("{said}");
    let noted = match &wrong {
        Some(gist) => {
            let path = Path::new(WRONG);
            replace_file(path, &path.with_extension("new"), gist.as_bytes(), |_| ())
        }
        None => remove_file(WRONG),
    };
    if let Err(error) = noted {
        eprintln!("berth: cannot keep in {WRONG} what was said: {error}");
    }
    match (&wrong, &before) {
        (Some(gist), _) => {
            let first = gist.lines().next().unwrap_or_default();
            let first = first.strip_prefix("berth: ").unwrap_or(first);
            let line = Line::new("due").field("result", "error");
            line.field("error", first).error();
        }
        (None, Some(_)) => Line::new("due").field("result", "ok").notice(),
        (None, None) => {}
    }
    exit
}

/// What it is about: what is in use when a cap is left is another amount each minute.
fn gist(said: &str) -> String {
    let lines = said.lines().map(|line| match line.split_once(": ") {
        Some(("berth", left)) if left.starts_with("left ") => {
            let whose = left.split_once(": ").map_or(left, |(whose, _)| whose);
            format!("berth: {whose}\n")
        }
        _ => format!("{line}\n"),
    });
    lines.collect()
}

/// Standard error, kept back.
struct Heard {
    kept: File,
    own: OwnedFd,
}

impl Heard {
    fn begin() -> nix::Result<Heard> {
        let kept = memfd_create("said", MFdFlags::MFD_CLOEXEC).map(File::from)?;
        let own = dup(io::stderr().as_fd())?;
        dup2_stderr(&kept)?;
        Ok(Heard { kept, own })
    }

    fn end(mut self) -> String {
        // It was open a moment ago, so this cannot fail.
        let _ = dup2_stderr(&self.own);
        let mut bytes = Vec::new();
        let _ = self
            .kept
            .rewind()
            .and_then(|()| self.kept.read_to_end(&mut bytes));
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_use_is_no_other_thing_each_minute() {
        let left = |used: &str| {
            gist(&format!(
                "berth: left alice's memory_max: {used} is in use\n"
            ))
        };
        assert_eq!(left("1.1G"), left("1.2G"));
        assert_ne!(
            left("1.1G"),
            gist("berth: left bob's memory_max: 1.1G is in use\n")
        );
        let broken = |line: u32| gist(&format!("policy.toml:{line}:1: error: unknown key\n"));
        assert_ne!(broken(1), broken(2));
    }
}
