//! How far something is that takes long: a line on a terminal's standard error, from the second second on.

use std::io::{IsTerminal, Write};
use std::os::fd::AsFd;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, Builder};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

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
        self.show(&format!("{done} of {all} {}", self.what));
    }

    fn show(&mut self, text: &str) {
        self.shown = true;
        print(&format!("\r{text}\x1b[K"));
    }
}

/// Prints, unless somebody has stopped the terminal (Ctrl-S): what is not seen is not waited for.
fn print(text: &str) {
    let stderr = std::io::stderr();
    let mut terminal = [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)];
    if poll(&mut terminal, PollTimeout::ZERO) == Ok(1) {
        eprint!("{text}");
        let _ = std::io::stderr().flush();
    }
}

/// Does something that cannot say itself how far it is, or waits, and tells that in the meantime.
pub fn meanwhile<T>(how_far: impl Fn() -> String + Send, work: impl FnOnce() -> T) -> T {
    let mut progress = Progress::new("");
    if progress.next.is_none() {
        return work();
    }
    let (done, is_done) = mpsc::channel::<()>();
    let watch = move || {
        let mut pause = PATIENCE;
        while is_done.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
            progress.show(&how_far());
            pause = PAUSE;
        }
    };
    thread::scope(|scope| {
        // Who may start no thread is told nothing.
        let _ = Builder::new().spawn_scoped(scope, watch);
        let made = work();
        drop(done);
        made
    })
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown {
            print("\r\x1b[K");
        }
    }
}
