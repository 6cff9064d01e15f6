//! Log lines, the helper's and of what admins do: syslog, facility AUTHPRIV, `key=value` in a fixed order; or
//! journald, where each is a field.

use std::fmt::{self, Write};
use std::io::BufWriter;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use berth_protocol::is_invisible;
use nix::errno::Errno;
use nix::sys::socket::sockopt::SendTimeout;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, setsockopt, socket};
use nix::sys::time::{TimeVal, TimeValLike};
use syslog::{Facility, Formatter3164, Logger, LoggerBackend, Severity};

/// The most bytes of one value: what users choose must not fill the log.
const MAX_VALUE: usize = 256;

/// How long a line may wait for the log daemon.
const PATIENCE: Duration = Duration::from_millis(500);

/// Where the log daemon takes them, mostly as datagrams.
const DAEMON: &str = "/dev/log";

/// Where journald takes messages with fields (systemd's "Native Journal Protocol").
const JOURNAL: &str = "/run/systemd/journal/socket";

/// One line in the making.
#[derive(Debug)]
pub struct Line {
    text: String,
    /// The same for journald, if it is to go there.
    native: Option<String>,
}

impl Line {
    /// Begins with what happened.
    pub fn new(event: &str) -> Line {
        Line {
            text: event.into(),
            native: None,
        }
    }

    /// The fields that follow become fields of journald's, if that is wanted and it is there.
    pub fn in_journal_if(self, wanted: bool) -> Line {
        let native = wanted.then(|| format!("BERTH_EVENT={}\n", self.text));
        Line { native, ..self }
    }

    /// Adds a field; an empty value is `-`.
    pub fn field(mut self, key: &str, value: impl fmt::Display) -> Line {
        let value = value.to_string();
        let escaped = escape(&value);
        if let Some(native) = &mut self.native {
            let key = key.to_ascii_uppercase();
            // What ends a field, a newline, is escaped.
            let _ = writeln!(native, "BERTH_{key}={escaped}"); // writing to a String cannot fail
        }
        let _ = write!(self.text, " {key}={}", quote(&value, escaped)); // nor can this
        self
    }

    /// Adds a field if there is a value.
    pub fn optional(self, key: &str, value: Option<impl fmt::Display>) -> Line {
        match value {
            Some(value) => self.field(key, value),
            None => self,
        }
    }

    /// Writes an ordinary line.
    pub fn info(self) {
        self.send(Severity::LOG_INFO);
    }

    /// Writes a line about something that came by itself. berth-due.service, which is started each minute, logs nothing
    /// below it.
    pub fn notice(self) {
        self.send(Severity::LOG_NOTICE);
    }

    /// Writes a line that an admin should see.
    pub fn warning(self) {
        self.send(Severity::LOG_WARNING);
    }

    /// Writes a line about something that failed.
    pub fn error(self) {
        self.send(Severity::LOG_ERR);
    }

    fn send(&self, severity: Severity) {
        let native = self.native.as_ref();
        match native.map(|fields| send_native(severity, &self.text, fields)) {
            None | Some(Sent::NoJournal) => send(severity, &self.text),
            Some(Sent::Taken | Sent::Lost) => {}
        }
    }
}

/// What became of a message for journald.
enum Sent {
    Taken,
    /// It is there and takes nothing now; as syslog's daemon it would not either.
    Lost,
    NoJournal,
}

fn send_native(severity: Severity, text: &str, fields: &str) -> Sent {
    let Ok(socket) = UnixDatagram::unbound() else {
        return Sent::NoJournal;
    };
    if socket.connect(JOURNAL).is_err() {
        return Sent::NoJournal;
    }
    let _ = socket.set_write_timeout(Some(PATIENCE)); // fails for a time of zero only
    let (priority, facility) = (severity as u8, Facility::LOG_AUTHPRIV as u8 >> 3);
    let message = format!(
        "MESSAGE={text}\nPRIORITY={priority}\nSYSLOG_FACILITY={facility}\nSYSLOG_IDENTIFIER=berth\n\
         SYSLOG_PID={}\n{fields}",
        std::process::id()
    );
    match socket.send(message.as_bytes()) {
        Ok(_) => Sent::Taken,
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Sent::Lost,
        Err(_) => Sent::NoJournal,
    }
}

/// An escaped value as it stands in a line, where it cannot be taken for anything else: quoted if it has a
/// space, a quote or an equals sign.
fn quote(value: &str, escaped: String) -> String {
    match escaped == value && !value.contains([' ', '=']) || value.is_empty() {
        true => escaped,
        false => format!("\"{escaped}\""),
    }
}

/// A value in one piece: control characters as `\x0a`, cut at a bound, `-` if there is none.
fn escape(value: &str) -> String {
    if value.is_empty() {
        return "-".into();
    }
    let mut text = String::new();
    for character in value.chars() {
        if text.len() >= MAX_VALUE {
            text.push('…');
            break;
        }
        match character {
            '"' | '\\' => text.extend(['\\', character]),
            c if is_invisible(c) => {
                let mut bytes = [0; 4];
                for byte in c.encode_utf8(&mut bytes).bytes() {
                    let _ = write!(text, "\\x{byte:02x}"); // writing to a String cannot fail
                }
            }
            c => text.push(c),
        }
    }
    text
}

fn send(severity: Severity, message: &str) {
    let formatter = Formatter3164 {
        facility: Facility::LOG_AUTHPRIV,
        hostname: None,
        process: "berth".into(),
        pid: std::process::id(),
    };
    // Without a log daemon there is nobody to tell, and a login does not fail for it.
    let Ok(backend) = daemon() else { return };
    let mut logger = Logger::new(backend, formatter);
    let _ = match severity {
        Severity::LOG_ERR => logger.err(message),
        Severity::LOG_WARNING => logger.warning(message),
        Severity::LOG_NOTICE => logger.notice(message),
        _ => logger.info(message),
    };
}

/// Connects with the log daemon. One that hangs, or whose queue a user keeps full, may cost a line and a moment,
/// never the end of a session: `syslog::unix` would wait for ever where it takes no connection.
fn daemon() -> nix::Result<LoggerBackend> {
    let connected = |kind| {
        let socket = socket(AddressFamily::Unix, kind, SockFlag::SOCK_CLOEXEC, None)?;
        // It counts for the connecting, too (socket(7)).
        let patience = TimeVal::milliseconds(PATIENCE.as_millis() as i64);
        setsockopt(&socket, SendTimeout, &patience)?;
        connect(socket.as_raw_fd(), &UnixAddr::new(DAEMON)?)?;
        Ok(socket)
    };
    match connected(SockType::Datagram) {
        Err(Errno::EPROTOTYPE) => {
            let stream = connected(SockType::Stream)?;
            Ok(LoggerBackend::UnixStream(BufWriter::new(stream.into())))
        }
        datagrams => Ok(LoggerBackend::Unix(datagrams?.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quote(value: &str) -> String {
        super::quote(value, escape(value))
    }

    #[test]
    fn a_users_text_cannot_forge_a_field_or_a_line() {
        assert_eq!(quote("alice"), "alice");
        assert_eq!(quote(""), "-");
        assert_eq!(quote("m\nallory"), r#""m\x0aallory""#);
        assert_eq!(quote("a result=ok"), r#""a result=ok""#);
        assert_eq!(quote("\u{202e}gnp.exe"), r#""\xe2\x80\xaegnp.exe""#);
        assert_eq!(quote("zoë"), "zoë");
        assert_eq!(quote(r#"a"b\"#), r#""a\"b\\""#);
        assert!(quote(&"é".repeat(10_000)).len() < 300);
    }
}
