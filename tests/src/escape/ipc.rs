//! Objects and sockets by which processes meet: System V and POSIX IPC, /tmp, the service manager, Berth's own files.

use std::net::TcpStream;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixStream};

use nix::errno::Errno;
use nix::mqueue::{MQ_OFlag, mq_open};
use nix::sys::stat::Mode;

use super::Promise::{Network, NoManager, Nothing, OwnBerth, PrivateShm};
use super::Without::{HostRoot, NoBerth};
use super::terminals::{call_32, low_page};
use super::{Attempt, DENIED, Verdict, call, shell, system_call};

/// The key of the user's System V objects outside.
pub const KEY: u64 = 0x4711;
/// The same of the user's other login.
pub const OTHERS_KEY: u64 = 0x4712;

/// The name of an abstract socket outside.
pub const ABSTRACT: &str = "of-the-host";

pub const ATTEMPTS: &[Attempt] = &[
    call(
        "shared-memory",
        "System V shared memory of the user's outside",
        |_| Verdict::of(system_call(libc::SYS_shmget, &[KEY, 0, 0])),
    )
    .stopped_by(&["ENOENT"])
    .without(NoBerth),
    call(
        "semaphores",
        "System V semaphores of the user's outside",
        |_| Verdict::of(system_call(libc::SYS_semget, &[KEY, 0, 0])),
    )
    .stopped_by(&["ENOENT"])
    .without(NoBerth),
    call(
        "messages",
        "a System V message queue of the user's outside",
        |_| Verdict::of(system_call(libc::SYS_msgget, &[KEY, 0])),
    )
    .stopped_by(&["ENOENT"])
    .without(NoBerth),
    shell(
        "listed",
        "System V objects of the host in /proc/sysvipc",
        "cd /proc/sysvipc && cat shm sem msg >$HOME/listed || exit 2; test $(grep -vc key $HOME/listed) -ge 3",
    )
    .stopped_by(&["status 1"])
    .without(NoBerth),
    call(
        "other-shared-memory",
        "System V shared memory of the user's other login",
        |_| Verdict::of(system_call(libc::SYS_shmget, &[OTHERS_KEY, 0, 0])),
    )
    .stopped_by(&["ENOENT"])
    .promised_by(OwnBerth)
    .without(NoBerth),
    call("queue", "a POSIX message queue of the host", |_| {
        Verdict::of(mq_open(
            "/of-the-host",
            MQ_OFlag::O_RDONLY,
            Mode::empty(),
            None,
        ))
    })
    .stopped_by(&["ENOENT"])
    .without(NoBerth),
    shell(
        "queues-listed",
        "POSIX message queues in /dev/mqueue",
        "ls /dev/mqueue >$HOME/listed || exit 2; grep -q host $HOME/listed",
    )
    .stopped_by(&["status 1"])
    .without(NoBerth),
    call(
        "other-queue",
        "a POSIX message queue of the user's other login",
        |_| {
            Verdict::of(mq_open(
                "/of-a-login",
                MQ_OFlag::O_RDONLY,
                Mode::empty(),
                None,
            ))
        },
    )
    .stopped_by(&["ENOENT"])
    .promised_by(OwnBerth)
    .without(NoBerth),
    shell(
        "posix-memory",
        "POSIX shared memory of the host",
        "test -d /dev/shm/. || exit 2; test -e /dev/shm/of-the-host",
    )
    .stopped_by(&["status 1"])
    .promised_by(PrivateShm)
    .without(NoBerth),
    call("agent", "a socket of the user's in the host's /tmp", |_| {
        Verdict::of_io(UnixStream::connect("/tmp/agent"))
    })
    .stopped_by(&["ENOENT"])
    .without(NoBerth),
    call(
        "manager",
        "the private socket of the user's service manager",
        |to| {
            let path = format!("/run/user/{}/systemd/private", to.text("ALICE"));
            Verdict::of_io(UnixStream::connect(path))
        },
    )
    .stopped_by(&["ENOENT"])
    .promised_by(NoManager)
    .without(NoBerth),
    call(
        "managers-bus",
        "the bus of the user's service manager",
        |to| {
            Verdict::of_io(UnixStream::connect(format!(
                "/run/user/{}/bus",
                to.text("ALICE")
            )))
        },
    )
    .stopped_by(&["ENOENT"])
    .promised_by(NoManager)
    .without(NoBerth),
    call(
        "abstract",
        "an abstract socket of the user's outside",
        |_| {
            let address = SocketAddr::from_abstract_name(ABSTRACT);
            Verdict::of_io(address.and_then(|address| UnixStream::connect_addr(&address)))
        },
    )
    .stopped_by(&["ECONNREFUSED"])
    .promised_by(Network)
    .without(NoBerth),
    call("loopback", "a service on the loopback", |to| {
        let port = to.number("PORT") as u16;
        Verdict::of_io(TcpStream::connect(("127.0.0.1", port)))
    })
    .stopped_by(&["ECONNREFUSED"])
    .promised_by(Network)
    .without(NoBerth),
    call(
        "packets",
        "a socket that hears the network's packets",
        |_| {
            let (family, kind) = (libc::AF_PACKET as u64, libc::SOCK_RAW as u64);
            Verdict::of(system_call(libc::SYS_socket, &[family, kind, 0]))
        },
    )
    .without(HostRoot),
    call("log", "a line in the system's log", |_| {
        let socket = UnixDatagram::unbound();
        let line = b"<13>attempt: a line of anybody's";
        Verdict::of_io(socket.and_then(|socket| socket.send_to(line, "/dev/log")))
    })
    .promised_by(Nothing(
        "the log is everybody's to write in; how much, rsyslog and journald limit",
    ))
    .without(NoBerth),
    // No network namespace holds these: the filter refuses them by number.
    call("vsock", "a socket to the hypervisor, AF_VSOCK", |_| {
        let (family, kind) = (libc::AF_VSOCK as u64, libc::SOCK_STREAM as u64);
        vsock(system_call(libc::SYS_socket, &[family, kind, 0]))
    })
    .promised_by(Network)
    .without(NoBerth),
    call("vsock-32-bit", "the same by the 32-bit socket", |_| {
        let (family, kind) = (libc::AF_VSOCK as u32, libc::SOCK_STREAM as u32);
        vsock(call_32(359, [family, kind, 0]))
    })
    .stopped_by(BY_32_BIT)
    .promised_by(Network)
    .without(NoBerth),
    call("vsock-socketcall", "the same by the 32-bit socketcall", |_| {
        const SOCKET: u32 = 1; // SYS_SOCKET, linux/net.h
        let words = [libc::AF_VSOCK as u32, libc::SOCK_STREAM as u32, 0];
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        vsock(call_32(102, [SOCKET, low_page(&bytes), 0]))
    })
    .stopped_by(BY_32_BIT)
    .promised_by(Network)
    .without(NoBerth),
    call(
        "io-uring",
        "a ring of io_uring, which makes sockets round the filter",
        |_| {
            let mut parameters = [0_u32; 30];
            let setup = [4, parameters.as_mut_ptr() as u64];
            Verdict::of(system_call(libc::SYS_io_uring_setup, &setup))
        },
    )
    .stopped_by(&["ENOSYS"])
    .promised_by(Network)
    .without(NoBerth),
    // What Berth writes.
    shell(
        "records",
        "reading the records of others' sessions",
        "cat /run/berth/sessions/$VICTIMS_SESSION",
    ),
    shell(
        "users-records",
        "reading what is kept of each user",
        "ls /run/berth/users/*/",
    ),
    shell(
        "remove-records",
        "removing a record",
        "test -d /run/berth/sessions || exit 2; test -w /run/berth/sessions",
    )
    .stopped_by(&["status 1"]),
    shell(
        "locks",
        "holding a user's lock",
        "flock -n /run/berth/users/$ALICE true",
    ),
    shell(
        "state",
        "writing to Berth's state",
        "test -d /var/lib/berth || exit 2; test -w /var/lib/berth",
    )
    .stopped_by(&["status 1"]),
    shell(
        "counters",
        "writing to the counters of logins",
        "test -e /run/berth-counters || exit 2; test -w /run/berth-counters",
    )
    .stopped_by(&["status 1"]),
];

/// Only x86 has calls of a 32-bit program's for this one.
const BY_32_BIT: &[&str] = match cfg!(target_arch = "x86_64") {
    true => DENIED,
    false => &["ENOSYS"],
};

/// A kernel that has no such sockets says so to who may have one.
fn vsock(made: Result<i64, Errno>) -> Verdict {
    Verdict::but(made, &[Errno::EAFNOSUPPORT, Errno::ESOCKTNOSUPPORT])
}
