//! What is due each minute: exceptions that end, windows of time, penalties, and caps of who has gone (`berth apply --due`).

use std::cell::Cell;
use std::path::Path;
use std::time::SystemTime;

use berth_config::Policy;
use berth_session::systemd::{self, Bus, Held, TIMER, is_booted};
use berth_session::{Applied, Tree, UserFolder};

use crate::exit::Exit;
use crate::helper::Helper;
use crate::{applied, exceptions, lock, penalties, place, repeated};

/// Whoever has it is at a round, since its time stamp.
pub const LOCK: &str = "/run/berth-due.lock";

/// A round. Says nothing where there is nothing to do: cron would send it by mail.
pub fn round(helper: &Helper, as_json: bool) -> Result<Exit, Exit> {
    // One that waits for a directory of users is not to have another behind it each minute. An error is no such one.
    let lock = lock::at_once(Path::new(LOCK));
    if let Ok(Some(lock)) = &lock {
        let _ = lock.set_modified(SystemTime::now()); // for `berth doctor`, if this should hang
    }
    match (&lock, as_json) {
        (Ok(None), true) => applied::print_json(&[], false),
        (Ok(None), false) => Ok(Exit::Done),
        (_, true) => parts(helper, as_json),
        (_, false) => repeated::once(|| parts(helper, as_json)),
    }
}

fn parts(helper: &Helper, as_json: bool) -> Result<Exit, Exit> {
    let mut all = Vec::new();
    // One that cannot be done keeps nobody from the others. First what asks no directory of users, which may not answer.
    let mut failed = take_caps_back().err();
    failed = exceptions::end_those_that_are_over(helper, &mut all)
        .err()
        .or(failed);
    let mut part = |done: Result<Vec<Applied>, Exit>| match done {
        Ok(done) => all.extend(done),
        Err(exit) => failed = Some(exit),
    };
    match Policy::load_system() {
        Ok(policy) => {
            if policy.has_windows() {
                part(by_time(helper));
            }
            part(penalties::round(&policy, helper));
        }
        Err(error) => part(Err(place::policy_error(error))),
    }
    part(let_go_of_who_is_held(helper));
    let exit = match as_json {
        true => applied::print_json(&all, false),
        false if all.iter().all(|one| one.changes.is_empty()) => Ok(applied::print_left(&all)),
        false => Ok(applied::print(&all, false)),
    };
    failed.map_or(exit, Err)
}

/// The caps as the policy has them at this time; who is told of.
fn by_time(helper: &Helper) -> Result<Vec<Applied>, Exit> {
    let mut now = helper.bring(&["--by=time".into()])?;
    now.retain(|one| !one.changes.is_empty() || !one.left.is_empty());
    Ok(now)
}

/// Takes the caps back of what has ended that went on after its user's last logout. Only systemd lets it.
fn take_caps_back() -> Result<(), Exit> {
    let mut done = Ok(());
    let mut step = |whose: &str, result: berth_session::Result<()>| {
        if let Err(error) = result {
            eprintln!("berth: cannot take back the caps of {whose}: {error}");
            done = Err(Exit::NotSo);
        }
    };
    // For all of them together: a lock that somebody does not let go keeps nobody from the rest.
    let left = Cell::new(UserFolder::PATIENCE);
    let take_back =
        |uid| systemd::take_back(&Tree::find()?, UserFolder::lock_within(uid, &left)?, uid);
    match systemd::who_goes_on() {
        Ok(uids) => uids
            .into_iter()
            .for_each(|uid| step(&format!("user {uid}"), take_back(uid))),
        Err(error) => step("users", Err(error)),
    }
    done
}

/// Ends the hold on users' units that made room for a login, where there is no need of it any more. Only systemd needs it.
fn let_go_of_who_is_held(helper: &Helper) -> Result<Vec<Applied>, Exit> {
    let held = Held::uids().map_err(|error| {
        eprintln!("berth: cannot see whose units are held: {error}");
        Exit::NotSo
    })?;
    if held.is_empty() {
        return Ok(Vec::new());
    }
    let mut words: Vec<String> = held.iter().map(|uid| format!("--uid={uid}")).collect();
    words.push("--by=time".into());
    helper.bring(&words)
}

/// After a boot the timer runs by itself; from an installation to the next boot, from here on.
pub fn start_the_timer() {
    if is_booted().unwrap_or(true) {
        if let Err(error) = Bus::connect().and_then(|mut bus| bus.start(TIMER)) {
            eprintln!(
                "berth: {error}\nberth: exceptions, windows and penalties will not begin or end by themselves before the next boot: \
                 systemctl start {TIMER}"
            );
        }
    }
}
