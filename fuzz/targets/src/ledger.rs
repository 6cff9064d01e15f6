//! The accounting file as it may be found: torn lines, very long ones, and such as are none.

use std::ops::ControlFlow;
use std::time::{Duration, UNIX_EPOCH};

use berth_session::{Entry, Ledger};

use crate::input::{self, Folder};

/// What is in the file.
pub fn run(input: &[u8]) {
    let folder = Folder::new("ledger");
    let ledger = Ledger {
        file: folder.0.join("sessions"),
        max_size: u64::MAX,
        keep: Duration::MAX,
    };
    let text = input::grown(input);
    std::fs::write(&ledger.file, &text).expect("a file");
    let read = || {
        let mut seen = Vec::new();
        let torn = ledger.read(UNIX_EPOCH, |entry| seen.push(owned(entry)));
        (seen, torn.expect("the file"))
    };
    let (seen, torn) = read();
    let lines = text.split(|byte| *byte == b'\n').count() as u64;
    assert!(seen.len() as u64 + torn <= lines);

    // From the end it is the same, the other way round.
    let mut back = Vec::new();
    let ended = ledger.read_back(|entry| {
        back.push(owned(entry));
        ControlFlow::Continue(())
    });
    ended.expect("the file");
    back.reverse();
    assert_eq!(back, seen);

    // Whatever was there, what is appended is a line of its own, and nothing else is lost.
    let Some(first) = seen.first() else { return };
    let entry: Entry<'_> = serde_json::from_str(first).expect("an entry");
    ledger.append(&entry).expect("appended");
    let (mut longer, _) = read();
    assert_eq!(longer.pop().as_ref(), Some(first));
    assert_eq!(longer, seen);
}

fn owned(entry: &Entry<'_>) -> String {
    serde_json::to_string(entry).expect("a line")
}
