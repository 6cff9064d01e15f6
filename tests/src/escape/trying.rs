//! Trying attempts, each in a process of its own that is given some time.

use std::process::{Command, Stdio};
use std::time::Duration;

use crate::kernel::within;

use super::targets::Targets;
use super::{Attempt, Verdict, Way, all};

/// Where the program stands on a test's machine. A process without a /proc of its own could not find that out.
pub const PROGRAM: &str = "/berth/berth-escape";

/// None takes as long, but one that hangs.
const LIMIT: Duration = Duration::from_secs(20);

/// Tries these, and prints a line for each: its name, what came of it, and why.
pub fn each(names: &[String]) {
    for name in names {
        println!("{name}\t{}", in_a_child(name));
    }
}

/// Tries one here, and prints what came of it.
pub fn one(name: &str) {
    let attempt = all().find(|(whole, _)| whole == name);
    let (_, attempt) = attempt.unwrap_or_else(|| panic!("no attempt {name}"));
    println!("{}", attempt.run(&Targets::read()));
}

fn in_a_child(name: &str) -> String {
    let mut child = Command::new(PROGRAM);
    child.args(["one", name]).stdin(Stdio::null());
    child.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = match child.spawn() {
        Ok(child) => child,
        Err(error) => return format!("STUCK\t{error}"),
    };
    let ended = within(LIMIT, || !matches!(child.try_wait(), Ok(None)));
    // It has ended, or is to.
    let _ = child.kill();
    let output = match child.wait_with_output() {
        Ok(output) if ended => output,
        _ => return "STUCK\tit did not end".into(),
    };
    let said = String::from_utf8_lossy(&output.stdout);
    match said.lines().find(|line| line.contains('\t')) {
        Some(line) => line.to_owned(),
        None => {
            let why = String::from_utf8_lossy(&output.stderr).replace('\n', " ");
            format!("STUCK\t{}: {why}", output.status)
        }
    }
}

impl Attempt {
    fn run(&self, targets: &Targets) -> Verdict {
        match self.way {
            Way::Call(call) => call(targets),
            Way::Shell(script) => shell(script, targets),
        }
    }
}

/// For scripts: `nested` runs one as root of a user and a mount namespace of its own, as far as the user is let.
const NESTED: &str = r#"
if [ "$(id -u)" = 0 ]; then NESTED="unshare -m"; else NESTED="unshare -Urm"; fi
nested() { $NESTED true 2>/dev/null || { echo "no user namespace" >&2; exit 1; }; $NESTED sh -c "$1"; }
"#;

fn shell(script: &str, targets: &Targets) -> Verdict {
    let mut sh = Command::new("/bin/sh");
    sh.args(["-c", &format!("{NESTED}\n{script}")]);
    sh.envs(targets.all()).stdin(Stdio::null());
    let output = match sh.output() {
        Ok(output) => output,
        Err(error) => return Verdict::Stuck(format!("/bin/sh: {error}")),
    };
    let said = String::from_utf8_lossy(&output.stderr).replace('\t', " ");
    match output.status.code() {
        Some(0) => Verdict::Escaped("the script succeeded".into()),
        // A program that is not there, or cannot be run, has tried nothing. Nor has one that was killed.
        None | Some(126 | 127) => {
            Verdict::Stuck(format!("{}: {}", output.status, said.replace('\n', " ")))
        }
        Some(code) => Verdict::Held(match said.lines().last() {
            Some(last) => last.to_owned(),
            None => format!("status {code}"),
        }),
    }
}
