//! Which services are joined.

use berth_protocol::JoinAbility;
use berth_protocol::service::{is_joined, is_never_joined};

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
    if is_never_joined(service) {
        JoinAbility::Service
    } else if threads == Threads::MoreOrUnknown {
        JoinAbility::Threaded
    } else if is_joined(service) {
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
