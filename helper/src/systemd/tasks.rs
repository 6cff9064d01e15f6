//! The way in for a user who has used up their tasks.
//!
//! In systemd's tree there is no cgroup between a user's and their sessions' that could have the cap while the
//! user's has a little more. So the units that are there are held at what they have, and the slice is given
//! some more: for the new session, since nobody else can take it.

use std::fs;

use berth_session::systemd::{Bus, Property, Value, set_while_it_runs};
use berth_session::{Group, Tree};

use crate::cgroup::{NEEDED, RESERVE, Setting};
use crate::error::Result;

/// A user's caps, with room for the tasks of a login. `session` is where that is or will be.
pub fn with_room(
    tree: &Tree,
    slice: &Group,
    session: Option<&Group>,
    user: &[Setting],
) -> Result<Vec<Setting>> {
    let mut user = user.to_vec();
    let cap = user.iter_mut().find(|setting| setting.file == "pids.max");
    let max = cap.as_ref().and_then(|cap| cap.value.parse::<u64>().ok());
    let (Some(cap), Some(max)) = (cap, max) else {
        return Ok(user);
    };
    let now = slice.number::<u64>("pids.current").unwrap_or(0);
    if now.saturating_add(NEEDED.min(max)) <= max {
        return Ok(user);
    }
    let mut bus = Bus::connect()?;
    for unit in units(tree, slice) {
        let has = unit.number::<u64>("pids.current").unwrap_or(0);
        // One that has none has just ended, or is about to begin.
        if Some(&unit) != session && has > 0 && unit.number::<u64>("pids.max") != Some(has) {
            let held = Property::new("TasksMax", Value::Number(has));
            match set_while_it_runs(&mut bus, unit.name(), held) {
                Err(_) if !unit.exists() => {} // It has ended meanwhile.
                set => set?,
            }
        }
    }
    cap.value = max.saturating_add(RESERVE).to_string();
    Ok(user)
}

fn units(tree: &Tree, slice: &Group) -> Vec<Group> {
    let all = fs::read_dir(slice.path()).into_iter().flatten().flatten();
    let folders = all.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    folders
        .filter_map(|entry| {
            let name = entry.file_name();
            Some(tree.group(&tree.below(slice).join(name.to_str()?)))
        })
        .collect()
}
