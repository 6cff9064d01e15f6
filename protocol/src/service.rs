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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logins_are_joined_and_what_needs_the_host_never_is() {
        let told = |service: &str| {
            let service = service.as_bytes();
            (is_joined(service), is_never_joined(service))
        };
        for login in ["sshd", "login", "su", "su-l", "cron"] {
            assert_eq!(told(login), (true, false), "{login}");
        }
        for host in ["systemd-user", "sudo", "cockpit", "gdm-launch-environment"] {
            assert_eq!(told(host), (false, true), "{host}");
        }
        assert_eq!(told("vsftpd"), (false, false), "as the policy says");
    }
}
