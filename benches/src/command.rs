//! Whole commands, timed.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

/// How often each command is run.
const TIMES: usize = 5;

/// Prints what stands above the lines of [`timed`].
pub fn heading() {
    println!(
        "{:<32}  {:>6}  {:>6}  {:>6}  {:>6}",
        "seconds", "best", "median", "worst", "CPU"
    );
}

/// Prints how long a command takes, and its mean CPU time, which is what tells on a machine that is busy otherwise. Each
/// time it must end with this exit status.
pub fn timed(what: &str, status: i32, command: impl Fn() -> Command) {
    let before = cpu_of_children();
    let mut took = [(); TIMES].map(|()| {
        let begun = Instant::now();
        let ended = command().stdout(Stdio::null()).status();
        let ended = ended.expect("start the command");
        assert_eq!(ended.code(), Some(status));
        begun.elapsed().as_secs_f64()
    });
    let cpu = (cpu_of_children() - before).as_secs_f64() / TIMES as f64;
    took.sort_by(f64::total_cmp);
    let [best, _, median, _, worst] = took;
    println!("{what:<32}  {best:>6.3}  {median:>6.3}  {worst:>6.3}  {cpu:>6.3}");
}

/// The CPU time of all children that have ended.
fn cpu_of_children() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).expect("getrusage");
    let times = [usage.user_time(), usage.system_time()];
    let micros = times.map(|time| time.num_microseconds());
    Duration::from_micros(micros.iter().sum::<i64>().unsigned_abs())
}
