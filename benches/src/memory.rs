//! What the processes that Berth keeps for a session take of memory that nobody shares.

use std::thread::sleep;
use std::time::Duration;

use berth_tests::{Process, eventually};

use crate::crowd::Crowd;

/// Private memory of what Berth keeps, for each session.
#[derive(Debug, Clone)]
pub struct Memory {
    /// How many sessions were open at once.
    pub sessions: usize,
    /// How many processes of Berth's there were for each session.
    pub processes: f64,
    /// Private bytes (clean and dirty) for each session.
    pub private: u64,
    /// What kinds of processes there were, by name, and their private bytes.
    pub by_name: Vec<(String, u64)>,
}

/// Opens so many sessions at once, and looks at what was not there before.
pub fn measure(sessions: usize) -> Memory {
    settle();
    let before = Process::all();
    let mut crowd = Crowd::new();
    for _ in 0..sessions {
        crowd.log_in("bob");
    }
    settle();
    let ours = Process::all().into_iter();
    let ours = ours.filter(|process| !before.contains(process) && !crowd.has(process.0));
    let found: Vec<(String, u64)> = ours.map(|one| (one.name(), private(one))).collect();
    drop(crowd);
    let mut by_name: Vec<(String, u64)> = Vec::new();
    for (name, bytes) in &found {
        match by_name.iter_mut().find(|(known, _)| known == name) {
            Some((_, sum)) => *sum += bytes,
            None => by_name.push((name.clone(), *bytes)),
        }
    }
    for (_, bytes) in &mut by_name {
        *bytes /= sessions as u64;
    }
    Memory {
        sessions,
        processes: found.len() as f64 / sessions as f64,
        private: found.iter().map(|(_, bytes)| bytes).sum::<u64>() / sessions as u64,
        by_name,
    }
}

/// Waits until the number of processes is steady: earlier sessions are gone, new ones have done their
/// first work.
fn settle() {
    let mut last = 0;
    let is_steady = || {
        let count = Process::all().len();
        let steady = count == last;
        last = count;
        sleep(Duration::from_millis(500));
        steady
    };
    assert!(eventually(is_steady), "processes come and go");
}

fn private(process: Process) -> u64 {
    let rollup = process.file("smaps_rollup");
    let private = rollup.lines().filter(|line| line.starts_with("Private_"));
    let kilobytes = private.filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    kilobytes.sum::<u64>() * 1024
}
