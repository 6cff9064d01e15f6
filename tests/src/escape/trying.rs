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

/// For scripts: `reach_tmp` and `reach_process` look for something of the host's, and `$NESTED` has what follows run in
/// a user and a mount namespace of its own, as far as the user is let.
const REACH: &str = r#"
reach_tmp() { test -e $1/of-the-host; }
reach_process() { cat $1/[0-9]*/cmdline 2>/dev/null | tr '\0' ' ' | grep -q 'sleep 471[1]'; }
if [ "$(id -u)" = 0 ]; then NESTED="unshare -m"; else NESTED="unshare -Urm"; fi
nested() { $NESTED sh -c ". /berth/reach; $1"; }
"#;

/// Where scripts find the above again.
pub const REACH_FILE: &str = "/berth/reach";

/// Writes it there.
pub fn write_reach() {
    std::fs::write(REACH_FILE, REACH).expect("write what scripts need");
}

fn shell(script: &str, targets: &Targets) -> Verdict {
    let mut sh = Command::new("/bin/sh");
    sh.args(["-c", &format!(". {REACH_FILE}\n{script}")]);
    sh.envs(targets.all()).stdin(Stdio::null());
    match sh.output() {
        Ok(output) if output.status.success() => Verdict::Escaped("the script succeeded".into()),
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            Verdict::Held(said.lines().last().unwrap_or("no").replace('\t', " "))
        }
        // Nothing was tried.
        Err(error) => panic!("/bin/sh: {error}"),
    }
}
