//! Files of exceptions and penalties, damaged on the disk: an error, or what was written.

use berth_config::{Exception, Standing, Standings, Tracks, fuzzing};
use serde::{Serialize, de::DeserializeOwned};

use crate::damage::damaged;
use crate::input;

/// A file's state, what happens to the file, and an older state of it.
pub fn run(input: &[u8]) {
    let text = input::text(input);
    // As it stands, as a file that anything may have written.
    let _ = fuzzing::stated::<Vec<Exception>>(&text);
    let _ = fuzzing::stated::<Tracks>(&text);
    let mut parts = input::parts(&text).chain(std::iter::repeat(""));
    let mut next = || parts.next().unwrap_or_default();
    let (state, script, old) = (next(), next(), next());
    damage::<Vec<Exception>>(state, script, old);
    damage::<Standings>(state, script, old);
    damage::<Tracks>(state, script, old);
    // What users read of themselves: root alone writes it, to memory, and nothing is decided by it.
    if let Ok(standing) = serde_json::from_str::<Standing>(state) {
        let _ = (standing.text(), standing.forgotten_text());
        let _ = (standing.is_on_step(), standing.pass(1 << 40));
    }
}

fn damage<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(
    state: &str,
    script: &str,
    old: &str,
) {
    let Ok(state) = serde_json::from_str::<T>(state) else {
        return;
    };
    let file = fuzzing::state(&state).expect("a file");
    let read = fuzzing::stated::<T>(&file).expect("what was written");
    assert_eq!(read, state);
    let old = serde_json::from_str::<T>(old).ok();
    let other = old.as_ref().and_then(fuzzing::state).unwrap_or_default();
    let Ok(damaged) = String::from_utf8(damaged(&file, &other, script)) else {
        return;
    };
    // Of two writings never a part of each.
    if let Ok(read) = fuzzing::stated::<T>(&damaged) {
        assert!(read == state || Some(&read) == old.as_ref(), "{damaged}");
    }
}
