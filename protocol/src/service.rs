//! Which PAM services are joined.

/// Joined unless the policy says otherwise: each was tried.
pub const JOINED: [&str; 8] = [
    "sshd", "login", "remote", "su", "su-l", "cron", "crond", "atd",
];

/// The service of user@.service, in which a user's service manager runs.
pub const MANAGER: &str = "systemd-user";

/// Never joined, whatever the policy says. systemd, which opens [`MANAGER`], execs in place, so its program would
/// run in the old PID namespace under a /proc that does not show it. Who may sudo or ask polkit needs the host.
/// cockpit and samba serve many users, or a user's whole desktop, from processes that must stay outside; dovecot opens
/// and closes everybody's sessions from one process, which would stay in the berth of the first.
const NEVER: [&str; 7] = [
    MANAGER, "sudo", "sudo-i", "polkit-1", "cockpit", "samba", "dovecot",
];

/// A display manager's greeter: exec in place, no person's login.
const NEVER_SUFFIX: &str = "-launch-environment";

/// Whether a service is never joined, whatever the policy says.
pub fn is_never_joined(service: &[u8]) -> bool {
    NEVER.iter().any(|name| name.as_bytes() == service)
        || service.ends_with(NEVER_SUFFIX.as_bytes())
}

/// Whether a service is joined unless the policy says otherwise.
pub fn is_joined(service: &[u8]) -> bool {
    JOINED.iter().any(|name| name.as_bytes() == service)
}
