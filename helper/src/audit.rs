//! Audit records of a login, written from the host.
//!
//! A process in another user namespace gets ECONNREFUSED for its audit messages, which libaudit
//! reports as success (the kernel's audit_netlink_ok): from the join on, the records that libpam and
//! sshd send are lost without a word. So the keeper writes them, with the fields of
//! audit_log_acct_message(3). Its audit login UID and session are the login's, inherited from it.

use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, sendto, socket,
};

/// Record types (linux/audit.h, and libaudit's audit-records.h).
#[derive(Debug, Clone, Copy)]
#[repr(u16)]
pub enum Event {
    /// `CRED_DISP`: the login's credentials are given up.
    CredentialsDisposed = 1104,
    /// `USER_START`: a session begins.
    SessionStart = 1105,
    /// `USER_END`: it ends.
    SessionEnd = 1106,
    /// `USER_LOGIN`: somebody has logged in.
    Login = 1112,
}

impl Event {
    fn operation(self) -> &'static str {
        match self {
            Event::CredentialsDisposed => "PAM:setcred",
            Event::SessionStart => "PAM:session_open",
            Event::SessionEnd => "PAM:session_close",
            Event::Login => "login",
        }
    }
}

/// Whose records they are.
#[derive(Debug)]
pub struct Subject<'a> {
    /// The account.
    pub user: &'a str,
    pub executable: &'a str,
    /// The remote host, if any.
    pub host: &'a str,
    pub terminal: &'a str,
}

/// Sends one record. A kernel without audit refuses the socket or the message: then there is no audit
/// log that could miss it.
pub fn send(event: Event, subject: &Subject<'_>) {
    let _ = try_send(event, subject);
}

fn try_send(event: Event, subject: &Subject<'_>) -> nix::Result<()> {
    let socket: OwnedFd = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
        SockProtocol::NetlinkAudit,
    )?;
    let text = text(event, subject);
    let mut message = Vec::with_capacity(16 + text.len() + 4);
    // struct nlmsghdr (netlink(7)): length, type, flags, sequence, port.
    message.extend((16 + text.len() as u32 + 1).to_ne_bytes());
    message.extend((event as u16).to_ne_bytes());
    message.extend((libc::NLM_F_REQUEST as u16).to_ne_bytes());
    message.extend(1_u32.to_ne_bytes());
    message.extend(0_u32.to_ne_bytes());
    message.extend(text.as_bytes());
    message.push(0);
    message.resize(message.len().next_multiple_of(4), 0);
    let kernel = NetlinkAddr::new(0, 0);
    sendto(
        socket.as_raw_fd(),
        &message,
        &kernel,
        MsgFlags::MSG_DONTWAIT,
    )
    .map(drop)
}

fn text(event: Event, subject: &Subject<'_>) -> String {
    let or_unknown = |value: &str| {
        if value.is_empty() {
            "?".to_string()
        } else {
            encoded(value)
        }
    };
    format!(
        "op={} grantors=pam_berth acct={} exe={} hostname={} addr={} terminal={} res=success",
        event.operation(),
        quoted(subject.user),
        quoted(subject.executable),
        or_unknown(subject.host),
        or_unknown(subject.host),
        or_unknown(subject.terminal),
    )
}

/// The audit log's own encoding (audit_encode_nv_string(3)): in quotes, or in hexadecimal if it has
/// a character that could end the value or the record.
fn quoted(value: &str) -> String {
    if is_plain(value) {
        format!("\"{value}\"")
    } else {
        hexadecimal(value)
    }
}

fn encoded(value: &str) -> String {
    if is_plain(value) {
        value.into()
    } else {
        hexadecimal(value)
    }
}

fn is_plain(value: &str) -> bool {
    value
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && byte != b'"')
}

fn hexadecimal(value: &str) -> String {
    value
        .bytes()
        .take(256)
        .map(|byte| format!("{byte:02X}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_reads_as_libaudits_and_cannot_be_forged() {
        let subject = Subject {
            user: "m\" res=failed",
            executable: "/usr/sbin/sshd",
            host: "192.0.2.7",
            terminal: "",
        };
        assert_eq!(
            text(Event::SessionEnd, &subject),
            "op=PAM:session_close grantors=pam_berth acct=6D22207265733D6661696C6564 \
             exe=\"/usr/sbin/sshd\" hostname=192.0.2.7 addr=192.0.2.7 terminal=? res=success"
        );
    }
}
