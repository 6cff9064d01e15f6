//! Which services are joined.

use berth_protocol::JoinAbility;
use berth_protocol::service::{MANAGER, is_joined, is_never_joined};

/// How many threads the application has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Threads {
    One,
    /// More, or /proc does not say: setns is then not tried, since it could half succeed.
    MoreOrUnknown,
}

/// Which program the application is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// Berth's own, which forks before it execs.
    Berth,
    /// systemd, which opens a session for a unit's `PAMName=` and execs in place.
    Systemd,
    Other,
}

/// What the module tells the helper about joining.
///
/// A service that is never joined says so before its threads do: it gets caps only by design, while
/// threads are a surprise that the policy's `on_error` answers.
pub fn join_ability(service: &[u8], threads: Threads, program: Program) -> JoinAbility {
    if service == MANAGER.as_bytes() && program == Program::Berth {
        JoinAbility::Manager
    } else if program == Program::Systemd || is_never_joined(service) {
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
            let of = |threads| join_ability(service.as_bytes(), threads, Program::Other);
            assert_eq!(of(Threads::One), alone);
            assert_eq!(of(Threads::MoreOrUnknown), threaded);
        }
    }

    #[test]
    fn the_service_manager_is_joined_where_berth_starts_it() {
        let of = |service: &str| join_ability(service.as_bytes(), Threads::One, Program::Berth);
        assert_eq!(of("systemd-user"), JoinAbility::Manager);
        assert_eq!(of("sudo"), JoinAbility::Service);
        assert_eq!(of("sshd"), JoinAbility::Yes);
    }

    #[test]
    fn a_unit_of_systemds_is_never_joined_whatever_its_service() {
        for service in ["login", "systemd-user", "berth-web"] {
            let of = join_ability(service.as_bytes(), Threads::One, Program::Systemd);
            assert_eq!(of, JoinAbility::Service, "{service}");
        }
    }
}
