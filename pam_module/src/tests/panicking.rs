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
    let mut host = Scripted::new([Due::Panic, logged()]);
    host.unanswered = OnError::Allow;
    let bare = Login::new(Phase::Session, "").arguments;
    let code = login(&mut host, &bare, Phase::Session);
    assert_eq!(Code(code), Code::SUCCESS);
    host.end();
    let exempt = Due::Exempt(ExemptList::RootOnly, "alice", Ok(false));
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
