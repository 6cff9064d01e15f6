//! Penalties, a round each minute (`berth apply --due`): what users have used, and what comes of it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::time::{SystemTime, UNIX_EPOCH};

use berth_config::{
    Login, Machine, Places, Policy, Standing, Standings, StateError, Track, Tracks,
};
use berth_session::{Applied, Group, Line, Tree, UserFolder};
use nix::fcntl::Flock;

use crate::exit::{Exit, not_so};
use crate::helper::{Helper, or_left};
use crate::{live, lock, place};

mod look;
pub mod shown;
mod told;
mod watched;

pub use told::read as of_user;

use watched::{Seen, Watched, offence};

/// The right to change who stands where.
pub struct Changing {
    places: Places,
    standings: Standings,
    tracks: Tracks,
    /// The file was damaged: what it said of users' quotas is not known.
    is_lost: bool,
    _lock: Flock<File>,
}

/// A step up or down.
struct Turn {
    standing: Standing,
    because: String,
    /// What the user is to be told, where they are.
    say: Option<String>,
}

impl Changing {
    /// Waits until nobody else does. What is damaged is named, and begins anew. Nothing that can be put right (a
    /// mode, a disk, a version) costs anybody their step.
    fn begin() -> Result<Changing, Exit> {
        let places = Places::system();
        let path = places.tracks.with_extension("lock");
        let lock = lock::wait(&path)
            .map_err(|error| not_so(format!("cannot lock {}: {error}", path.display())))?;
        let (standings, is_lost) = match Standings::read(&places) {
            Err(error @ StateError::Damaged { .. }) => {
                not_so(error);
                (Standings::default(), true)
            }
            standings => (standings.map_err(not_so)?, false),
        };
        let tracks = Tracks::read(&places);
        Ok(Changing {
            is_lost,
            standings,
            tracks: tracks.map_err(not_so).unwrap_or_default(),
            places,
            _lock: lock,
        })
    }

    fn write(&self) -> Result<(), Exit> {
        // In this order: an offence that is lost is better than one that counts twice.
        self.tracks.write(&self.places).map_err(not_so)?;
        let path = &self.places.penalties;
        if self.is_lost {
            // What is left of it may be of use to who wants to know.
            fs::rename(path, path.with_extension("damaged"))
                .map_err(|error| not_so(format!("cannot put {} aside: {error}", path.display())))?;
        }
        self.standings.write(&self.places).map_err(not_so)?;
        // No caps hang on it. The next round writes it anew, and until then a step that is over shows as over by its time.
        let _ = told::write(&self.standings.users);
        Ok(())
    }
}

/// Looks at all whom a penalty watches, and moves them up and down.
pub fn round(policy: &Policy, helper: &Helper) -> Result<Vec<Applied>, Exit> {
    let places = Places::system();
    if !policy.has_penalties() && !places.penalties.exists() {
        return Ok(Vec::new());
    }
    let tree = Tree::find().map_err(live::failed)?;
    let machine = place::machine().map_err(not_so)?;
    let mut changing = Changing::begin()?;
    // Not before it has waited: the wall clock, which it is compared with, is read after that.
    let boot = look::since_boot().ok_or_else(|| not_so("this kernel has no CLOCK_BOOTTIME"))?;
    let uids = UserFolder::uids();
    let mut turns = changing.turn(uids.as_deref().ok(), policy, &machine, &tree, boot);
    // What is not written is not so; but who has served their time gets all back, whatever can be read or written.
    let written = changing.write();
    if written.is_err() {
        turns.values_mut().for_each(|turn| turn.say = None);
    } else {
        turns.iter().for_each(|(uid, turn)| turn.log(*uid));
    }
    let is_lost = changing.is_lost;
    let lost = if is_lost { Err(Exit::Partly) } else { Ok(()) };
    let listed = uids.map(drop).map_err(live::failed);
    let (mut all, mut done) = (Vec::new(), written.and(lost).and(listed));
    // One who cannot be brought to their step keeps nobody from theirs.
    let mut part = |uids: &[u32], say: Option<&str>| match bring(helper, uids, say) {
        Ok(applied) => all.extend(applied),
        Err(exit) => done = Err(exit),
    };
    // All others whom a file names, too: a login may have come between a setting of the clock and this.
    let named = changing.standings.users.keys().copied();
    let named: Vec<u32> = named.filter(|uid| !turns.contains_key(uid)).collect();
    drop(changing);
    for (uid, turn) in turns {
        part(&[uid], turn.say.as_deref());
    }
    if is_lost || !named.is_empty() {
        // Without any, everybody.
        let uids = if is_lost { &[][..] } else { &named };
        part(uids, None);
    }
    all.retain(|one| !one.changes.is_empty() || !one.left.is_empty());
    done.map(|()| all)
}

fn bring(helper: &Helper, uids: &[u32], say: Option<&str>) -> Result<Vec<Applied>, Exit> {
    let mut words = vec!["--by=penalty".to_owned()];
    words.extend(uids.iter().map(|uid| format!("--uid={uid}")));
    words.extend(say.map(|text| format!("--say={text}")));
    helper.bring(&words)
}

impl Changing {
    /// One round. Gives back who is on another step than before, or on none.
    fn turn(
        &mut self,
        uids: Option<&[u32]>,
        policy: &Policy,
        machine: &Machine,
        tree: &Tree,
        boot: u64,
    ) -> BTreeMap<u32, Turn> {
        let now = self.set_the_clock(boot);
        let seen = uids.unwrap_or_default();
        let seen = seen
            .iter()
            .map(|uid| (*uid, Seen::of(*uid, policy, machine)));
        let seen: BTreeMap<u32, Seen> = seen.collect();
        // Nobody gets a new window by a directory that does not answer for a minute, or a folder that cannot be read.
        if uids.is_some() {
            let goes_on =
                |uid: &u32| matches!(seen.get(uid), Some(Seen::Watched(_) | Seen::Unknown));
            self.tracks.users.retain(|uid, _| goes_on(uid));
        }
        let mut turns = self.of_others(&seen);
        turns.extend(self.offences(&seen, tree, now));
        self.ends(&seen, policy.has_penalties(), now, &mut turns);
        turns
    }

    /// What time it is. What is kept of times goes along with a clock that was set.
    fn set_the_clock(&mut self, boot: u64) -> u64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.map_or(0, |now| now.as_secs());
        let jump = self.tracks.jump(now, boot);
        let standings = self.standings.users.values_mut();
        standings.for_each(|standing| standing.shift(jump));
        (self.tracks.wall, self.tracks.boot) = (now, boot);
        now
    }

    /// Ends those of whoever had a user's UID before, or the user under another name: nobody can tell these two apart.
    fn of_others(&mut self, seen: &BTreeMap<u32, Seen>) -> BTreeMap<u32, Turn> {
        let mut turns = BTreeMap::new();
        for (uid, user) in seen {
            let Some(user) = user.watched() else {
                continue;
            };
            let login = Login::known_as(&user.name, *uid);
            let users = &mut self.standings.users;
            if users.get(uid).is_some_and(|one| !login.is(&one.user)) {
                let because = format!("its UID is {}'s now", user.name);
                let standing = users.remove(uid);
                turns.extend(standing.map(|one| (*uid, Turn::end(one, because, None))));
                self.begin_anew(*uid);
            }
        }
        turns
    }

    /// Looks at all who are watched. Who has used too much goes a step up.
    fn offences(
        &mut self,
        seen: &BTreeMap<u32, Seen>,
        tree: &Tree,
        now: u64,
    ) -> BTreeMap<u32, Turn> {
        let mut turns = BTreeMap::new();
        let mut files = look::Files::new();
        let pools = tree.pools().unwrap_or_default();
        for (uid, user) in seen
            .iter()
            .filter_map(|(uid, seen)| Some((*uid, seen.watched()?)))
        {
            let before = self.standings.users.get(&uid).cloned();
            // Where nobody can look, the next minute's look counts.
            let group = tree.existing_user_of(&pools, uid).ok().flatten();
            let offence =
                group.and_then(|group| self.look(uid, user, before.as_ref(), &group, &mut files));
            let is_other = before
                .as_ref()
                .is_some_and(|before| !before.is_over && !before.is_of(&user.penalty));
            let Some(because) = offence.filter(|_| !is_other) else {
                continue; // One of another penalty ends first.
            };
            let after = Standing::after_offence(before.as_ref(), &user.penalty, &user.name, now);
            if let Some(standing) = after {
                self.standings.users.insert(uid, standing.clone());
                let say = user.told(up(&standing, &because));
                turns.insert(
                    uid,
                    Turn {
                        standing,
                        because,
                        say,
                    },
                );
            }
        }
        turns
    }

    /// Ends the steps whose time is over, and those that the policy has no more, of all who have not gone up just now.
    fn ends(
        &mut self,
        seen: &BTreeMap<u32, Seen>,
        has_penalties: bool,
        now: u64,
        turns: &mut BTreeMap<u32, Turn>,
    ) {
        for (uid, standing) in std::mem::take(&mut self.standings.users) {
            if turns.contains_key(&uid) {
                self.standings.users.insert(uid, standing);
                continue;
            }
            let is_dropped = match seen.get(&uid) {
                Some(Seen::Watched(user)) => !standing.is_of(&user.penalty),
                Some(Seen::Unwatched) => true,
                Some(Seen::Unknown) | None => !has_penalties,
            };
            let (after, mut ends) = standing.clone().pass(now);
            let mut because = "its time is over";
            match after {
                Some(after) if is_dropped => {
                    ends = !standing.is_over;
                    because = "the policy has it no more";
                    self.standings.users.insert(uid, after.drop_soon(now));
                }
                Some(after) => {
                    self.standings.users.insert(uid, after);
                }
                None => {}
            }
            if ends {
                let watched = seen.get(&uid).and_then(Seen::watched);
                let say = watched.and_then(|user| user.told(down(&standing)));
                self.begin_anew(uid);
                turns.insert(uid, Turn::end(standing, because.into(), say));
            }
        }
    }

    /// Takes a look at a user; what they did, if it was too much for too long.
    fn look(
        &mut self,
        uid: u32,
        user: &Watched,
        standing: Option<&Standing>,
        group: &Group,
        files: &mut look::Files,
    ) -> Option<String> {
        let penalty = &user.penalty;
        let look = look::look(group, &penalty.except, files)?;
        let Some(track) = self.tracks.users.get_mut(&uid) else {
            self.tracks.users.insert(uid, Track::begin(look));
            return None;
        };
        let mean = track.look(look, penalty.window)?;
        let offence = offence(mean, penalty, standing)?;
        track.begin_anew();
        Some(offence)
    }

    /// A user's window begins now.
    fn begin_anew(&mut self, uid: u32) {
        if let Some(track) = self.tracks.users.get_mut(&uid) {
            track.begin_anew();
        }
    }
}

fn up(standing: &Standing, offence: &str) -> String {
    let Standing {
        penalty,
        step,
        steps,
        share,
        ..
    } = standing;
    let until = standing.until_text();
    format!(
        "berth: {offence}: penalty {penalty}, step {step} of {steps}, leaves you {share} of your cpu_quota until {until}"
    )
}

fn down(standing: &Standing) -> String {
    let penalty = &standing.penalty;
    format!("berth: penalty {penalty} is over: your cpu_quota is whole again")
}

impl Turn {
    /// Back to all of the quota.
    fn end(standing: Standing, because: String, say: Option<String>) -> Turn {
        let standing = Standing {
            is_over: true,
            ..standing
        };
        Turn {
            standing,
            because,
            say,
        }
    }

    fn log(&self, uid: u32) {
        let standing = &self.standing;
        let (step, share, until) = match standing.is_over {
            true => (0, "100%".into(), String::new()),
            false => (
                standing.step,
                standing.share.to_string(),
                standing.until_text(),
            ),
        };
        Line::new("penalty")
            .field("user", &standing.user)
            .field("uid", uid)
            .field("penalty", &standing.penalty)
            .field("step", step)
            .field("steps", standing.steps)
            .field("cpu_quota", share)
            .field("until", until)
            .field("because", &self.because)
            .notice();
    }
}

/// Ends a user's penalty, and forgets it; `None` where they have none.
pub fn forgive(uid: u32, by: &str, helper: &Helper) -> Result<Option<Vec<Applied>>, Exit> {
    let mut changing = Changing::begin()?;
    let Some(standing) = changing.standings.users.remove(&uid) else {
        return Ok(None);
    };
    changing.begin_anew(uid);
    changing.write()?;
    drop(changing);
    let text = (!standing.is_over).then(|| down(&standing));
    let say = text.and_then(|text| {
        let policy = Policy::load_system().ok()?;
        let seen = Seen::of(uid, &policy, &place::machine().ok()?);
        seen.watched()?.told(text)
    });
    let turn = Turn::end(standing, format!("forgiven by {by}"), say);
    turn.log(uid);
    let brought = bring(helper, &[uid], turn.say.as_deref());
    Ok(Some(or_left(brought, (&turn.standing.user, uid))))
}
