//! Objects and sockets by which processes meet: System V and POSIX IPC, /tmp, the service manager, Berth's own files.

use std::net::TcpStream;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixStream};

use nix::mqueue::{MQ_OFlag, mq_open};
use nix::sys::stat::Mode;

use super::Promise::{Network, NoManager, Nothing, OwnBerth, PrivateShm};
use super::Without::{HostRoot, NoBerth};
use super::{Attempt, Verdict, call, shell, system_call};

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
    .without(NoBerth),
    call(
        "semaphores",
        "System V semaphores of the user's outside",
        |_| Verdict::of(system_call(libc::SYS_semget, &[KEY, 0, 0])),
    )
    .without(NoBerth),
    call(
        "messages",
        "a System V message queue of the user's outside",
        |_| Verdict::of(system_call(libc::SYS_msgget, &[KEY, 0])),
    )
    .without(NoBerth),
    shell(
        "listed",
        "System V objects of the host in /proc/sysvipc",
        "test $(cat /proc/sysvipc/shm /proc/sysvipc/sem /proc/sysvipc/msg | grep -vc key) -ge 3",
    )
    .without(NoBerth),
    call(
        "other-shared-memory",
        "System V shared memory of the user's other login",
        |_| Verdict::of(system_call(libc::SYS_shmget, &[OTHERS_KEY, 0, 0])),
    )
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
    .without(NoBerth),
    shell(
        "queues-listed",
        "POSIX message queues in /dev/mqueue",
        "ls /dev/mqueue | grep -q host",
    )
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
    .promised_by(OwnBerth)
    .without(NoBerth),
    shell(
        "posix-memory",
        "POSIX shared memory of the host",
        "test -e /dev/shm/of-the-host",
    )
    .promised_by(PrivateShm)
    .without(NoBerth),
    call("agent", "a socket of the user's in the host's /tmp", |_| {
        Verdict::of_io(UnixStream::connect("/tmp/agent"))
    })
    .without(NoBerth),
    call(
        "manager",
        "the private socket of the user's service manager",
        |to| {
            let path = format!("/run/user/{}/systemd/private", to.text("ALICE"));
            Verdict::of_io(UnixStream::connect(path))
        },
    )
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
    .promised_by(Network)
    .without(NoBerth),
    call("loopback", "a service on the loopback", |to| {
        let port = to.number("PORT") as u16;
        Verdict::of_io(TcpStream::connect(("127.0.0.1", port)))
    })
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
    // What Berth writes.
    shell(
        "records",
        "reading the records of others' sessions",
        "grep -qs '\"user\":\"bob\"' /run/berth/sessions/*",
    ),
    shell(
        "users-records",
        "reading what is kept of each user",
        "ls /run/berth/users/*/",
    ),
    shell(
        "remove-records",
        "removing a record",
        "test -w /run/berth/sessions",
    ),
    shell(
        "locks",
        "holding a user's lock",
        "flock -n /run/berth/users/$ALICE true",
    ),
    shell(
        "state",
        "writing to Berth's state",
        "test -w /var/lib/berth",
    ),
    shell(
        "counters",
        "writing to the counters of logins",
        "test -w /run/berth-counters",
    ),
];
