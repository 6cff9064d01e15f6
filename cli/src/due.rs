//! What is due each minute: exceptions that end, windows of time, penalties, and caps of who has gone (`berth apply --due`).

use std::path::Path;

use berth_session::systemd::{self, Bus, Held, TIMER, is_booted};
use berth_session::{Applied, Result, Tree, UserFolder};

use crate::caps;
use crate::exit::Exit;

/// Takes the caps back of what has ended that went on after its user's last logout. Only systemd lets it.
pub fn take_caps_back() -> std::result::Result<(), Exit> {
    let mut done = Ok(());
    let mut step = |whose: &str, result: Result<()>| {
        if let Err(error) = result {
            eprintln!("berth: cannot take back the caps of {whose}: {error}");
            done = Err(Exit::NotSo);
        }
    };
    let take_back = |uid| systemd::take_back(&Tree::find()?, UserFolder::lock(uid)?, uid);
    match systemd::who_goes_on() {
        Ok(uids) => uids
            .into_iter()
            .for_each(|uid| step(&format!("user {uid}"), take_back(uid))),
        Err(error) => step("users", Err(error)),
    }
    done
}

/// Ends the hold on users' units that made room for a login, where there is no need of it any more. Only systemd needs it.
pub fn let_go_of_who_is_held(helper: &Path) -> std::result::Result<Vec<Applied>, Exit> {
    let held = Held::uids().map_err(|error| {
        eprintln!("berth: cannot see whose units are held: {error}");
        Exit::NotSo
    })?;
    if held.is_empty() {
        return Ok(Vec::new());
    }
    let mut words: Vec<String> = held.iter().map(|uid| format!("--uid={uid}")).collect();
    words.push("--by=time".into());
    caps::bring(helper, &words)
}

/// After a boot the timer runs by itself; from an installation to the next boot, from here on.
pub fn start_the_timer() {
    if is_booted().unwrap_or(true) {
        if let Err(error) = Bus::connect().and_then(|mut bus| bus.start(TIMER)) {
            eprintln!(
                "berth: {error}\nberth: what time brings waits for `berth apply --due`, or for the next boot"
            );
        }
    }
}
