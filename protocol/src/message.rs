//! The messages.

use serde::{Deserialize, Serialize};

/// What a failure to carry out the policy does to the login.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnError {
    /// The login goes on without a berth.
    Allow,
    /// The login is refused.
    Deny,
}

impl OnError {
    /// As a policy writes it.
    pub fn word(self) -> &'static str {
        match self {
            OnError::Allow => "allow",
            OnError::Deny => "deny",
        }
    }
}

/// Which PAM call asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// `pam_sm_acct_mgmt`: decide only, set nothing up.
    Account,
    /// `pam_sm_open_session`: decide and set up.
    Session,
}

/// Whether the application can be put into namespaces, as far as the module knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum JoinAbility {
    /// It has one thread, and its service is one of those that are joined by default.
    Yes,
    /// It has one thread, but its service is joined only where the deciding rule names it.
    IfNamed,
    /// It has more than one thread, so setns(2) into these namespaces would fail.
    Threaded,
    /// Its service is one that is never joined: it execs in place (systemd's `PAMName=`), must stay
    /// outside (sudo), or serves many users from one process. Caps only, whatever the rule says.
    Service,
    /// It runs the user's service manager, and forks before it does: joined where the policy wants the manager
    /// in the berth.
    Manager,
}

/// All that the module knows of a login. PAM items are bytes, as PAM hands them over; what is not set
/// is empty. Who asks is not in here: the kernel says it (`SO_PEERCRED`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Which PAM call asks.
    pub phase: Phase,
    /// `PAM_USER`.
    pub user: Vec<u8>,
    /// `PAM_SERVICE`.
    pub service: Vec<u8>,
    /// `PAM_TTY`.
    pub tty: Vec<u8>,
    /// `PAM_RHOST`.
    pub rhost: Vec<u8>,
    /// `PAM_RUSER`.
    pub ruser: Vec<u8>,
    /// The module argument `policy=`: read this file alone, at this login.
    pub policy: Option<Vec<u8>>,
    /// Whether the application can be put into namespaces.
    pub join: JoinAbility,
    /// What becomes of the login where the policy cannot be read.
    pub on_error: OnError,
}

/// The helper's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// Berth has no business with this login (exempt, or an account phase that found no objection). After
    /// an account phase the helper waits for the session's request.
    Untouched,
    /// The policy refuses the login.
    Refused {
        /// For the user, on the terminal.
        message: Option<String>,
    },
    /// The policy could not be carried out; everything is rolled back.
    Failed {
        /// What the policy says to do then; where it could not be read, what the request says.
        on_error: OnError,
        /// For the log.
        message: String,
    },
    /// The session is set up, and waits for the module's [`Ack`].
    Ready(Session),
    /// That it has joined was heard, and the session is kept from here on, or ended. Until this has come a helper that
    /// dies leaves an application which may be out of its session's cgroup, so it must not go on.
    Kept,
}

/// What the module must do to the application to complete a session. With `namespaces` not 0 the
/// init's pidfd comes with the message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// The session's id, which becomes `BERTH_SESSION` in the environment.
    pub id: String,
    /// What to do where the application cannot join and nothing has changed in it. Past setns(2) a
    /// failure is always a denial.
    pub on_error: OnError,
    /// The `CLONE_NEW*` flags to pass to setns(2).
    pub namespaces: i32,
    /// Set `PR_SET_NO_NEW_PRIVS`.
    pub no_new_privs: bool,
    /// A seccomp filter to install; empty for none.
    pub filter: Vec<Instruction>,
    /// Resource limits to set.
    pub rlimits: Vec<Rlimit>,
    /// A line for the user.
    pub motd: Option<String>,
}

/// A resource limit, as setrlimit(2) takes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rlimit {
    /// The policy's name of it, for messages.
    pub name: String,
    /// `RLIMIT_*`
    pub resource: u32,
    /// The soft limit.
    pub soft: u64,
    /// The hard limit.
    pub hard: u64,
}

/// One classic BPF instruction (`struct sock_filter`, linux/filter.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // the kernel's own names
pub struct Instruction {
    pub code: u16,
    pub jt: u8,
    pub jf: u8,
    pub k: u32,
}

/// What the module says to [`Reply::Ready`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ack {
    /// The application is in its berth.
    Joined,
    /// It is not; roll back.
    Failed {
        /// What went wrong.
        message: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::VERSION;

    fn bytes<M: Serialize>(message: &M) -> String {
        let bytes = postcard::to_allocvec(message).unwrap();
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Where this fails, raise VERSION, and write all of it anew. A module meets helpers of the next version: a program that
    /// loaded it before an upgrade starts its helper afterwards.
    #[test]
    fn of_one_version_all_messages_have_one_shape() {
        let request = Request {
            phase: Phase::Session,
            user: b"u".into(),
            service: b"s".into(),
            tty: b"t".into(),
            rhost: b"h".into(),
            ruser: b"r".into(),
            policy: Some(b"/p".into()),
            join: JoinAbility::Yes,
            on_error: OnError::Deny,
        };
        let ready = Reply::Ready(Session {
            id: "1".into(),
            on_error: OnError::Deny,
            namespaces: 0x1000_0000,
            no_new_privs: true,
            filter: vec![Instruction {
                code: 0x1234,
                jt: 5,
                jf: 6,
                k: 0x1234_5678,
            }],
            rlimits: vec![Rlimit {
                name: "n".into(),
                resource: 7,
                soft: 8,
                hard: 9,
            }],
            motd: Some("m".into()),
        });
        let message = || String::from("m");
        let shapes = [
            bytes(&request),
            bytes(&[
                JoinAbility::Yes,
                JoinAbility::IfNamed,
                JoinAbility::Threaded,
                JoinAbility::Service,
                JoinAbility::Manager,
            ]),
            bytes(&[Phase::Account, Phase::Session]),
            bytes(&[OnError::Allow, OnError::Deny]),
            bytes(&Reply::Untouched),
            bytes(&Reply::Refused {
                message: Some(message()),
            }),
            bytes(&Reply::Failed {
                on_error: OnError::Allow,
                message: message(),
            }),
            bytes(&ready),
            bytes(&Reply::Kept),
            bytes(&Ack::Joined),
            bytes(&Ack::Failed { message: message() }),
        ];
        assert_eq!(VERSION, 6);
        assert_eq!(
            shapes,
            [
                "010175017301740168017201022f700001",
                "0001020304",
                "0001",
                "0001",
                "00",
                "0101016d",
                "0200016d",
                "0301310180808080020101b4240506f8acd1910101016e07080901016d",
                "04",
                "00",
                "01016d",
            ]
        );
    }
}
