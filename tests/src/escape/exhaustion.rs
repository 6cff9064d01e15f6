//! Using up what the kernel counts, and asking root and another user whether they still have it.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Command;

use nix::errno::Errno;
use nix::sys::prctl::set_pdeathsig;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;
use nix::unistd::{ForkResult, fork};

use super::Promise::{Nothing, PrivateShm, SizedTmp};
use super::Without::{NoBerth, Victim};
use super::{Attempt, NO_USER_NAMESPACE, Verdict, call};
use crate::counted;

/// No limit is higher; past it the attempt shows nothing.
const ENOUGH: usize = 500_000;

pub const ATTEMPTS: &[Attempt] = &[
    call("inotify", "all inotify instances", |_| {
        until_refused("inotify", |_| counted::inotify().map(std::mem::forget))
    })
    .stopped_by(&["EMFILE"])
    .without(Victim),
    call("queues", "all memory of POSIX message queues", |_| {
        let name = |number| format!("/attempt-{number}");
        let verdict = until_refused("queue", |number| {
            counted::queue(&name(number)).map(std::mem::forget)
        });
        for number in 0..ENOUGH {
            if nix::mqueue::mq_unlink(name(number).as_str()).is_err() {
                break; // the last one that was made
            }
        }
        verdict
    })
    .stopped_by(&["EMFILE"])
    .without(Victim),
    call("timers", "all timers", |_| {
        until_refused("timer", |_| counted::timer().map(drop))
    })
    .stopped_by(&["EAGAIN"])
    .without(Victim),
    call("signals", "all signals that may wait", |_| {
        counted::block_signals();
        until_refused("signal", |_| counted::signal())
    })
    .stopped_by(&["EAGAIN"])
    .without(Victim),
    call("keys", "all keys", |_| {
        until_refused("key", |number| counted::key(&format!("attempt-{number}")))
    })
    .stopped_by(&["EDQUOT"])
    .without(Victim),
    call("pipes", "all memory of pipes", |_| {
        until_refused("pipe", |_| counted::pipe())
    })
    .stopped_by(&["ENOMEM"])
    .without(Victim),
    call("namespaces", "all namespaces", |_| {
        let mut held = Vec::new();
        if let Err(errno) = counted::become_root_of_a_namespace() {
            return Verdict::Held(format!("{NO_USER_NAMESPACE}: {errno:?}"));
        }
        until_refused("namespace", |_| {
            let one = match counted::namespace() {
                Err(Errno::EMFILE) => {
                    keep_in_a_child(std::mem::take(&mut held));
                    counted::namespace()
                }
                one => one,
            };
            held.push(one?);
            Ok(())
        })
    })
    .stopped_by(&["ENOSPC"])
    .without(Victim),
    call("posix-memory", "all memory of /dev/shm", |_| {
        let name = |number| format!("attempt-{number}");
        let verdict = until_refused("memory", |number| counted::shared_memory(&name(number)));
        // The last one, too, of which there is no more than the name.
        let _ = (0..ENOUGH).find(|number| !counted::free_shared_memory(&name(*number)));
        verdict
    })
    .stopped_by(&["ENOSPC"])
    .promised_by(PrivateShm)
    .without(NoBerth),
    call("tmp", "all of /tmp", |_| {
        let name = |number| format!("attempt-{number}");
        let verdict = until_refused("tmp", |number| counted::temporary(&name(number)));
        let _ = (0..ENOUGH).find(|number| !counted::free_temporary(&name(*number)));
        verdict
    })
    .stopped_by(&["ENOSPC"])
    .promised_by(SizedTmp)
    .without(NoBerth),
    call("terminals", "all pseudo terminals", |_| {
        until_refused("terminal", |_| counted::terminal().map(std::mem::forget))
    })
    .stopped_by(&["ENOSPC"])
    .promised_by(Nothing(
        "the kernel counts them for the machine; logins without a terminal go on",
    ))
    .without(NoBerth),
];

/// Descriptors go on in a process that has nothing else to do, until this one ends.
fn keep_in_a_child(held: Vec<File>) {
    let parent = nix::unistd::getpid();
    // SAFETY: this process has one thread.
    match unsafe { fork() }.expect("fork") {
        ForkResult::Parent { .. } => drop(held),
        ForkResult::Child => {
            let _ = set_pdeathsig(Signal::SIGKILL); // it cannot be refused
            while nix::unistd::getppid() == parent {
                nix::unistd::pause();
            }
            std::process::exit(0);
        }
    }
}

/// Who is asked: the sockets of processes outside, root's and another user's, and of one in a berth of that user's.
pub const OBSERVERS: [&str; 3] = [
    "/srv/observers/root",
    "/srv/observers/victim",
    "/srv/observers/berth",
];

/// Uses up what the observers call by this name.
fn until_refused(what: &str, mut make: impl FnMut(usize) -> Result<(), Errno>) -> Verdict {
    let observers = OBSERVERS.map(|path| (path, UnixStream::connect(path).expect("an observer")));
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard); // what is there is enough, too
    }
    let mut made = 0;
    let refusal = loop {
        match make(made) {
            Ok(()) if made < ENOUGH => made += 1,
            Ok(()) => return Verdict::Stuck(format!("{made}, and no refusal")),
            Err(errno) => break format!("{errno:?}"),
        }
    };
    if made == 0 {
        return Verdict::Stuck(format!("none at all: {refusal}"));
    }
    for (path, mut observer) in observers {
        let mut answer = String::new();
        let asked = observer
            .write_all(b"?")
            .and_then(|()| observer.read_to_string(&mut answer));
        let said = format!("{made}, then {refusal}; {path}: {answer}");
        match asked.is_ok() {
            true if answer == "all there" => {}
            true if answer.contains(&format!("{what}: ")) => return Verdict::Escaped(said),
            // It lacks something else, which is not this attempt's doing.
            _ => return Verdict::Stuck(said),
        }
    }
    Verdict::Held(refusal)
}

/// Answers who asks what there still is for the user that this runs as.
pub fn observe(path: &str) -> ! {
    let listener = UnixListener::bind(path).expect("listen");
    loop {
        let Ok((mut asker, _)) = listener.accept() else {
            continue;
        };
        // Only now: the asker has come before it has used anything up.
        if asker.read_exact(&mut [0]).is_err() {
            continue;
        }
        // In a child, with which it goes again.
        let looked = Command::new(super::trying::PROGRAM)
            .arg("one-of-each")
            .output();
        let answer = looked.map_or(b"nothing can be started".into(), |output| output.stdout);
        let _ = asker.write_all(&answer); // who has gone does not want it
    }
}
