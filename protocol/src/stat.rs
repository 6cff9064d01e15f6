//! /proc/PID/stat (proc_pid_stat(5)).

use std::str::FromStr;

/// What was read of it.
#[derive(Debug)]
pub struct Stat(String);

impl Stat {
    /// Whatever it is.
    pub fn parse(bytes: &[u8]) -> Stat {
        Stat(String::from_utf8_lossy(bytes).into_owned())
    }

    /// A field, by its number; from 3 on, behind the name.
    pub fn field<N: FromStr>(&self, number: usize) -> Option<N> {
        // The name in parentheses may contain anything.
        let (_, fields) = self.0.rsplit_once(')')?;
        let mut fields = fields.split_whitespace();
        fields.nth(number.checked_sub(3)?)?.parse().ok()
    }

    /// When the process was started, as the kernel counts: no later one of the same PID has this.
    pub fn start(&self) -> Option<u64> {
        self.field(22)
    }

    /// Whether it only waits for its parent to look.
    pub fn has_ended(&self) -> bool {
        matches!(self.field(3), Some('Z' | 'X'))
    }
}
