//! Many small files of the kernel's, read by several threads at once: nearly all of the time is the kernel's, and a list
//! of thousands of sessions is of a moment only if it is made in one.

use std::num::NonZero;
use std::panic::resume_unwind;
use std::thread::{self, Builder};

/// No more threads than these: whoever lists the machine's users leaves it to them.
const MOST: usize = 4;

/// A thread is not worth starting for fewer.
const LEAST: usize = 64;

/// What `of` makes of each, in their order.
pub fn map<I: Sync, O: Send>(items: &[I], of: impl Fn(&I) -> O + Sync) -> Vec<O> {
    let cpus = thread::available_parallelism().map_or(1, NonZero::get);
    let threads = (items.len() / LEAST).clamp(1, cpus.min(MOST));
    let mut parts = items.chunks(items.len().div_ceil(threads).max(1));
    let own = parts.next().unwrap_or_default();
    let all = |part: &[I]| part.iter().map(&of).collect::<Vec<O>>();
    thread::scope(|scope| {
        let others: Vec<_> = parts
            // Who may start no thread (a user at their tasks_max) has none.
            .map(|part| (part, Builder::new().spawn_scoped(scope, move || all(part))))
            .collect();
        let mut made = all(own);
        for (part, thread) in others {
            made.extend(match thread.map(thread::ScopedJoinHandle::join) {
                Ok(joined) => joined.unwrap_or_else(|panic| resume_unwind(panic)),
                Err(_) => all(part),
            });
        }
        made
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_out_is_in_the_order_of_what_went_in() {
        for count in [0, 1, LEAST - 1, LEAST * 2 + 1, 2000] {
            let items: Vec<usize> = (0..count).collect();
            let twice: Vec<usize> = items.iter().map(|item| item * 2).collect();
            assert_eq!(map(&items, |item| item * 2), twice);
        }
    }
}
