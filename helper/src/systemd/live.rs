//! The caps of slices and scopes that are in use, brought to what the policy says now.

use std::time::Instant;

use berth_session::systemd::{self, Bus, DROP_INS, Property, TRANSIENT, Value};
use berth_session::{Applied, Group, Tree, UserFolder};

use super::in_force::{self, State};
use super::{EFFECT, properties, tasks};
use crate::error::Result;
use crate::settings::standing::{Standing, make_room, standing, unset};
use crate::settings::{self, How, Setting, is_same, missing};

/// What is known of a slice's caps, and where.
#[derive(Debug, Clone, Copy)]
pub enum Origin<'a> {
    /// systemd's own slice: in this folder stands what its caps were before the first login.
    Before(&'a UserFolder),
    /// A pool's, which is Berth's and has none.
    Transient,
    /// A session's scope: logind's, which had none of them before, or Berth's.
    Scope,
}

/// The caps of a user, on all slices that are theirs. The caller holds the lock on the user's folder, and knows their pools.
pub fn bring_user(
    tree: &Tree,
    folder: &UserFolder,
    (uid, pools): (u32, &[String]),
    settings: &[Setting],
    how: How,
    told: &mut Applied,
) -> Result<()> {
    let own = tree.user_in(None, uid);
    let in_pool = tree.existing_user_of(pools, uid)?;
    let in_pool = in_pool.filter(|group| *group != own);
    bring_slices(tree, folder, (&own, in_pool.as_ref()), settings, how, told)?;
    // Not before: whoever is at their cap again would take the room.
    let has_room = |slice: &Group| tasks::has_room(slice, settings);
    if !how.dry_run && !has_room(&own) && !in_pool.as_ref().is_some_and(has_room) {
        systemd::give_back(tree, folder, uid)?;
    }
    Ok(())
}

fn bring_slices(
    tree: &Tree,
    folder: &UserFolder,
    (own, in_pool): (&Group, Option<&Group>),
    settings: &[Setting],
    how: How,
    told: &mut Applied,
) -> Result<()> {
    if own.exists() {
        let settings = tasks::with_room_left(own, settings);
        bring(tree, own, Origin::Before(folder), &settings, how, told)?;
    }
    let Some(in_pool) = in_pool else {
        return Ok(());
    };
    // The same caps: told once.
    let mut twice = Applied::to(told.whose.clone());
    let settings = tasks::with_room_left(in_pool, settings);
    let told = match told.changes.is_empty() && told.left.is_empty() {
        true => told,
        false => &mut twice,
    };
    bring(tree, in_pool, Origin::Transient, &settings, how, told)
}

/// A session's own caps, on its scope, once its user's are as `user` says. The caller holds the lock on the user's folder.
pub fn bring_scope(
    tree: &Tree,
    scope: &Group,
    user: &[Setting],
    settings: &[Setting],
    how: How,
    told: &mut Applied,
) -> Result<()> {
    let slice = scope.parent().unwrap_or_else(|| scope.clone());
    let settings = tasks::held(scope, &slice, user, settings);
    bring(tree, scope, Origin::Scope, &settings, how, told)
}

/// Has systemd set what differs on a slice, and put back what the policy no longer says.
pub fn bring(
    tree: &Tree,
    slice: &Group,
    origin: Origin<'_>,
    settings: &[Setting],
    how: How,
    told: &mut Applied,
) -> Result<()> {
    let (wanted, changed) = sort(tree, slice, settings, how, told);
    let pool = tree.pool_of(slice);
    let properties = match pool.is_some_and(|pool| tree.pool(&pool) == *slice) {
        true => properties::of_pool(&wanted),
        false => properties::of(&wanted),
    };
    let stale = stale(slice, origin, settings, &properties)?;
    let folder = match origin {
        Origin::Before(_) => DROP_INS,
        Origin::Transient | Origin::Scope => TRANSIENT,
    };
    let is_due = !changed.is_empty() || !systemd::is_set(folder, slice.name(), &properties);
    if is_due && !how.dry_run && !properties.is_empty() {
        let mut bus = Bus::connect()?;
        match origin {
            Origin::Before(folder) => {
                systemd::set_caps(&mut bus, folder, slice.name(), &properties)?;
            }
            Origin::Transient | Origin::Scope => bus.set(slice.name(), &properties)?,
        }
    }
    // Read before: what systemd puts back may be there at once.
    let mut back = Applied::to(told.whose.clone());
    tell_put_back(slice, &stale, &mut back);
    if !stale.is_empty() && !how.dry_run {
        put_back(slice, origin, &stale)?;
    }
    let until = Instant::now() + EFFECT;
    for (setting, from) in changed {
        match how.dry_run {
            true => told.changed(setting.cap, setting.file, &from, &setting.value),
            false => match in_force::wait(tree, slice, setting, until) {
                None => told.changed(setting.cap, setting.file, &from, &setting.value),
                Some(_) if !slice.exists() => return Ok(()), // The user has just logged out.
                Some(reason) => missing(told, setting, how, &reason),
            },
        }
    }
    told.changes.append(&mut back.changes);
    Ok(())
}

/// What systemd is to be asked for, and of that what the slice has not, with what it has.
fn sort<'s>(
    tree: &Tree,
    slice: &Group,
    settings: &'s [Setting],
    how: How,
    told: &mut Applied,
) -> (Vec<Setting>, Vec<(&'s Setting, String)>) {
    let mut wanted = Vec::new();
    let mut changed = Vec::new();
    for setting in settings {
        match make_room(slice, setting, how.lowering()) {
            Standing::InUse(reason) | Standing::Unknown(reason) => {
                told.left(setting.cap, reason);
                continue;
            }
            Standing::Differs(from) => changed.push((setting, from)),
            Standing::NoFile => match in_force::look(tree, slice, setting) {
                State::Awaited(_) => changed.push((setting, "-".into())),
                _ => {
                    // Of two files of one cap the other may be there.
                    let mut all = settings::of_this_kernel(slice, settings);
                    if all.any(|one| one == setting) {
                        let text = format!("this kernel has no {} here", setting.file);
                        missing(told, setting, how, &text);
                    }
                    continue;
                }
            },
            Standing::Same => {}
        }
        wanted.push(setting.clone());
    }
    (wanted, changed)
}

/// What was set and is in the policy no longer, with what it goes back to.
fn stale(
    slice: &Group,
    origin: Origin<'_>,
    settings: &[Setting],
    wanted: &[Property],
) -> Result<Vec<Property>> {
    // What is left as it is, in use, was asked for all the same.
    let asked = properties::of(settings);
    let is_wanted = |name: &str| wanted.iter().chain(&asked).any(|one| one.name == name);
    let set = match origin {
        Origin::Before(folder) => systemd::before_login(folder)?,
        Origin::Transient => {
            let all = unset_properties();
            let is_set = |one: &Property| {
                let only = std::slice::from_ref(one);
                systemd::is_set(TRANSIENT, slice.name(), only)
            };
            all.into_iter().filter(is_set).collect()
        }
        Origin::Scope => {
            let mut all = unset_properties();
            all.retain(|one| is_berths(slice, one) && has_set(slice, one));
            all
        }
    };
    let stale = set.into_iter().filter(|one| !is_wanted(&one.name));
    Ok(stale.collect())
}

fn put_back(slice: &Group, origin: Origin<'_>, stale: &[Property]) -> Result<()> {
    let mut bus = Bus::connect()?;
    match origin {
        Origin::Before(folder) => {
            let names: Vec<_> = stale.iter().map(|one| one.name.as_str()).collect();
            systemd::put_back(&mut bus, folder, slice.name(), &names)?;
        }
        Origin::Transient => {
            bus.set(slice.name(), stale)?;
            for one in stale {
                // It would count as set.
                let _ = systemd::forget(TRANSIENT, slice.name(), &one.name);
            }
        }
        // What it was made with stands in its unit file, and would be read again there.
        Origin::Scope => bus.set(slice.name(), stale)?,
    }
    Ok(())
}

/// Whether a property of a scope is one that Berth has set, and not logind with the scope (a JSON user record's).
fn is_berths(scope: &Group, property: &Property) -> bool {
    scope.name().starts_with("berth-")
        || systemd::is_set(TRANSIENT, scope.name(), std::slice::from_ref(property))
}

/// Whether the kernel has another value than where nobody has set the property.
fn has_set(scope: &Group, property: &Property) -> bool {
    let differs = |one: &Setting| matches!(standing(scope, one), Standing::Differs(_));
    let mut rates = properties::RATES.iter();
    match rates.find(|(_, name)| *name == property.name) {
        Some((key, _)) => {
            let disks = scope.read("io.max").unwrap_or_default();
            let mut words = disks.split_whitespace();
            words.any(|word| word.strip_prefix(key).is_some_and(|rate| rate != "=max"))
        }
        None => unset()
            .filter(|one| is_of(one, property))
            .any(|one| differs(&one)),
    }
}

/// Whether a setting is what becomes of a property.
fn is_of(setting: &Setting, property: &Property) -> bool {
    let made = properties::of(std::slice::from_ref(setting));
    made.iter().any(|made| made.name == property.name)
}

/// Every property of a slice as it is where nobody has set it.
fn unset_properties() -> Vec<Property> {
    let mut all: Vec<Property> = Vec::new();
    for mut one in properties::of(&unset().collect::<Vec<_>>()) {
        if one.name.ends_with("Weight") {
            one.value = Value::Number(u64::MAX);
        }
        if all.iter().all(|other| other.name != one.name) {
            all.push(one);
        }
    }
    for (_, name) in properties::RATES {
        all.push(Property::new(name, Value::Rates(Vec::new())));
    }
    all
}

fn tell_put_back(slice: &Group, stale: &[Property], told: &mut Applied) {
    for property in stale {
        let Some(mut one) = unset().find(|one| is_of(one, property)) else {
            told.changed(&property.name, "io.max", "set", "as before");
            continue;
        };
        match &property.value {
            Value::Number(u64::MAX) => {}
            Value::Number(us) if one.file == "cpu.max" => {
                one.value = format!("{} 100000", us / 10);
            }
            Value::Number(number) => one.value = number.to_string(),
            _ => {}
        }
        let now = slice.read(one.file).unwrap_or_default();
        match is_same(&one, now.trim()) {
            true => told.changed(one.cap, one.file, "set", &one.value),
            false => told.changed(one.cap, one.file, now.trim(), &one.value),
        }
    }
}
