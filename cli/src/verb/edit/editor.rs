//! The editor of whoever edits.

use std::io;
use std::path::Path;
use std::process::Command;

use crate::sys;

/// What Debian's alternatives have; after it, what POSIX has.
const USUAL: [&str; 2] = ["editor", "vi"];

/// Runs it on a file, and waits for it.
///
/// It runs as root, and an environment says what it is. That is safe because nobody gets anything by it: berth has no
/// setuid bit, so whoever gives it an environment is root already, and sudo keeps such variables only if sudoers says
/// so. Who may run `berth edit` by sudo may run anything, as every editor starts programs, and the policy decides who
/// is let in: to allow the one is to allow all. The words are split at blanks and no shell sees them, so a `;` in
/// there is nothing but a strange name. The file is in a folder that only root can enter: nobody exchanges it.
pub fn run(file: &Path) -> io::Result<()> {
    let named = ["SUDO_EDITOR", "VISUAL", "EDITOR"]
        .into_iter()
        .find_map(|name| {
            let value = std::env::var(name).ok()?;
            (!value.trim().is_empty()).then_some(value)
        });
    let tries: Vec<String> = match named {
        Some(named) => vec![named],
        None => USUAL.map(String::from).to_vec(),
    };
    let mut missing = io::Error::from(io::ErrorKind::NotFound);
    for editor in tries {
        let mut words = editor.split_whitespace();
        let Some(program) = words.next() else {
            continue;
        };
        let mut command = Command::new(program);
        let (mut child, _ignored) = match sys::with_keyboard(command.args(words).arg(file)) {
            Ok(started) => started,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                missing = io::Error::other(format!("there is no editor {program}: set EDITOR"));
                continue;
            }
            Err(error) => return Err(io::Error::other(format!("the editor {program}: {error}"))),
        };
        let status = child.wait()?;
        return match status.success() {
            true => Ok(()),
            false => Err(io::Error::other(format!(
                "the editor {program} failed ({status}), so nothing is saved"
            ))),
        };
    }
    Err(missing)
}
