//! From the first item to the helper's reply.

use berth_protocol::exempt::ExemptError;
use berth_protocol::{ChannelError, HELPER, JoinAbility, OnError, Phase, Reply, Session};
use nix::errno::Errno;

use super::scripted::{Due, Login, no_answer};
use super::starting::bare;
use crate::code::{Code, Verdict};
use crate::error::Error;
use crate::host::{ExemptList, Item, Level, Privilege};
use crate::nested::Nested;
use crate::service::Threads;

const BOTH: [Phase; 2] = [Phase::Account, Phase::Session];

#[test]
fn whom_local_files_exempt_is_let_in_before_anything_else() {
    for phase in BOTH {
        for (line, list) in [
            ("", ExemptList::Installed),
            ("polcy=/typo timeout=x", ExemptList::Installed),
            ("policy=/trial.toml", ExemptList::RootOnly),
        ] {
            let script = vec![
                Due::Item(Item::User, Ok(b"root".into())),
                Due::Exempt(list, "root", Ok(true)),
            ];
            let verdict = Login::new(phase, line).play(script, []);
            assert_eq!(verdict.code(phase), Code::SUCCESS);
        }
    }
}

#[test]
fn an_exempt_list_that_cannot_be_trusted_exempts_root_alone() {
    for (root, rest) in [
        (true, vec![]),
        (false, vec![Due::Privilege(Privilege::Ordinary)]),
    ] {
        let script = vec![
            Due::Item(Item::User, Ok(b"someone".into())),
            Due::Exempt(
                ExemptList::Installed,
                "someone",
                Err(ExemptError::Untrusted),
            ),
            Due::Log(Level::Error, "not owned by root"),
            Due::Exempt(ExemptList::RootOnly, "someone", Ok(root)),
        ];
        let verdict = Login::new(Phase::Account, "").play(script, rest);
        assert_eq!(verdict, if root { Verdict::Pass } else { Verdict::Ignore });
    }
}

#[test]
fn an_application_without_a_user_follows_on_error() {
    for (line, verdict) in [("", Verdict::Failed), ("on_error=allow", Verdict::Pass)] {
        let login = Login::new(Phase::Session, line);
        let nobody = vec![
            Due::Item(Item::User, Ok(vec![])),
            Due::Log(Level::Error, "has not set PAM_USER"),
        ];
        assert_eq!(login.play(nobody, []), verdict);
        let broken = vec![
            Due::Item(Item::User, Err(Error::Item(Item::User, 29))),
            Due::Log(Level::Error, "cannot get User from libpam: code 29"),
        ];
        assert_eq!(login.play(broken, []), verdict);
    }
}

#[test]
fn an_application_without_privilege_is_none_of_our_business() {
    let login = Login::new(Phase::Account, "debug");
    let mut script = login.known();
    script.pop();
    let rest = [
        Due::Privilege(Privilege::Ordinary),
        Due::Log(Level::Debug, "not root"),
    ];
    assert_eq!(login.play(script, rest).code(Phase::Account), Code::IGNORE);
}

#[test]
fn a_session_that_is_opened_without_privilege_is_told_of() {
    let login = Login::new(Phase::Session, "");
    let mut script = login.known();
    script.pop();
    let rest = [
        Due::Privilege(Privilege::Ordinary),
        Due::Log(
            Level::Warning,
            "not root: the login of \"alice\" goes on without a berth",
        ),
    ];
    assert_eq!(login.play(script, rest), Verdict::Ignore);
}

#[test]
fn an_argument_that_is_not_understood_follows_on_error() {
    // As much as no file of PAM's can hold with the libpam of Debian 12. What is said of it stays short.
    let (long, start) = ("x".repeat(65_536), "x".repeat(100));
    let long_and_allow = &format!("{long} on_error=allow");
    let says_of_long = format!("wrong: unknown argument \"{start}...\"; the login ");
    for (line, verdict, says) in [
        (
            "polcy=/x",
            Verdict::Failed,
            r#"wrong: unknown argument "polcy=/x"; the login is refused"#,
        ),
        (
            &long,
            Verdict::Failed,
            String::leak(says_of_long.clone() + "is refused"),
        ),
        (
            long_and_allow,
            Verdict::Pass,
            String::leak(says_of_long + "goes on"),
        ),
        (
            "polcy=/x on_error=allow",
            Verdict::Pass,
            r#"wrong: unknown argument "polcy=/x"; the login goes on"#,
        ),
    ] {
        let mut login = Login::new(Phase::Account, line);
        login.unanswered = OnError::Allow;
        let log = Due::Log(Level::Error, says);
        assert_eq!(login.play(login.known(), [log]), verdict);
    }
}

#[test]
fn a_long_item_is_refused_whatever_on_error_says() {
    let login = Login::new(Phase::Account, "on_error=allow");
    let mut script = login.known();
    script.extend([
        Due::Item(Item::Service, Ok(b"sshd".into())),
        Due::Item(Item::Tty, Ok(vec![b'x'; 1025])),
        Due::Log(Level::Notice, "Tty is 1025 bytes long"),
    ]);
    assert_eq!(
        login.play(script, []).code(Phase::Account),
        Code::PERM_DENIED
    );
    let long: &str = String::leak("x".repeat(1025));
    let script = vec![
        Due::Item(Item::User, Ok(long.into())),
        Due::Exempt(ExemptList::Installed, long, Ok(false)),
        Due::Privilege(Privilege::Root),
        Due::Log(Level::Notice, "User is 1025 bytes long"),
    ];
    assert_eq!(login.play(script, []), Verdict::Refused);
}

#[test]
fn an_item_that_libpam_does_not_give_follows_on_error() {
    let login = Login::new(Phase::Account, "");
    let mut script = login.known();
    script.extend([
        Due::Item(Item::Service, Err(Error::Item(Item::Service, 29))),
        Due::Log(Level::Error, "cannot get Service"),
    ]);
    assert_eq!(login.play(script, []), Verdict::Failed);
}

#[test]
fn listed_twice_in_a_stack_the_first_word_counts() {
    for phase in BOTH {
        for verdict in [Verdict::Pass, Verdict::Refused, Verdict::Failed] {
            let login = Login::new(phase, "");
            let kept = Due::Kept(phase, Some(verdict));
            assert_eq!(login.play(login.collected(), [kept]), verdict);
        }
    }
}

#[test]
fn in_a_berth_only_its_own_user_passes() {
    for phase in BOTH {
        let login = Login::new(phase, "on_error=allow");
        let play = |nested, log| {
            let rest = [Due::Kept(phase, None), Due::Nested("alice", nested)];
            login.play(login.collected(), rest.into_iter().chain(log))
        };
        assert_eq!(play(Nested::Same, None), Verdict::Pass);
        for (nested, part) in [
            (Nested::Other("b\nob".into()), r#"the berth of "b\x0aob""#),
            (Nested::Joined, "joined a berth itself"),
            (Nested::Unrecorded, "no record"),
        ] {
            let log = Due::Log(Level::Notice, part);
            assert_eq!(play(nested, Some(log)).code(phase), Code::PERM_DENIED);
        }
    }
}

#[test]
fn the_request_says_whether_the_application_can_be_joined() {
    for (service, threads, join) in [
        ("sshd", Threads::One, JoinAbility::Yes),
        ("sshd", Threads::MoreOrUnknown, JoinAbility::Threaded),
        ("sudo", Threads::One, JoinAbility::Service),
        ("gdm-password", Threads::One, JoinAbility::IfNamed),
    ] {
        for phase in BOTH {
            let mut login = Login::new(phase, "debug policy=/trial.toml timeout=3 helper=/opt/h");
            (login.service, login.threads, login.join) = (service, threads, join);
            let mut script = login.asked(Ok(Reply::Untouched));
            script.push(Due::Log(Level::Debug, "nothing to object to"));
            if phase == Phase::Session {
                // After the account phase it waits for the session's request.
                script.push(Due::HangUp);
            }
            let rest = [Due::Keep(phase, Verdict::Pass, Ok(()))];
            let verdict = login.play(script, rest);
            assert_eq!(verdict.code(phase), Code::SUCCESS);
        }
    }
}

#[test]
fn a_refusal_is_told_to_the_user_unless_quiet() {
    for phase in BOTH {
        for (line, message, told) in [
            (
                "",
                Some("come\nback at 8"),
                Some(Due::Tell("come\nback at 8")),
            ),
            ("", None, None),
            ("quiet", Some("come back at 8"), None),
        ] {
            let login = Login::new(phase, line);
            let reply = Reply::Refused {
                message: message.map(String::from),
            };
            let rest = [
                Due::HangUp,
                Due::Log(Level::Notice, r#""alice" refused by the policy"#),
            ];
            let rest =
                rest.into_iter()
                    .chain(told)
                    .chain([Due::Keep(phase, Verdict::Refused, Ok(()))]);
            let verdict = login.play(login.asked(Ok(reply)), rest);
            assert_eq!(verdict.code(phase), Code::PERM_DENIED);
        }
    }
}

#[test]
fn the_helpers_failure_follows_the_policys_on_error() {
    for (line, on_error, verdict, log) in [
        (
            "on_error=deny",
            OnError::Allow,
            Verdict::Pass,
            "no controller; the login goes on",
        ),
        (
            "on_error=allow",
            OnError::Deny,
            Verdict::Failed,
            "no controller; the login is refused",
        ),
    ] {
        for phase in BOTH {
            let login = Login::new(phase, line);
            let message = "no controller".into();
            let reply = Reply::Failed { on_error, message };
            let rest = [
                Due::HangUp,
                Due::Log(Level::Error, log),
                Due::Keep(phase, verdict, Ok(())),
            ];
            assert_eq!(login.play(login.asked(Ok(reply)), rest), verdict);
        }
    }
    assert_eq!(Verdict::Failed.code(Phase::Account), Code::PERM_DENIED);
    assert_eq!(Verdict::Failed.code(Phase::Session), Code::SESSION_ERR);
}

#[test]
fn no_reply_follows_the_lines_on_error_or_what_the_loaded_policy_has_left_for_it() {
    let errors = || {
        [
            (no_answer(ChannelError::TimedOut), "it was killed; timeout="),
            (no_answer(ChannelError::Closed), "closed the connection"),
            (no_answer(ChannelError::Malformed), "different versions"),
            (
                Error::Start {
                    path: HELPER.into(),
                    step: None,
                    errno: Errno::ENOENT,
                },
                "cannot start /usr/libexec/berth-helper: No such file or directory",
            ),
        ]
    };
    for (line, unanswered, verdict) in [
        ("", OnError::Deny, Verdict::Failed),
        ("", OnError::Allow, Verdict::Pass),
        ("on_error=allow", OnError::Deny, Verdict::Pass),
        ("on_error=deny", OnError::Allow, Verdict::Failed),
        // Not under the loaded policy.
        ("policy=/x", OnError::Allow, Verdict::Failed),
    ] {
        for phase in BOTH {
            for (error, part) in errors() {
                let mut login = Login::new(phase, line);
                login.unanswered = unanswered;
                let rest = [
                    Due::HangUp,
                    Due::Log(Level::Error, part),
                    Due::Keep(phase, verdict, Ok(())),
                ];
                assert_eq!(login.play(login.asked(Err(error)), rest), verdict);
            }
        }
    }
}

#[test]
fn a_service_manager_is_refused_where_the_helper_gives_no_answer_whatever_is_loaded() {
    for phase in BOTH {
        let mut manager = Login::new(phase, "");
        manager.unanswered = OnError::Allow;
        (manager.service, manager.join) = ("systemd-user", JoinAbility::Manager);
        let rest = [
            Due::HangUp,
            Due::Log(Level::Error, "it was killed; timeout="),
            Due::Keep(phase, Verdict::Failed, Ok(())),
        ];
        let script = manager.asked(Err(no_answer(ChannelError::TimedOut)));
        assert_eq!(manager.play(script, rest), Verdict::Failed);
    }
}

#[test]
fn a_line_with_another_policy_than_the_one_before_is_not_quietly_passed_over() {
    for phase in BOTH {
        for (line, kept, verdict) in [
            ("policy=/a", Verdict::Pass, Verdict::Pass),
            ("policy=/b", Verdict::Pass, Verdict::Failed),
            ("", Verdict::Pass, Verdict::Failed),
            ("policy=/b on_error=allow", Verdict::Pass, Verdict::Pass),
            ("policy=/b", Verdict::Refused, Verdict::Refused),
        ] {
            let login = Login::new(phase, line);
            let mut script = login.collected();
            script.push(Due::KeptBy(phase, kept, "/a"));
            let is_told = kept == Verdict::Pass && line != "policy=/a";
            let told = is_told.then_some(Due::Log(Level::Error, "another policy="));
            assert_eq!(login.play(script, told), verdict, "{line}");
        }
    }
}

#[test]
fn a_decision_that_cannot_be_kept_counts_all_the_same() {
    let login = Login::new(Phase::Account, "");
    let rest = [
        Due::Keep(Phase::Account, Verdict::Pass, Err(Error::Keep(5))),
        Due::Log(Level::Warning, "cannot keep"),
    ];
    assert_eq!(
        login.play(login.asked(Ok(Reply::Untouched)), rest),
        Verdict::Pass
    );
}

#[test]
fn a_session_where_none_was_asked_for_or_joined_is_a_failure() {
    let session = Session {
        on_error: OnError::Allow,
        ..bare()
    };
    for (phase, reply) in [
        (Phase::Account, Reply::Ready(session)),
        (Phase::Account, Reply::Kept),
        (Phase::Session, Reply::Kept),
    ] {
        let login = Login::new(phase, "");
        let rest = [
            Due::HangUp,
            Due::Log(Level::Error, "none was asked for or joined"),
            Due::Keep(phase, Verdict::Failed, Ok(())),
        ];
        assert_eq!(login.play(login.asked(Ok(reply)), rest), Verdict::Failed);
    }
}
