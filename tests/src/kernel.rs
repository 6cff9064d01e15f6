//! Waiting for the kernel's state to become what it should be.

use std::fmt::Debug;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long the end of a login may take to be complete, in a guest of a machine that is busy with others: what a keeper could
/// not clean up it tries again after a minute.
const PATIENCE: Duration = Duration::from_secs(100);

/// Waits until something holds, and says whether it came to hold.
pub fn eventually(holds: impl FnMut() -> bool) -> bool {
    within(PATIENCE, holds)
}

/// Waits until something is what it should be, and fails with what it was last.
#[track_caller]
pub fn becomes<T: PartialEq<E> + Debug, E: Debug>(mut now: impl FnMut() -> T, expected: E) {
    let mut last = None;
    let is_so = eventually(|| *last.insert(now()) == expected);
    assert!(is_so, "it is {last:?}, and should be {expected:?}");
}

/// The same as [`eventually`] for what holds at once or never, and so needs less patience.
pub fn within(patience: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + patience;
    loop {
        let begun = Instant::now();
        if holds() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        // A look that takes long, in a guest, must not take the time of what it waits for.
        sleep(
            begun
                .elapsed()
                .clamp(Duration::from_millis(10), Duration::from_secs(1)),
        );
    }
}
