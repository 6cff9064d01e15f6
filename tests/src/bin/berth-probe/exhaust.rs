//! Using up what the kernel counts for each user.

use std::ffi::CString;

use nix::errno::Errno;
use nix::mqueue::{MQ_OFlag, MqAttr, MqdT, mq_open, mq_unlink};
use nix::sys::inotify::{InitFlags, Inotify};
use nix::sys::stat::Mode;

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
    until_refused("inotify instances", |_| {
        Inotify::init(InitFlags::IN_CLOEXEC)
    });
}

/// Makes POSIX message queues until the kernel refuses one, and keeps them.
pub fn queues() {
    until_refused("queues", |number| queue(&format!("/probe-{number}")));
}

/// Makes timers until the kernel refuses one, and keeps them.
pub fn timers() {
    until_refused("timers", |_| timer());
}

/// Takes one of each, and says of which there was none left.
pub fn one_of_each() {
    let mine = format!("/one-of-each-{}", std::process::id());
    let queue = queue(&mine);
    // Refused where the queue was.
    let _ = mq_unlink(mine.as_str());
    let results = [
        ("inotify", Inotify::init(InitFlags::IN_CLOEXEC).err()),
        ("queue", queue.err()),
        ("timer", timer().err()),
    ];
    let refused: Vec<String> = results
        .iter()
        .filter_map(|(what, error)| error.map(|errno| format!("{what}: {errno:?}")))
        .collect();
    say(&if refused.is_empty() {
        "all there".into()
    } else {
        refused.join(", ")
    });
}

fn queue(name: &str) -> Result<MqdT, Errno> {
    let name = CString::new(name).expect("name");
    let flags = MQ_OFlag::O_CREAT | MQ_OFlag::O_RDWR;
    let attributes = MqAttr::new(0, 10, 8192, 0);
    mq_open(name.as_c_str(), flags, Mode::S_IRUSR, Some(&attributes))
}

fn timer() -> Result<libc::timer_t, Errno> {
    let mut id: libc::timer_t = std::ptr::null_mut();
    // SAFETY: the kernel writes the id; without an event the timer's signal is SIGALRM, never armed.
    let result =
        unsafe { libc::timer_create(libc::CLOCK_MONOTONIC, std::ptr::null_mut(), &raw mut id) };
    Errno::result(result).map(|_| id)
}
