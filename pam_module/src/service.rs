//! Which services are joined.

use berth_protocol::JoinAbility;

/// Joined unless the policy says otherwise: each was tried.
const JOINED: [&[u8]; 8] = [
    b"sshd", b"login", b"remote", b"su", b"su-l", b"cron", b"crond", b"atd",
];

/// Never joined, whatever the policy says. `systemd-user` execs in place, so its program would run in the
/// old PID namespace under a /proc that does not show it. Who may sudo or ask polkit needs the host. cockpit
/// and samba serve many users, or a user's whole desktop, from processes that must stay outside.
const NEVER: [&[u8]; 6] = [
    b"systemd-user",
    b"sudo",
    b"sudo-i",
    b"polkit-1",
    b"cockpit",
    b"samba",
];

/// A display manager's greeter: exec in place, no person's login.
const NEVER_SUFFIX: &[u8] = b"-launch-environment";

/// How many threads the application has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Threads {
    /// Just this one.
    One,
    /// More, or /proc does not say: setns is then not tried, since it could half succeed.
    MoreOrUnknown,
}

/// What the module tells the helper about joining.
///
/// A service that is never joined says so before its threads do: it gets caps only by design, while
/// threads are a surprise that the policy's `on_error` answers.
pub fn join_ability(service: &[u8], threads: Threads) -> JoinAbility {
    if NEVER.contains(&service) || service.ends_with(NEVER_SUFFIX) {
        JoinAbility::Service
    } else if threads == Threads::MoreOrUnknown {
        JoinAbility::Threaded
    } else if JOINED.contains(&service) {
        JoinAbility::Yes
    } else {
        JoinAbility::IfNamed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_service_has_its_answer() {
        for (service, alone, threaded) in [
            ("sshd", JoinAbility::Yes, JoinAbility::Threaded),
            ("su-l", JoinAbility::Yes, JoinAbility::Threaded),
            ("sudo", JoinAbility::Service, JoinAbility::Service),
            ("systemd-user", JoinAbility::Service, JoinAbility::Service),
            (
                "gdm-launch-environment",
                JoinAbility::Service,
                JoinAbility::Service,
            ),
            ("lightdm", JoinAbility::IfNamed, JoinAbility::Threaded),
            ("", JoinAbility::IfNamed, JoinAbility::Threaded),
            ("sshd2", JoinAbility::IfNamed, JoinAbility::Threaded),
        ] {
            assert_eq!(join_ability(service.as_bytes(), Threads::One), alone);
            assert_eq!(
                join_ability(service.as_bytes(), Threads::MoreOrUnknown),
                threaded
            );
        }
    }
}
