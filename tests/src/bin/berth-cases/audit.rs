//! The audit records that the join would lose, read from the kernel's log: without an audit daemon the
//! kernel prints them there.

use std::os::fd::AsRawFd;

use berth_tests::{Machine, Policy};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, sendto, socket,
};

use super::Case;

pub const CASES: &[Case] = cases! {
    the_audit_log_has_every_record_of_a_login
};

/// Record types (linux/audit.h), and the operation that each names.
const RECORDS: [(&str, &str); 4] = [
    ("type=1105", "op=PAM:session_open"),  // USER_START
    ("type=1112", "op=login"),             // USER_LOGIN
    ("type=1106", "op=PAM:session_close"), // USER_END
    ("type=1104", "op=PAM:setcred"),       // CRED_DISP
];

fn the_audit_log_has_every_record_of_a_login(machine: &mut Machine) {
    machine.policy(&Policy::default());
    let before = machine.settled();
    machine.host(CLEAR).ok();
    machine.ssh("alice", "true").ok();
    machine.assert_nothing_left(&before);
    assert_audited(&machine.host("dmesg").ok());
}

/// Clears the kernel's log, which then gets every record: it prints ten lines in five seconds and drops the rest,
/// unless told otherwise.
pub const CLEAR: &str = "dmesg --clear && echo 0 >/proc/sys/kernel/printk_ratelimit";

/// Fails unless the kernel's log has each record of alice's login once.
#[track_caller]
pub fn assert_audited(log: &str) {
    let of_berth = |line: &&str| line.contains("grantors=pam_berth acct=\"alice\"");
    for (kind, operation) in RECORDS {
        let mut lines = log
            .lines()
            .filter(|line| line.contains(kind) && line.contains(operation))
            .filter(of_berth);
        let line = lines
            .next()
            .unwrap_or_else(|| panic!("no {operation}: {log}"));
        // In OpenSSH 10 a program of its own runs each session.
        let programs = ["/usr/sbin/sshd", "/usr/lib/openssh/sshd-session"];
        let its = programs.map(|program| line.contains(&format!("exe=\"{program}\"")));
        assert!(its.contains(&true), "{line}");
        assert!(line.contains("addr=127.0.0.1"), "{line}");
        assert!(line.contains("res=success"), "{line}");
        assert_eq!(lines.next(), None, "twice");
    }
}

/// Switches the kernel's auditing on or off, as `auditctl -e` does (linux/audit.h).
pub fn switch(on: bool) {
    const AUDIT_SET: u32 = 1001;
    const REQUEST: u32 = 1;
    const ENABLED: u32 = 1;
    // The header: length, type and flags, sequence, sender. The status: which of its fields counts, and that.
    let words = [24, AUDIT_SET | REQUEST << 16, 1, 0, ENABLED, u32::from(on)];
    let message: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
    let kernel = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkAudit,
    )
    .expect("a socket");
    let address = NetlinkAddr::new(0, 0);
    let sent = sendto(kernel.as_raw_fd(), &message, &address, MsgFlags::empty());
    assert_eq!(sent, Ok(24));
}
