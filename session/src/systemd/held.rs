//! Units of a user's that are held at the tasks that they have, so that nobody but a login takes the room that it is given.
//! What they could have before stands in the user's folder, so that the hold ends with the need, and not with the units.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::caps::set_while_it_runs;
use super::{Bus, Property, Value};
use crate::folder::{USERS, is_there, remove_if_there};
use crate::regular::replace_file;
use crate::{Error, Group, Result, Tree, UserFolder, read_file};

/// In a user's folder.
const HELD: &str = "held";

/// What is held.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Held {
    /// The user's own cap, beyond which their slice has room.
    pub tasks_max: u64,
    /// The `TasksMax` that units had before.
    pub units: BTreeMap<String, u64>,
}

impl Held {
    /// Of a user, as far as it can be read; the caller need not hold the lock.
    pub fn of(uid: u32) -> Option<Held> {
        let path = Path::new(USERS).join(uid.to_string()).join(HELD);
        serde_json::from_slice(&read_file(path).ok()?).ok()
    }

    /// The users of whom something is held.
    pub fn uids() -> Result<Vec<u32>> {
        let mut uids = UserFolder::uids()?;
        uids.retain(|uid| Held::of(*uid).is_some());
        Ok(uids)
    }
}

/// Holds units at so many tasks, beside a user's cap.
pub fn hold(folder: &UserFolder, uid: u32, tasks_max: u64, units: &[(Group, u64)]) -> Result<()> {
    let mut held = Held::of(uid).unwrap_or_default();
    held.tasks_max = tasks_max;
    for (unit, _) in units {
        let before = unit.number("pids.max").unwrap_or(u64::MAX);
        held.units.entry(unit.name().into()).or_insert(before);
    }
    let path = folder.path().join(HELD);
    let text = serde_json::to_vec(&held).map_err(|error| Error::file("write", &path, error))?;
    replace_file(&path, &path.with_extension("new"), &text, |_| ())
        .map_err(|error| Error::file("write", &path, error))?;
    if units.is_empty() {
        return Ok(());
    }
    let mut bus = Bus::connect()?;
    for (unit, has) in units {
        set(&mut bus, unit, *has)?;
    }
    Ok(())
}

/// Gives them back what they had. The caller holds the lock on the user's folder.
pub fn let_go(tree: &Tree, folder: &UserFolder, uid: u32) -> Result<()> {
    let path = folder.path().join(HELD);
    remove_if_there(&path.with_extension("new"))?; // of somebody who was killed
    if !is_there(&path)? {
        return Ok(());
    }
    let text = read_file(&path).map_err(|error| Error::file("read", &path, error))?;
    // What is no list of them can be given back by nobody.
    if let Ok(held) = serde_json::from_slice::<Held>(&text) {
        let mut bus = Bus::connect()?;
        let slices = [Some(tree.user_in(None, uid)), tree.existing_user(uid)?];
        for slice in slices.iter().flatten() {
            for (unit, before) in &held.units {
                let unit = slice.child(unit);
                if unit.exists() {
                    set(&mut bus, &unit, *before)?;
                }
            }
        }
    }
    remove_if_there(&path)
}

fn set(bus: &mut Bus, unit: &Group, tasks_max: u64) -> Result<()> {
    let property = Property::new("TasksMax", Value::Number(tasks_max));
    match set_while_it_runs(bus, unit.name(), property) {
        Err(_) if !unit.exists() => Ok(()), // It has ended meanwhile.
        set => set,
    }
}
