//! Using up what the kernel counts for each user.

use std::process::{Command, ExitStatus};

use berth_tests::counted;
use nix::errno::Errno;

use crate::{hold_on, say};

/// No limit is higher; past it the test shows nothing.
const ENOUGH: usize = 1_000_000;

fn until_refused<T>(what: &str, mut make: impl FnMut(usize) -> Result<T, Errno>) -> ! {
    let mut made = Vec::new();
    let refusal = loop {
        match make(made.len()) {
            Ok(one) => made.push(one),
            Err(errno) => break format!("{errno:?}"),
        }
        if made.len() >= ENOUGH {
            break "no refusal".into();
        }
    };
    say(&format!("{} {what}, then {refusal}", made.len()));
    hold_on();
}

/// Takes inotify instances until the kernel refuses one, and keeps them.
pub fn inotify() {
    until_refused("inotify instances", |_| counted::inotify());
}

/// Makes POSIX message queues until the kernel refuses one, and keeps them.
pub fn queues() {
    until_refused("queues", |number| {
        counted::queue(&format!("/probe-{number}"))
    });
}

/// Opens pseudo terminals until the kernel refuses one, and keeps them.
pub fn terminals() {
    until_refused("terminals", |_| counted::terminal());
}

/// Makes timers until the kernel refuses one, and keeps them.
pub fn timers() {
    until_refused("timers", |_| counted::timer());
}

/// Has all orphans of what it starts come here, and reaps none of them; runs a program so many times.
pub fn orphans(times: u64, program: &[&str]) {
    nix::sys::prctl::set_child_subreaper(true).expect("prctl");
    let run = |_| Command::new(program[0]).args(&program[1..]).status();
    let done = (0..times)
        .map(run)
        .filter(|status| status.as_ref().is_ok_and(ExitStatus::success));
    say(&format!("{} done", done.count()));
    hold_on();
}
