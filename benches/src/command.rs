//! Whole commands, timed.

use std::process::{Command, Stdio};
use std::time::Instant;

/// How long a command takes that is run so often, in seconds and from the best to the worst. Each time it must end with
/// this exit status.
pub fn timed(times: usize, status: i32, command: impl Fn() -> Command) -> Vec<f64> {
    let mut took: Vec<f64> = (0..times)
        .map(|_| {
            let begun = Instant::now();
            let ended = command().stdout(Stdio::null()).status();
            let ended = ended.expect("start the command");
            assert_eq!(ended.code(), Some(status));
            begun.elapsed().as_secs_f64()
        })
        .collect();
    took.sort_by(f64::total_cmp);
    took
}
