//! How much CPU something used lately: the last three minutes, in a few characters.

use std::collections::VecDeque;
use std::time::Duration;

use crate::figures::rate;

/// How many characters it has.
pub const WIDTH: usize = 8;

/// How long each of them stands for: 3 minutes in all.
const STEP: Duration = Duration::from_millis(22_500);

/// Less than this, in percent of one CPU, is as good as nothing.
const QUIET: f64 = 1.0;

/// The time and the CPU time that fall into one step.
#[derive(Debug, Clone, Copy, Default)]
struct Bucket {
    number: u128,
    seconds: f64,
    /// Percent times seconds.
    used: f64,
}

/// What one cgroup used.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// When it was last read, and what it had used by then, in microseconds.
    last: Option<(Duration, u64)>,
    /// The oldest first; steps in which nobody looked have none.
    buckets: VecDeque<Bucket>,
}

impl History {
    /// Takes a reading in, and gives the percentage of one CPU since the one before. `at` is a time since some
    /// fixed moment.
    pub fn take(&mut self, at: Duration, cpu_us: u64) -> Option<f64> {
        let (from, before) = self.last.replace((at, cpu_us))?;
        // Smaller than before: it is another cgroup of the same name.
        let percent = rate(at.checked_sub(from)?, cpu_us.checked_sub(before)?)?;
        self.spread(from, at, percent);
        Some(percent)
    }

    /// Shares a rate out among the steps that its time lies in.
    fn spread(&mut self, from: Duration, to: Duration, percent: f64) {
        let step = STEP.as_secs_f64();
        let last = number(to);
        for number in number(from).max(last.saturating_sub(WIDTH as u128))..=last {
            let begins = number as f64 * step;
            let within = to.as_secs_f64().min(begins + step) - from.as_secs_f64().max(begins);
            if within <= 0.0 {
                continue;
            }
            if self.buckets.back().is_none_or(|back| back.number != number) {
                self.buckets.push_back(Bucket {
                    number,
                    ..Bucket::default()
                });
            }
            if let Some(bucket) = self.buckets.back_mut() {
                bucket.seconds += within;
                bucket.used += percent * within;
            }
        }
        while self.buckets.len() > WIDTH {
            self.buckets.pop_front();
        }
    }

    /// The last three minutes: `.` little, `:` some, `|` much, measured by the most that there was; a blank where
    /// nobody looked.
    pub fn line(&self, now: Duration) -> String {
        let mean = |bucket: &Bucket| bucket.used / bucket.seconds;
        let most = self.buckets.iter().map(mean).fold(QUIET, f64::max);
        let now = number(now);
        let cell = |ago: u128| {
            let number = now.checked_sub(ago)?;
            let bucket = self.buckets.iter().find(|one| one.number == number)?;
            Some(match mean(bucket) / most {
                ..0.34 => '.',
                ..0.67 => ':',
                _ => '|',
            })
        };
        (0..WIDTH as u128)
            .rev()
            .map(|ago| cell(ago).unwrap_or(' '))
            .collect()
    }
}

fn number(at: Duration) -> u128 {
    at.as_millis() / STEP.as_millis()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A history of these rates, each for one step, read once a second.
    fn history(rates: &[u64]) -> (History, Duration) {
        let mut history = History::default();
        let (mut used, mut now) = (0, 0);
        for rate in rates {
            // 45 half seconds are a step.
            for _ in 0..45 {
                history.take(Duration::from_millis(now), used);
                now += 500;
                used += rate * 5_000;
            }
        }
        let now = Duration::from_millis(now - 500);
        (history, now)
    }

    #[test]
    fn a_rate_is_a_share_of_one_cpu() {
        let mut history = History::default();
        assert_eq!(history.take(Duration::from_secs(10), 1_000_000), None);
        let rate = history.take(Duration::from_millis(10_200), 1_338_000);
        assert_eq!(rate.map(f64::round), Some(169.0));
        // Another cgroup of the same name.
        assert_eq!(history.take(Duration::from_secs(11), 5), None);
        assert_eq!(history.take(Duration::from_secs(12), 5), Some(0.0));
    }

    #[test]
    fn each_character_is_a_step_and_the_most_is_full() {
        let (eight, now) = history(&[0, 200, 400, 400, 399, 390, 400, 300]);
        assert_eq!(eight.line(now), ".:||||||");
        let (ten, now) = history(&[400, 400, 0, 20, 200, 100, 100, 110, 100, 60]);
        assert_eq!(ten.line(now), "..|::::.");
        let (idle, now) = history(&[0, 0, 0]);
        assert_eq!(idle.line(now), "     ...");
    }

    #[test]
    fn a_rate_over_several_steps_counts_in_each() {
        let mut history = History::default();
        history.take(Duration::ZERO, 0);
        history.take(Duration::from_secs(90), 90_000_000);
        assert_eq!(history.line(Duration::from_secs(89)), "    ||||");
        // Nobody looked for a minute.
        assert_eq!(history.line(Duration::from_secs(150)), " ||||   ");
        // Long ago.
        assert_eq!(history.line(Duration::from_secs(999)), "        ");
    }
}
