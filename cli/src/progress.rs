//! How far something is that takes long: a line on a terminal's standard error, from the second second on.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// What takes less is not told of, and then it is told no more often than this apart.
const PATIENCE: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(200);

/// A line that is written over and over, and goes with this.
#[derive(Debug)]
pub struct Progress {
    what: &'static str,
    next: Option<Instant>,
    shown: bool,
}

impl Progress {
    /// Of something that begins now, as in `accounts looked up`.
    pub fn new(what: &'static str) -> Progress {
        let next = Instant::now().checked_add(PATIENCE);
        Progress {
            what,
            next: next.filter(|_| std::io::stderr().is_terminal()),
            shown: false,
        }
    }

    /// So many are done, of so many.
    pub fn tell(&mut self, done: usize, all: usize) {
        let now = Instant::now();
        if self.next.is_none_or(|next| now < next) {
            return;
        }
        self.next = now.checked_add(PAUSE);
        self.shown = true;
        eprint!("\r{done} of {all} {}", self.what);
        // What is not seen is not waited for.
        let _ = std::io::stderr().flush();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown {
            eprint!("\r\x1b[K");
        }
    }
}
