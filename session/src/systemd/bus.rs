//! A connection with systemd, and calls on it that come back in time.
//!
//! systemd's own socket is used, as systemctl does for root: it is there as long as PID 1 is, whatever has
//! become of the bus. Where it is not, the system bus serves.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};

use super::wire::{self, Call, Incoming, Writer};
use crate::{Error, Result};

const PRIVATE: &str = "/run/systemd/private";
const SYSTEM: &str = "/run/dbus/system_bus_socket";

const SYSTEMD: &str = "org.freedesktop.systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";
const OBJECT: &str = "/org/freedesktop/systemd1";

/// How long systemd may take for all that is asked on one connection: less than a module waits. A
/// daemon-reload keeps it busy for a second or so.
const PATIENCE: Duration = Duration::from_secs(5);

/// A connection with systemd.
#[derive(Debug)]
pub struct Bus {
    stream: UnixStream,
    deadline: Instant,
    /// Whom the calls are for, where others could be meant.
    destination: Option<&'static str>,
    read: Vec<u8>,
    /// Answers that came while another was waited for.
    early: Vec<Incoming>,
    serial: u32,
}

impl Bus {
    /// Connects, on systemd's own socket or on the system bus.
    pub fn connect() -> Result<Bus> {
        Bus::connect_until(Instant::now() + PATIENCE)
    }

    /// The same, for what takes longer.
    pub(crate) fn connect_until(deadline: Instant) -> Result<Bus> {
        if Path::new(PRIVATE).exists() {
            return Bus::connect_to(PRIVATE, None, deadline);
        }
        let mut bus = Bus::connect_to(SYSTEM, Some(SYSTEMD), deadline)?;
        let serial = bus.send(&Call {
            destination: Some("org.freedesktop.DBus"),
            path: "/org/freedesktop/DBus",
            interface: "org.freedesktop.DBus",
            member: "Hello",
            signature: "",
            arguments: Writer::default(),
        })?;
        bus.answer(serial, "greet the bus")?;
        Ok(bus)
    }

    pub(super) fn connect_to(
        path: &str,
        destination: Option<&'static str>,
        deadline: Instant,
    ) -> Result<Bus> {
        let stream = connected(path, deadline).map_err(|errno| failed(path, errno.desc()))?;
        Bus::over(stream, path, destination, deadline)
    }

    /// Speaks with whom the stream leads to.
    pub(super) fn over(
        stream: UnixStream,
        path: &str,
        destination: Option<&'static str>,
        deadline: Instant,
    ) -> Result<Bus> {
        let mut bus = Bus {
            stream,
            deadline,
            destination,
            read: Vec::new(),
            early: Vec::new(),
            serial: 0,
        };
        // A call in the same write would not be looked at before more comes: systemd reads up to 256 bytes
        // for the authentication, and then waits (systemd issue 17425). 30 is root's UID, "0".
        bus.write(b"\0AUTH EXTERNAL 30\r\nBEGIN\r\n")?;
        loop {
            let end = bus.read.windows(2).position(|two| two == b"\r\n");
            if let Some(end) = end {
                if !bus.read.starts_with(b"OK ") {
                    return Err(failed(path, "it does not take this process for root's"));
                }
                bus.read.drain(..end + 2);
                return Ok(bus);
            }
            if bus.read.len() > 1024 {
                return Err(failed(path, "it does not speak D-Bus"));
            }
            bus.more()?;
        }
    }

    /// Calls a method of systemd's manager.
    pub(super) fn manager(
        &mut self,
        member: &str,
        signature: &str,
        arguments: Writer,
        what: &str,
    ) -> Result<Vec<u8>> {
        self.call(OBJECT, MANAGER, member, signature, arguments, what)
    }

    /// Calls a method of one of systemd's objects, and waits for what it returns.
    pub(super) fn call(
        &mut self,
        path: &str,
        interface: &str,
        member: &str,
        signature: &str,
        arguments: Writer,
        what: &str,
    ) -> Result<Vec<u8>> {
        let serial = self.send(&Call {
            destination: self.destination,
            path,
            interface,
            member,
            signature,
            arguments,
        })?;
        self.answer(serial, what)
    }

    /// How many calls may wait for their answers. dbus-daemon refuses more than 128 of a connection's (dbus-daemon(1),
    /// max_replies_per_connection); systemd's own socket has no such limit.
    pub(super) fn at_once(&self) -> usize {
        self.destination.map_or(usize::MAX, |_| 100)
    }

    /// Calls a method of systemd's manager, and leaves the answer for later.
    pub(super) fn ask_manager(
        &mut self,
        member: &str,
        signature: &str,
        arguments: Writer,
    ) -> Result<u32> {
        self.send(&Call {
            destination: self.destination,
            path: OBJECT,
            interface: MANAGER,
            member,
            signature,
            arguments,
        })
    }

    fn send(&mut self, call: &Call<'_>) -> Result<u32> {
        self.serial += 1;
        self.write(&call.message(self.serial))?;
        Ok(self.serial)
    }

    /// Waits for the answer to a call.
    pub(super) fn answer(&mut self, to: u32, what: &str) -> Result<Vec<u8>> {
        let early = self.early.iter().position(|answer| answer.is_to(to));
        let mut found = early.map(|place| self.early.remove(place));
        loop {
            let next = match found.take() {
                None => wire::take(&mut self.read).map_err(|reason| failed(what, reason))?,
                found => found,
            };
            match next {
                Some(Incoming::Returned(serial, body)) if serial == to => return Ok(body),
                Some(Incoming::Failed(serial, reason)) if serial == to => {
                    return Err(Error::Refused {
                        what: what.into(),
                        reason,
                    });
                }
                Some(Incoming::Other) => {}
                Some(answer) => self.early.push(answer),
                None => self.more()?,
            }
        }
    }

    fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            match self.stream.write(bytes) {
                Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.wait(PollFlags::POLLOUT)?;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(failed("write to it", &error.to_string())),
            }
        }
        Ok(())
    }

    /// Reads what there is, and waits for it if need be.
    fn more(&mut self) -> Result<()> {
        let mut chunk = [0; 4096];
        loop {
            match self.stream.read(&mut chunk) {
                Ok(0) => return Err(failed("read from it", "it has hung up")),
                Ok(count) => {
                    self.read.extend(chunk.get(..count).unwrap_or_default());
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.wait(PollFlags::POLLIN)?;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(failed("read from it", &error.to_string())),
            }
        }
    }

    fn wait(&self, events: PollFlags) -> Result<()> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        let mut fds = [PollFd::new(self.stream.as_fd(), events)];
        match poll(&mut fds, timeout) {
            Ok(0) => Err(failed("wait for it", "it does not answer")),
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(errno) => Err(failed("wait for it", errno.desc())),
        }
    }
}

/// Connects to a socket that may have more callers waiting than it takes, or that nobody listens on while systemd executes
/// itself anew (daemon-reexec, which its upgrade does).
fn connected(path: &str, deadline: Instant) -> nix::Result<UnixStream> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    let address = UnixAddr::new(path)?;
    loop {
        match connect(std::os::fd::AsRawFd::as_raw_fd(&socket), &address) {
            Err(Errno::EAGAIN | Errno::EINTR | Errno::ECONNREFUSED)
                if Instant::now() < deadline =>
            {
                std::thread::sleep(Duration::from_millis(5));
            }
            connected => return connected.map(|()| socket.into()),
        }
    }
}

fn failed(what: &str, reason: &str) -> Error {
    Error::Systemd {
        what: what.into(),
        reason: reason.into(),
    }
}
