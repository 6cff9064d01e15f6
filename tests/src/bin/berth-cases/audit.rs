//! The audit records that the join would lose, read from the kernel's log: without an audit daemon the
//! kernel prints them there.

use berth_tests::{Machine, Policy};

use super::Case;

pub const CASES: &[Case] = &[("the_audit_log_has_every_record_of_a_login", records)];

/// Record types (linux/audit.h), and the operation that each names.
const RECORDS: [(&str, &str); 4] = [
    ("type=1105", "op=PAM:session_open"),  // USER_START
    ("type=1112", "op=login"),             // USER_LOGIN
    ("type=1106", "op=PAM:session_close"), // USER_END
    ("type=1104", "op=PAM:setcred"),       // CRED_DISP
];

fn records(machine: &mut Machine) {
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
