//! Using memory, processes and CPU time.

use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::unistd::{ForkResult, fork};

use crate::{hold_on, say};

fn allocate(megabytes: u64) -> Vec<u8> {
    let size = usize::try_from(megabytes << 20).expect("size");
    let mut bytes = vec![0; size];
    for page in bytes.chunks_mut(4096) {
        page[0] = 1;
    }
    std::hint::black_box(bytes)
}

/// Uses memory once.
pub fn eat(megabytes: u64) {
    let bytes = allocate(megabytes);
    say(&format!("ate {} MB", bytes.len() >> 20));
}

/// Uses memory and keeps it.
pub fn hold(megabytes: u64) {
    let bytes = allocate(megabytes);
    say(&format!("hold {} MB", bytes.len() >> 20));
    hold_on();
}

/// Starts processes until the kernel refuses one, and keeps them.
pub fn fork_bomb() {
    let mut started = 0;
    // A machine without any cap must not be brought down.
    while started < 2000 {
        // SAFETY: this program has one thread.
        match unsafe { fork() } {
            Ok(ForkResult::Child) => loop {
                std::thread::sleep(Duration::from_secs(1000));
            },
            Ok(ForkResult::Parent { .. }) => started += 1,
            Err(errno) => {
                say(&format!("{started} processes, then {errno:?}"));
                hold_on();
            }
        }
    }
    say(&format!("{started} processes, and no end"));
    hold_on();
}

/// Goes on in a second thread when the first has ended, and makes more of its kind until the kernel refuses one.
pub fn headless() {
    std::thread::spawn(|| {
        // Before its first thread has ended a process is like any other.
        std::thread::sleep(Duration::from_millis(100));
        loop {
            // SAFETY: no other thread of this process is left.
            match unsafe { fork() } {
                Ok(ForkResult::Child) => headless(),
                _ => std::thread::sleep(Duration::from_millis(10)),
            }
        }
    });
    // SAFETY: ends this thread alone, which holds nothing.
    unsafe { libc::syscall(libc::SYS_exit, 0) };
}

/// Keeps one CPU busy, and says how many milliseconds of it there were.
pub fn burn(seconds: u64) {
    let start = Instant::now();
    let mut sum = 0_u64;
    while start.elapsed() < Duration::from_secs(seconds) {
        for number in 0..10_000_u64 {
            sum = std::hint::black_box(sum.wrapping_add(number));
        }
    }
    let usage = getrusage(UsageWho::RUSAGE_SELF).expect("getrusage");
    let micros = |time: nix::sys::time::TimeVal| time.tv_sec() * 1_000_000 + time.tv_usec();
    let used = (micros(usage.user_time()) + micros(usage.system_time())) / 1000;
    say(&format!("{used}"));
}
