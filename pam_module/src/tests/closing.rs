//! The end of a session.

use berth_protocol::Phase;
use nix::errno::Errno;

use super::scripted::{Due, Login, Scripted};
use crate::code::Verdict;
use crate::host::Level;

fn closed(line: &str, script: impl IntoIterator<Item = Due>) {
    let mut host = Scripted::new(script);
    crate::close::close(&mut host, &Login::new(Phase::Session, line).arguments);
    host.end();
}

#[test]
fn each_line_does_its_part_of_the_end() {
    closed("", [Due::ReturnHome(Ok(())), Due::Release]);
    closed("close", [Due::ReturnHome(Ok(()))]);
    closed("open", [Due::Release]);
}

#[test]
fn no_way_back_is_logged_and_ends_nothing() {
    let back = || {
        [
            Due::ReturnHome(Err(Errno::EPERM)),
            Due::Log(Level::Warning, "Operation not permitted"),
        ]
    };
    closed("close", back());
    closed("", back().into_iter().chain([Due::Release]));
}

#[test]
fn a_close_line_does_nothing_at_the_beginning() {
    assert_eq!(
        Login::new(Phase::Session, "close").play(vec![], []),
        Verdict::Pass
    );
}

#[test]
fn a_close_line_that_is_not_understood_lets_nobody_by() {
    for (line, says) in [
        ("close open", "open and close stand on one line"),
        ("close polcy=/x", r#"unknown argument "polcy=/x""#),
    ] {
        let login = Login::new(Phase::Session, line);
        let log = Due::Log(Level::Error, says);
        assert_eq!(login.play(login.known(), [log]), Verdict::Failed);
    }
}
