//! What commands ask NSS. A directory of users may hang, which must not keep a policy from being put in force, and a
//! command from saying all else that it has to say.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::Builder;
use std::time::Duration;

/// How long it is waited for each answer. SSSD takes six seconds to find out that its server is gone.
const PATIENCE: Duration = Duration::from_secs(10);

/// It did not answer in time.
static SILENT: AtomicBool = AtomicBool::new(false);

/// Whether NSS has left a question without an answer.
pub fn is_silent() -> bool {
    SILENT.load(Ordering::Relaxed)
}

/// What tells how far a question of many parts is: so many of so many.
pub(crate) type Progress = Box<dyn FnMut(usize, usize) + Send>;

/// A step on the way to an answer.
enum Step<T> {
    So(usize, usize),
    Done(T),
}

/// Asks a question; `None` where one step of it takes too long. From then on nothing is asked: a call of NSS cannot be
/// ended, and the next one may wait for it.
pub(crate) fn asked<T: Send + 'static>(
    question: impl FnOnce(Progress) -> T + Send + 'static,
    mut progress: impl FnMut(usize, usize),
) -> Option<T> {
    if is_silent() {
        return None;
    }
    let (sender, steps) = mpsc::channel();
    // Nobody listens any more where it took too long.
    let asking = Builder::new().spawn(move || {
        let so_far = sender.clone();
        let answer = question(Box::new(move |done, all| {
            let _ = so_far.send(Step::So(done, all));
        }));
        let _ = sender.send(Step::Done(answer));
    });
    let asking = asking.ok()?;
    loop {
        match steps.recv_timeout(PATIENCE) {
            Ok(Step::So(done, all)) => progress(done, all),
            Ok(Step::Done(answer)) => {
                // It only ends; who forks next has no other thread, and none of NSS's locks is held.
                let _ = asking.join();
                return Some(answer);
            }
            Err(RecvTimeoutError::Disconnected) => return None,
            Err(RecvTimeoutError::Timeout) => {
                SILENT.store(true, Ordering::Relaxed);
                return None;
            }
        }
    }
}
