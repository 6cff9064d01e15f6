//! What is due each minute: exceptions that end, windows of time, penalties, and caps of who has gone (`berth apply --due`).

use berth_session::systemd::{self, Bus, TIMER, is_booted};
use berth_session::{Result, Tree, UserFolder};

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
