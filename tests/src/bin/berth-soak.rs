//! Logs users in for long while everything is killed now and then: `tests/soak/run`.
//!
//! Outside of the test's machine this program only starts it, and writes down how far it has come.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use berth_tests::{Build, Machine, soak};

/// How many logins a round has: after each the machine must be as it was before.
const ROUND: u64 = 1000;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let logins = match words[..] {
        [] => Some(10_000),
        ["--logins", number] => number.parse().ok(),
        _ => None,
    };
    let Some(logins) = logins else {
        eprintln!("usage: berth-soak [--logins N]");
        std::process::exit(2);
    };
    if Machine::is_here() {
        let mut is_good = false;
        Machine::run_named("", |machine| is_good = soak::run(machine, logins));
        std::process::exit(i32::from(!is_good));
    }
    let build = Build::find();
    let progress = build.target.join("soak");
    let mut done = read(&progress, logins);
    if done > 0 {
        println!("goes on after {done} logins");
    }
    while done < logins {
        let round = ROUND.min(logins - done);
        if !on_a_machine(&build, round) {
            std::process::exit(1);
        }
        done += round;
        fs::write(&progress, format!("{done} of {logins}\n")).expect("write the progress");
    }
    fs::remove_file(&progress).expect("remove the progress");
    println!("{logins} logins; left over: nothing");
}

/// How many of so many logins are done.
fn read(progress: &PathBuf, logins: u64) -> u64 {
    let text = fs::read_to_string(progress).unwrap_or_default();
    let done = text.trim().strip_suffix(&format!(" of {logins}"));
    done.and_then(|done| done.parse().ok()).unwrap_or(0)
}

/// A round, on a machine of its own.
fn on_a_machine(build: &Build, logins: u64) -> bool {
    let me = std::env::current_exe().expect("this program's path");
    let mut machine = Command::new(build.tools.join("login-machine"));
    machine.args(build.programs(&me)).arg("--");
    machine.args(["--logins", &logins.to_string()]);
    let mut machine = machine
        .stdout(Stdio::piped())
        .spawn()
        .expect("login-machine");
    let said = machine.stdout.take().expect("its output");
    for line in BufReader::new(said).lines() {
        println!("{}", line.expect("a line"));
    }
    machine.wait().expect("login-machine").success()
}
