//! A panic never crosses into libpam, and never locks out root.

use berth_protocol::{OnError, Phase};

use super::scripted::{Due, Login, Scripted};
use crate::code::Code;
use crate::entry::login;
use crate::host::{ExemptList, Item, Level};

fn play(line: &str, script: Vec<Due>) -> Code {
    let arguments = Login::new(Phase::Session, line).arguments;
    let mut host = Scripted::new(script);
    let code = login(&mut host, &arguments, Phase::Session);
    host.end();
    Code(code)
}

fn logged() -> Due {
    Due::Log(Level::Error, "bug in Berth: scripted")
}

#[test]
fn a_panic_follows_on_error() {
    let user = |name: &str| Due::Item(Item::User, Ok(name.into()));
    assert_eq!(
        play("on_error=allow", vec![Due::Panic, logged()]),
        Code::SUCCESS
    );
    let bare = |phase, rest: Vec<Due>| {
        let script = [Due::Panic, logged()].into_iter().chain(rest);
        let mut host = Scripted::new(script);
        host.unanswered = OnError::Allow;
        let code = login(&mut host, &Login::new(phase, "").arguments, phase);
        host.end();
        Code(code)
    };
    assert_eq!(bare(Phase::Account, vec![]), Code::SUCCESS);
    // It may have happened in the middle of the join.
    let exempt = || Due::Exempt(ExemptList::RootOnly, "alice", Ok(false));
    assert_eq!(
        bare(Phase::Session, vec![user("alice"), exempt()]),
        Code::SESSION_ERR
    );
    let exempt = exempt();
    assert_eq!(
        play("", vec![Due::Panic, logged(), user("alice"), exempt]),
        Code::SESSION_ERR
    );
}

#[test]
fn a_panic_does_not_lock_out_root() {
    let user = |name: &str| Due::Item(Item::User, Ok(name.into()));
    assert_eq!(
        play("", vec![Due::Panic, logged(), user("root")]),
        Code::SUCCESS
    );
    let exempt = Due::Exempt(ExemptList::RootOnly, "toor", Ok(true));
    assert_eq!(
        play("", vec![Due::Panic, logged(), user("toor"), exempt]),
        Code::SUCCESS
    );
}

#[test]
fn panics_upon_panics_are_a_denial() {
    // Everything fails: the call, the log, the question who it is, the log again.
    let script = vec![Due::Panic, Due::Panic, Due::Panic, Due::Panic];
    assert_eq!(play("", script), Code::SESSION_ERR);
}
