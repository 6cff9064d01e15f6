//! A log daemon that hangs costs a line and a moment: no login, no end of a session, and no privilege that
//! is kept meanwhile.

use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, connect, listen, socket,
};

use berth_tests::{Background, Machine, Process, eventually};

/// What a keeper must not have: the capabilities (capabilities(7)) that only the set-up needs.
const SETUP_ONLY: u64 = 1 << 6 // CAP_SETGID
    | 1 << 7 // CAP_SETUID
    | 1 << 8 // CAP_SETPCAP
    | 1 << 12 // CAP_NET_ADMIN
    | 1 << 19 // CAP_SYS_PTRACE
    | 1 << 21 // CAP_SYS_ADMIN
    | 1 << 24 // CAP_SYS_RESOURCE
    | 1 << 31; // CAP_SETFCAP

/// Puts a socket that nobody reads in the place of the log daemon's, and fills its queue.
fn hang_the_log() -> UnixDatagram {
    std::fs::remove_file("/dev/log").unwrap();
    let daemon = UnixDatagram::bind("/dev/log").unwrap();
    let other = UnixDatagram::unbound().unwrap();
    other.connect("/dev/log").unwrap();
    other.set_nonblocking(true).unwrap();
    while other.send(b"<38>anybody: noise").is_ok() {}
    daemon
}

/// The same for one that takes streams, and accepts none.
fn full_of_streams() -> (OwnedFd, Vec<OwnedFd>) {
    std::fs::remove_file("/dev/log").unwrap();
    let address = UnixAddr::new("/dev/log").unwrap();
    let stream = |flags| socket(AddressFamily::Unix, SockType::Stream, flags, None).unwrap();
    let daemon = stream(SockFlag::SOCK_CLOEXEC);
    bind(daemon.as_raw_fd(), &address).unwrap();
    listen(&daemon, Backlog::new(1).unwrap()).unwrap();
    let mut waiting = Vec::new();
    loop {
        let one = stream(SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK);
        match connect(one.as_raw_fd(), &address) {
            Ok(()) => waiting.push(one),
            Err(error) => {
                assert_eq!(error, Errno::EAGAIN);
                return (daemon, waiting);
            }
        }
    }
}

/// The capabilities of a keeper that waits for the log daemon.
fn while_it_waits() -> Option<u64> {
    let mut keepers = Process::keepers().into_iter();
    let keeper = keepers.find(|one| waits_to_send(*one))?;
    let capabilities = keeper.status("CapPrm")?;
    // It may have gone on between the two looks.
    waits_to_send(keeper).then(|| u64::from_str_radix(&capabilities, 16).unwrap())
}

/// Whether it sleeps in a write to a socket.
fn waits_to_send(process: Process) -> bool {
    let call = process.file("syscall");
    let mut words = call.split(' ');
    if words.next() != Some(&libc::SYS_write.to_string()) {
        return false;
    }
    let number = words.next().and_then(|word| word.strip_prefix("0x"));
    let number = number.and_then(|word| u32::from_str_radix(word, 16).ok());
    let link = number.map(|number| format!("/proc/{}/fd/{number}", process.0));
    let to = link.and_then(|link| std::fs::read_link(link).ok());
    to.is_some_and(|to| to.to_string_lossy().starts_with("socket:"))
}

/// Logs in and out while a log daemon hangs, and does something while the login is on.
fn log_in_and_out<T>(machine: &mut Machine, hang: fn() -> T, meanwhile: impl FnOnce()) {
    let before = machine.settled();
    let _daemon = hang();
    // su and sshd would wait for the log themselves.
    let start = Instant::now();
    let mut application = Background::talking(&machine.probe("open-close-stay login alice"));
    assert_eq!(application.line(), "open");
    let took = start.elapsed();
    assert!(took < Duration::from_secs(30), "{took:?}");
    meanwhile();
    let start = Instant::now();
    let stdin = application.0.stdin.as_mut().unwrap();
    stdin.write_all(b"\n").unwrap();
    assert_eq!(application.line(), "closed");
    let took = start.elapsed();
    assert!(took < Duration::from_secs(30), "{took:?}");
    application.end();
    machine.assert_nothing_left(&before);
}

#[test]
fn a_log_daemon_that_hangs_holds_up_no_login_and_no_logout() {
    Machine::run(|machine| {
        log_in_and_out(machine, hang_the_log, || {
            let mut capabilities = None;
            let waited = eventually(|| {
                capabilities = while_it_waits();
                capabilities.is_some()
            });
            assert!(waited, "no keeper waits: the test shows nothing");
            assert_eq!(capabilities.unwrap() & SETUP_ONLY, 0);
        });
    });
}

#[test]
fn a_log_daemon_that_takes_no_connection_holds_up_nobody_either() {
    Machine::run(|machine| {
        log_in_and_out(machine, full_of_streams, || ());
    });
}
