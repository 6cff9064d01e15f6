//! The join: its order, and a failure at each step.

use berth_protocol::{ChannelError, Instruction, OnError, Phase, Reply, Rlimit, Session};
use libc::{CLONE_NEWIPC, CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWUSER};
use nix::errno::Errno;

use super::scripted::{Due, Login};
use super::starting::bare;
use crate::code::{Code, Verdict};
use crate::error::Error;
use crate::host::Level;

const HOME: i32 = CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWNS;
const ALL: i32 = CLONE_NEWUSER | HOME;

fn session(namespaces: i32) -> Session {
    let instruction = Instruction {
        code: 6,
        jt: 0,
        jf: 0,
        k: 0x7fff_0000,
    };
    Session {
        id: "c12".into(),
        on_error: OnError::Allow,
        namespaces,
        no_new_privs: true,
        filter: vec![instruction; 3],
        rlimits: vec![],
        motd: None,
    }
}

fn play(session: Session, rest: Vec<Due>) -> Verdict {
    let login = Login::new(Phase::Session, "");
    login.play(login.asked(Ok(Reply::Ready(session))), rest)
}

/// The whole contract, in order, all well.
fn contract() -> Vec<Due> {
    vec![
        Due::WorkingDirectory(Some("/usr/share")),
        Due::Setns(ALL, Some(Ok(()))),
        Due::NoNewPrivs(Ok(())),
        Due::EmptyBoundingSet(Ok(())),
        Due::Filter(3, Ok(())),
        Due::NewKeyring(Ok(())),
        Due::ChangeDirectory("/usr/share", Ok(())),
        Due::Environment("BERTH_SESSION=c12", Ok(())),
        Due::Joined(Ok(())),
        Due::Keep(Phase::Session, Verdict::Pass, Ok(())),
    ]
}

/// The same, without a user namespace.
fn contract_of_home() -> Vec<Due> {
    let mut script = contract();
    script.remove(5); // the keyring
    script.remove(3); // the bounding set
    script[1] = Due::Setns(HOME, Some(Ok(())));
    script.insert(1, Due::RememberHome(HOME, Ok(())));
    script
}

fn denied(ack: Option<&'static str>, log: &'static str) -> Vec<Due> {
    let mut rest: Vec<Due> = ack.map(Due::Failed).into_iter().collect();
    rest.extend([
        Due::Log(Level::Error, log),
        Due::ReturnHome(Ok(())),
        Due::HangUp,
        Due::Keep(Phase::Session, Verdict::Failed, Ok(())),
    ]);
    rest
}

#[test]
fn a_session_is_joined_in_the_one_order_that_holds() {
    assert_eq!(play(session(ALL), contract()), Verdict::Pass);
}

#[test]
fn a_line_for_the_user_is_shown_once_the_session_is_kept() {
    let with_line = || Session {
        motd: Some("berth: you have memory_max 3G".into()),
        ..session(ALL)
    };
    let mut script = contract();
    script.push(Due::Greet("berth: you have memory_max 3G"));
    assert_eq!(play(with_line(), script), Verdict::Pass);
    let quiet = Login::new(Phase::Session, "quiet");
    let asked = quiet.asked(Ok(Reply::Ready(with_line())));
    assert_eq!(quiet.play(asked, contract()), Verdict::Pass);
}

#[test]
fn a_working_directory_that_is_not_there_becomes_the_root() {
    for (place, known) in [(0, true), (0, false)] {
        let mut script = contract();
        let gone = Due::ChangeDirectory("/usr/share", Err(Errno::ENOENT));
        script[place] = Due::WorkingDirectory(known.then_some("/usr/share"));
        script.splice(
            6..7,
            known
                .then_some(gone)
                .into_iter()
                .chain([Due::ChangeDirectory("/", Ok(()))]),
        );
        assert_eq!(play(session(ALL), script), Verdict::Pass);
    }
}

#[test]
fn a_session_without_a_user_namespace_keeps_the_way_back() {
    assert_eq!(play(session(HOME), contract_of_home()), Verdict::Pass);
}

#[test]
fn a_session_of_caps_alone_changes_nothing() {
    let script = vec![
        Due::WorkingDirectory(Some("/")),
        Due::Environment("BERTH_SESSION=12", Ok(())),
        Due::Joined(Ok(())),
        Due::Keep(Phase::Session, Verdict::Pass, Ok(())),
    ];
    assert_eq!(play(bare(), script), Verdict::Pass);
}

#[test]
fn a_session_without_namespaces_still_gets_the_rest() {
    let mut script = contract_of_home();
    script.remove(5); // no other mount namespace, so nothing reset the working directory
    script.drain(1..3);
    assert_eq!(play(session(0), script), Verdict::Pass);
}

/// Nothing has changed yet, so the policy's on_error decides.
#[test]
fn a_join_that_fails_as_a_whole_follows_on_error() {
    for (on_error, verdict) in [
        (OnError::Allow, Verdict::Pass),
        (OnError::Deny, Verdict::Failed),
    ] {
        for (namespaces, failing, part) in [
            (
                ALL,
                vec![Due::Setns(ALL, Some(Err(Errno::EINVAL)))],
                "cannot join the session's namespaces (setns): Invalid argument",
            ),
            (ALL, vec![Due::Setns(ALL, None)], "no pidfd"),
            (
                HOME,
                vec![Due::RememberHome(HOME, Err(Errno::EMFILE))],
                "/proc/self/ns: Too many open files",
            ),
            (
                0,
                vec![Due::NoNewPrivs(Err(Errno::EPERM))],
                "cannot set no_new_privs",
            ),
        ] {
            let mut script = vec![Due::WorkingDirectory(None)];
            script.extend(failing);
            script.extend([
                Due::Failed(part),
                Due::HangUp,
                Due::Log(Level::Error, part),
                Due::Keep(Phase::Session, verdict, Ok(())),
            ]);
            let session = Session {
                on_error,
                ..session(namespaces)
            };
            assert_eq!(play(session, script), verdict);
        }
    }
}

/// `on_error` is allow in all of these, and does not count.
#[test]
fn a_failure_past_setns_is_always_a_denial() {
    for (place, failing, part) in [
        (2, Due::NoNewPrivs(Err(Errno::EPERM)), "no_new_privs"),
        (3, Due::EmptyBoundingSet(Err(Errno::EPERM)), "bounding set"),
        (4, Due::Filter(3, Err(Errno::EINVAL)), "seccomp"),
        (5, Due::NewKeyring(Err(Errno::EDQUOT)), "keyring"),
        (
            7,
            Due::Environment(
                "BERTH_SESSION=c12",
                Err(Error::Environment("BERTH_SESSION=c12".into(), 5)),
            ),
            "environment",
        ),
    ] {
        let mut script = contract();
        script.truncate(place);
        script.push(failing);
        script.extend(denied(Some(part), part));
        let verdict = play(session(ALL), script);
        assert_eq!(verdict.code(Phase::Session), Code::SESSION_ERR, "{part}");
    }
}

#[test]
fn no_way_into_the_root_is_a_denial() {
    let mut script = contract();
    script.truncate(6);
    script.extend([
        Due::ChangeDirectory("/usr/share", Err(Errno::ENOENT)),
        Due::ChangeDirectory("/", Err(Errno::EACCES)),
    ]);
    script.extend(denied(Some("go to /"), "go to /"));
    assert_eq!(play(session(ALL), script), Verdict::Failed);
}

#[test]
fn without_namespaces_a_failure_past_the_first_change_is_a_denial() {
    let mut script = contract();
    script.truncate(3);
    script.remove(1);
    script.push(Due::Filter(3, Err(Errno::EINVAL)));
    script.extend(denied(Some("seccomp"), "seccomp"));
    assert_eq!(play(session(0), script), Verdict::Failed);
}

#[test]
fn a_helper_that_is_dead_by_then_is_a_denial() {
    let mut script = contract();
    script.truncate(8);
    script.push(Due::Joined(Err(Error::Acknowledge(ChannelError::Closed))));
    script.extend(denied(None, "no word from the helper that it keeps"));
    assert_eq!(play(session(ALL), script), Verdict::Failed);
}

#[test]
fn a_socket_that_libpam_does_not_keep_is_a_denial() {
    let mut script = contract();
    script.truncate(9);
    script.push(Due::Keep(
        Phase::Session,
        Verdict::Pass,
        Err(Error::Keep(5)),
    ));
    script.extend(denied(None, "cannot keep"));
    assert_eq!(play(session(ALL), script), Verdict::Failed);
}

#[test]
fn a_denial_goes_back_where_it_can() {
    let mut script = vec![
        Due::WorkingDirectory(None),
        Due::RememberHome(HOME, Ok(())),
        Due::Setns(HOME, Some(Ok(()))),
        Due::NoNewPrivs(Err(Errno::EPERM)),
    ];
    script.extend(denied(Some("no_new_privs"), "no_new_privs"));
    let place = script.len() - 3;
    script[place] = Due::ReturnHome(Err(Errno::EPERM));
    script.insert(place + 1, Due::Log(Level::Warning, "cannot go back"));
    assert_eq!(play(session(HOME), script), Verdict::Failed);
}

/// One that is above the application's own, and one that is below.
fn limited(namespaces: i32, on_error: OnError) -> Session {
    let rlimit = |name: &str, soft, hard| Rlimit {
        name: name.into(),
        resource: 0,
        soft,
        hard,
    };
    Session {
        on_error,
        rlimits: vec![rlimit("nofile", 100, 900), rlimit("core", 0, 0)],
        ..session(namespaces)
    }
}

/// Raised before the join, lowered after everything that may still need what is there.
fn limits() -> [Vec<Due>; 2] {
    [
        vec![
            Due::Rlimit("nofile", 50, 500),
            Due::SetRlimit("nofile", 50, 900, Ok(())),
            Due::Rlimit("core", 10, 20),
        ],
        vec![
            Due::SetRlimit("nofile", 100, 900, Ok(())),
            Due::SetRlimit("core", 0, 0, Ok(())),
        ],
    ]
}

#[test]
fn limits_are_raised_first_and_lowered_last() {
    let mut script = contract();
    let [raised, lowered] = limits();
    script.splice(8..8, lowered);
    script.splice(1..1, raised);
    assert_eq!(play(limited(ALL, OnError::Allow), script), Verdict::Pass);
}

#[test]
fn a_limit_that_was_raised_goes_back_when_nothing_else_has_changed() {
    for (on_error, verdict) in [
        (OnError::Allow, Verdict::Pass),
        (OnError::Deny, Verdict::Failed),
    ] {
        let [raised, _] = limits();
        let mut script = vec![Due::WorkingDirectory(None)];
        script.extend(raised);
        script.extend([
            Due::Setns(ALL, Some(Err(Errno::ESRCH))),
            Due::Failed("setns"),
            Due::SetRlimit("nofile", 50, 500, Ok(())),
            Due::HangUp,
            Due::Log(Level::Error, "setns"),
            Due::Keep(Phase::Session, verdict, Ok(())),
        ]);
        assert_eq!(play(limited(ALL, on_error), script), verdict);
    }
}

#[test]
fn a_limit_that_may_not_be_raised_follows_on_error() {
    let session = limited(ALL, OnError::Allow);
    let rlimit = session.rlimits[0].clone();
    let errno = Errno::EPERM;
    let script = vec![
        Due::WorkingDirectory(None),
        Due::Rlimit("nofile", 50, 500),
        Due::SetRlimit("nofile", 50, 900, Err(Error::Rlimit { rlimit, errno })),
        Due::Failed("cannot set the rlimit nofile to 100:900"),
        Due::HangUp,
        Due::Log(Level::Error, "CAP_SYS_RESOURCE"),
        Due::Keep(Phase::Session, Verdict::Pass, Ok(())),
    ];
    assert_eq!(play(session, script), Verdict::Pass);
}

#[test]
fn a_limit_that_cannot_be_set_at_the_end_is_a_denial() {
    let session = limited(ALL, OnError::Allow);
    let rlimit = session.rlimits[0].clone();
    let errno = Errno::EPERM;
    let mut script = contract();
    script.truncate(8);
    script.push(Due::SetRlimit(
        "nofile",
        100,
        900,
        Err(Error::Rlimit { rlimit, errno }),
    ));
    script.extend(denied(Some("rlimit nofile"), "rlimit nofile"));
    let [raised, _] = limits();
    script.splice(1..1, raised);
    assert_eq!(play(session, script), Verdict::Failed);
}
