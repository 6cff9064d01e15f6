//! What Berth adds to `pam_open_session`, against the bare system calls, measured in one run; or what it adds
//! to a login next to its neighbours in the stack, on a booted machine; or how long a report takes, what watching
//! many sessions and telling their figures costs, and how long the verbs take that look at every account.
//!
//! `benches/run` builds this for release and starts it; it starts itself again on a login machine of the
//! tests (see `berth_tests::Machine`), so that nothing of the system's configuration is touched.

mod beside;
mod command;
mod crowd;
mod floor;
mod live;
mod memory;
mod metrics;
mod pam;
mod report;
mod round;
mod rules;
mod sample;
mod sessions;
mod table;
mod users;
mod whole;

use std::process::{Command, ExitCode};
use std::str::FromStr;
use std::time::Duration;

use berth_tests::guest::{self, Guest, Suite};
use berth_tests::{Build, Machine};

use crate::beside::Controllers;
use crate::sample::{Kind, Regime};
use crate::table::Report;
use crate::whole::Way;

/// Rules for the users that are measured: one without a cgroup of its own, one with.
const POLICY: &str = r#"
version = 1

[profile.namespaces]
cgroup     = "keep"
namespaces = { user = "identity", pid = true, ipc = true, mount = true }
logout     = { grace = "0s" }

[profile.cgroup]
inherits = "namespaces"
cgroup   = "own"

[[rule]]
user    = "alice"
profile = "namespaces"

[[rule]]
user    = "bob"
profile = "cgroup"
"#;

/// What is asked for on the command line.
#[derive(Debug, Clone, Copy)]
struct Options {
    hot: usize,
    cold: usize,
    json: bool,
}

fn options(arguments: &[String]) -> Option<Options> {
    let mut options = Options {
        hot: 300,
        cold: 40,
        json: false,
    };
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--json" => options.json = true,
            "--hot" => options.hot = arguments.next()?.parse().ok()?,
            "--cold" => options.cold = arguments.next()?.parse().ok()?,
            _ => return None,
        }
    }
    Some(options)
}

/// The number that is given, or the usual one.
fn count<N: FromStr>(given: &[&str], usual: N) -> Option<N> {
    match given {
        [] => Some(usual),
        [number] => number.parse().ok(),
        _ => None,
    }
}

/// The numbers that are given, or the usual ones.
fn sizes(given: &[&str], usual: &[usize]) -> Option<Vec<usize>> {
    match given {
        [] => Some(usual.to_vec()),
        given => given.iter().map(|size| size.parse().ok()).collect(),
    }
}

fn usage() -> ExitCode {
    eprintln!(
        "usage: benches/run [--json] [--hot SAMPLES] [--cold SAMPLES]\n       benches/run --beside-systemd [bookworm|trixie]\n       benches/run --beside-systemd-natively [bookworm|trixie]\n       benches/run --report [RECORDS]\n       benches/run --sessions [SESSIONS]\n       benches/run --users\n       benches/run --metrics [SESSIONS]\n       benches/run --live [SESSIONS]...\n       benches/run --rules [RULES]...\n       benches/run --whole"
    );
    ExitCode::from(2)
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    run(&arguments).unwrap_or_else(usage)
}

/// Measures what is asked for; `None` where it cannot be told what that is.
fn run(arguments: &[String]) -> Option<ExitCode> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["--beside-systemd", ref rest @ ..] => in_guest(rest, Guest::Systemd, "--in-guest")?,
        ["--beside-systemd-natively", ref rest @ ..] => {
            in_guest(rest, Guest::Container, "--in-container")?;
        }
        ["--in-guest"] => print!("{}", beside::measure(60, 20, Controllers::There)),
        ["--in-container"] => print!("{}", beside::measure(200, 60, Controllers::Missing)),
        ["--users"] => users::measure(),
        ["--report", ref rest @ ..] => report::measure(count(rest, 1_000_000)?),
        ["--sessions", ref rest @ ..] => sessions::measure(count(rest, 2_000)?),
        ["--metrics", ref rest @ ..] => {
            let sessions = count(rest, 2_000)?;
            return Some(on_machine(arguments, |_| metrics::measure(sessions)));
        }
        ["--live", ref rest @ ..] => {
            let sizes = sizes(rest, &[10, 1_000, 5_000])?;
            return Some(on_machine(arguments, |machine| {
                live::measure(machine, &sizes, 200);
            }));
        }
        ["--rules", ref rest @ ..] => {
            let sizes = sizes(rest, &[10, 100_000])?;
            return Some(on_machine(arguments, |machine| {
                rules::measure(machine, &sizes, 300);
            }));
        }
        ["--whole"] => return Some(on_machine(arguments, whole::measure)),
        ["--start-programs", count, way] => {
            whole::start_programs(count.parse().ok()?, Way::named(way)?);
        }
        ["--hold", service, user] => {
            let Err(error) = beside::hold(service, user);
            eprintln!("berth-bench: {error}");
            return Some(ExitCode::FAILURE);
        }
        _ => return Some(logins(arguments, options(arguments)?)),
    }
    Some(ExitCode::SUCCESS)
}

/// Measures what Berth adds to a login.
fn logins(arguments: &[String], options: Options) -> ExitCode {
    on_machine(arguments, |_| {
        let regimes = [
            (Regime::Hot, options.hot),
            (Regime::Cold(Duration::from_millis(250)), options.cold),
        ];
        let measured =
            regimes.map(|(regime, samples)| regime.measure(samples, &Kind::ALL, Kind::once));
        let report = Report {
            regimes: measured.to_vec(),
            memory: memory::measure(10),
        };
        if options.json {
            println!("{}", report.json());
        } else {
            print!("{}", report.table());
        }
    })
}

/// Measures on a login machine with the policy and the stacks to compare with.
fn on_machine(arguments: &[String], measure: impl FnOnce(&mut Machine)) -> ExitCode {
    if !Machine::is_here() {
        return elsewhere(arguments);
    }
    Machine::run_named("bench", |machine| {
        machine.policy_text(&[POLICY, live::RULE].concat());
        pam::install_services();
        measure(machine);
    });
    ExitCode::SUCCESS
}

/// Starts this program again on a machine that systemd runs.
fn in_guest(suite: &[&str], machine: fn(Suite) -> Guest, argument: &str) -> Option<()> {
    let suite = match suite {
        [] | ["bookworm"] => Suite::Bookworm,
        ["trixie"] => Suite::Trixie,
        _ => return None,
    };
    let me = std::env::current_exe().expect("this program's path");
    print!(
        "{}",
        guest::run(machine(suite), &me, &[argument.to_owned()])
    );
    Some(())
}

/// Starts this program again on a machine of its own.
fn elsewhere(arguments: &[String]) -> ExitCode {
    let build = Build::find();
    let me = std::env::current_exe().expect("this program's path");
    let status = Command::new(build.tools.join("login-machine"))
        .args(build.programs(&me))
        .arg("--")
        .args(arguments)
        .status()
        .expect("start login-machine");
    match status.code() {
        Some(0) => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}
