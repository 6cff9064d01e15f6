//! Waiting for the kernel's state to become what it should be.

use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long the end of a login may take to be complete, in a guest of a machine that is busy with others.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until something holds, and says whether it came to hold.
pub fn eventually(holds: impl FnMut() -> bool) -> bool {
    within(PATIENCE, holds)
}

/// The same for what holds at once or never, and so needs less patience.
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
