//! What a test does inside a session that no ordinary program does: `berth-probe WHAT [ARGUMENT]`.
//!
//! Every probe prints what came of it on one line. Those that hold something print the line and then
//! wait for the end of their standard input, or for a signal.

mod exhaust;
mod host;
mod load;
mod log_in;
mod privilege;

use std::fs::File;
use std::io::{Read, Write};
use std::mem::ManuallyDrop;
use std::os::fd::FromRawFd;
use std::sync::atomic::{AtomicI32, Ordering};

/// Where lines are said: standard output, unless a probe has closed that.
static SAY_TO: AtomicI32 = AtomicI32::new(1);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["eat", megabytes] => load::eat(number(megabytes)),
        ["hold", megabytes] => load::hold(number(megabytes)),
        ["fork-bomb"] => load::fork_bomb(),
        ["headless"] => load::headless(),
        ["burn", seconds] => load::burn(number(seconds)),
        ["inotify"] => exhaust::inotify(),
        ["queues"] => exhaust::queues(),
        ["timers"] => exhaust::timers(),
        ["terminals"] => exhaust::terminals(),
        ["orphans", times, ref program @ ..] => exhaust::orphans(number(times), program),
        ["one-of-each"] => say(&berth_tests::counted::one_of_each()),
        ["type", text] => privilege::type_into_terminal(text),
        ["user-namespace", call] => privilege::user_namespace(call),
        ["swap", one, other] => privilege::swap(one, other),
        ["queue-exists", name] => privilege::queue_exists(name),
        ["who"] => privilege::who(),
        ["exec-in-place", service, user, ref program @ ..] => {
            log_in::exec_in_place(service, user, program);
        }
        ["open-among-threads", count, service, user] => {
            log_in::open_among_threads(number(count), service, user);
        }
        ["host", ref words @ ..] => host::host(words),
        ["open-twice", service, user] => log_in::open_twice(service, user),
        ["open-close-stay", service, user] => log_in::open_close_stay(service, user),
        _ => {
            eprintln!("berth-probe: no such probe: {arguments:?}");
            std::process::exit(2);
        }
    }
}

fn number(text: &str) -> u64 {
    text.parse().expect("a number")
}

/// Prints a line, at once.
fn say(line: &str) {
    // SAFETY: open for as long as the program runs, and not closed here.
    let out = unsafe { File::from_raw_fd(SAY_TO.load(Ordering::Relaxed)) };
    let mut out = ManuallyDrop::new(out);
    // Nobody may be listening any more, which is no reason to let go of what is held.
    let _ = writeln!(out, "{line}");
}

/// Keeps what is held until standard input ends; for ever, if there is none.
fn hold_on() -> ! {
    let _ = std::io::stdin().read(&mut [0]);
    loop {
        std::thread::sleep(std::time::Duration::from_secs(1000));
    }
}
