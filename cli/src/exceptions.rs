//! Changes of users' exceptions, one at a time.

use std::fs::File;
use std::time::{Duration, SystemTime};

use berth_config::{Exception, ExceptionFile, Exceptions, LocalTime, Login, Places, StateError};
use berth_session::{Applied, Line};
use nix::fcntl::{Flock, FlockArg};
use serde_json::json;

use crate::exit::{Exit, not_so};
use crate::helper::Helper;
use crate::{applied, json, readable};

/// What is over by more is so by a clock that is wrong: a dead battery's 2099 must not cost what somebody was given. It is
/// not in force, and stays in the file until the clock is right.
const BELIEVED: Duration = Duration::from_secs(366 * 86_400);

/// The right to change exceptions: the folder, locked.
pub struct Changing {
    places: Places,
    _lock: Flock<File>,
}

impl Changing {
    /// Waits until nobody else changes any.
    pub fn begin() -> Result<Changing, Exit> {
        let places = Places::system();
        let failed = |error: &dyn std::fmt::Display| {
            not_so(format!(
                "cannot lock {}: {error}",
                places.exceptions.display()
            ))
        };
        let folder = ExceptionFile::folder(&places).map_err(|error| failed(&error))?;
        let lock = Flock::lock(folder, FlockArg::LockExclusive);
        let lock = lock.map_err(|(_, errno)| failed(&errno))?;
        Ok(Changing {
            places,
            _lock: lock,
        })
    }

    /// A user's.
    pub fn of(&self, uid: u32) -> ExceptionFile {
        ExceptionFile::of(&self.places, uid)
    }
}

/// Takes back what is over, and adds what came of it. What still cannot be taken from a user (memory in use) is tried
/// again next time; and one user's trouble keeps no other from theirs.
pub fn end_those_that_are_over(helper: &Helper, told: &mut Vec<Applied>) -> Result<(), Exit> {
    let now = SystemTime::now();
    let mut done = Ok(());
    for uid in ExceptionFile::uids(&Places::system()) {
        done = done.and(end(uid, now, helper, told));
    }
    done
}

fn end(uid: u32, now: SystemTime, helper: &Helper, told: &mut Vec<Applied>) -> Result<(), Exit> {
    let goes = |one: &Exception| {
        let since = now.duration_since(one.end());
        one.is_over(now) && since.is_ok_and(|since| since < BELIEVED)
    };
    // What is not believed is kept; what it gave goes once, and once again where the clock was right meanwhile.
    let is_new = |one: &Exception| one.is_over(now) != one.is_taken_back;
    let all = ExceptionFile::of(&Places::system(), uid).read();
    let is_due = |one: &Exception| goes(one) || is_new(one);
    if !all.map_err(not_so)?.iter().any(is_due) {
        return Ok(());
    }
    let applied = bring(helper, uid, "expired")?;
    let is_done = applied.iter().all(|one| one.left.is_empty());
    told.extend(applied);
    if is_done {
        // Not earlier: nobody who makes an exception waits for the helper. What they made meanwhile is not over.
        let changing = Changing::begin()?;
        let file = changing.of(uid);
        let all = file.read().map_err(not_so)?;
        let (over, mut kept): (Vec<_>, Vec<_>) = all.into_iter().partition(goes);
        let known = kept.iter_mut().filter(|one| is_new(one));
        let known = known
            .map(|one| one.is_taken_back = one.is_over(now))
            .count();
        if !over.is_empty() || known > 0 {
            file.write(&kept).map_err(not_so)?;
            log("unset", uid, "expired", &over);
        }
    }
    Ok(())
}

/// A user's that are in force, one line each and as objects. A file that cannot be used is told of.
pub fn shown(user: &str, uid: u32) -> (Vec<String>, Vec<serde_json::Value>) {
    let list = match Exceptions::in_force(&Places::system(), uid) {
        Ok(exceptions) => {
            let login = Login::known_as(user, uid);
            let told = |error: &StateError| {
                not_so(error);
            };
            let places = Places::system();
            exceptions.of_user(&places, &login, told).list().to_vec()
        }
        Err(error) => {
            not_so(error);
            Vec::new()
        }
    };
    let line = |one: &Exception| {
        let mut text = format!("{one}, by {}", one.by);
        if let Some(reason) = &one.reason {
            text += &format!(": \"{}\"", readable::harmless(reason));
        }
        text
    };
    let mut objects = objects(&list);
    for object in &mut objects {
        object["uid"] = json!(uid);
    }
    (list.iter().map(line).collect(), objects)
}

/// Exceptions for programs.
pub fn objects(exceptions: &[Exception]) -> Vec<serde_json::Value> {
    let one = |one: &Exception| {
        json!({
            "key": one.key,
            "value": one.shown_value(),
            "until": LocalTime::rfc3339(one.end()),
            "by": one.by,
            "reason": one.reason,
        })
    };
    exceptions.iter().map(one).collect()
}

/// Prints which exceptions a user has now, and what came of it for their sessions, as one object.
pub fn print_json(
    (user, uid): (&str, u32),
    all: &[Exception],
    applied: &[Applied],
) -> Result<(), Exit> {
    json::print(json!({
        "user": user,
        "uid": uid,
        "exceptions": objects(all),
        "applied": applied::objects(applied),
    }))
}

/// Brings one user's caps up to date.
pub fn bring(helper: &Helper, uid: u32, by: &str) -> Result<Vec<Applied>, Exit> {
    helper.bring(&[format!("--uid={uid}"), format!("--by={by}")])
}

/// Writes to the log what became of a user's exceptions.
pub fn log(event: &str, uid: u32, by: &str, exceptions: &[Exception]) {
    for one in exceptions {
        Line::new(event)
            .field("uid", uid)
            .optional("user", one.user.as_ref())
            .field("key", &one.key)
            .field("value", one.shown_value())
            .field("until", one.until_text())
            .field("by", by)
            .optional("reason", one.reason.as_ref())
            .notice();
    }
}
