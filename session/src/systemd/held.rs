//! Units of a user's that are held at the tasks that they have, so that nobody but a login takes the room that it is given.
//! What they could have before stands in the user's folder, so that the hold ends with the need, and not with the units.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::caps::set_while_it_runs;
use super::{Bus, Property, Value};
use crate::folder::USERS;
use crate::regular::{read_if_there, remove_if_there, replace_json, unfinished};
use crate::{Group, Result, Tree, UserFolder};

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
    /// Of a user; the caller need not hold the lock.
    pub fn of(uid: u32) -> Result<Option<Held>> {
        Held::read(&Path::new(USERS).join(uid.to_string()).join(HELD))
    }

    /// The users of whom something is held, and of whom nobody can tell.
    pub fn uids() -> Result<Vec<u32>> {
        let mut uids = UserFolder::uids()?;
        uids.retain(|uid| !matches!(Held::of(*uid), Ok(None)));
        Ok(uids)
    }

    /// What is no list is taken for none: nobody could give anything back by it.
    fn read(path: &Path) -> Result<Option<Held>> {
        let text = read_if_there(path)?;
        Ok(text.and_then(|text| serde_json::from_slice(&text).ok()))
    }
}

/// Holds units at so many tasks, beside a user's cap.
pub fn hold(folder: &UserFolder, tasks_max: u64, units: &[(Group, u64)]) -> Result<()> {
    let path = folder.path().join(HELD);
    let mut held = Held::read(&path)?.unwrap_or_default();
    held.tasks_max = tasks_max;
    for (unit, _) in units {
        let before = match unit.read("pids.max") {
            Ok(max) => max.trim().parse().unwrap_or(u64::MAX), // `max`
            Err(_) if !unit.exists() => continue,              // It has ended meanwhile.
            Err(error) => return Err(error),
        };
        held.units.entry(unit.name().into()).or_insert(before);
    }
    replace_json(&path, &held)?;
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
pub fn give_back(tree: &Tree, folder: &UserFolder, uid: u32) -> Result<()> {
    let path = folder.path().join(HELD);
    remove_if_there(&unfinished(&path))?; // of somebody who was killed
    let held = Held::read(&path)?.unwrap_or_default();
    if !held.units.is_empty() {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::own_folder::Folder;

    #[test]
    fn a_list_that_cannot_be_read_is_not_taken_for_none() {
        let folder = Folder::new();
        let path = folder.join("held");
        assert!(Held::read(&path).unwrap().is_none());
        std::fs::write(&path, r#"{"tasks_max":40,"units":{"session-1.scope":50}}"#).unwrap();
        assert_eq!(
            Held::read(&path).unwrap().unwrap().units["session-1.scope"],
            50
        );
        std::fs::write(&path, "no list").unwrap();
        assert!(Held::read(&path).unwrap().is_none());
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        assert!(Held::read(&path).is_err());
    }
}
