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
    let others = to_be_held(tree, slice, session);
    if !others.is_empty() {
        let mut bus = Bus::connect()?;
        for (unit, has) in others {
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

/// The units beside a session that are not yet held at what they have, and that.
fn to_be_held(tree: &Tree, slice: &Group, session: Option<&Group>) -> Vec<(Group, u64)> {
    let others = units(tree, slice).into_iter().filter_map(|unit| {
        let has = unit.number::<u64>("pids.current")?;
        // One that has none has just ended, or is about to begin.
        let is_held = has == 0 || unit.number::<u64>("pids.max") == Some(has);
        (Some(&unit) != session && !is_held).then_some((unit, has))
    });
    others.collect()
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

#[cfg(test)]
mod tests {
    use berth_session::{Controller, Manager};

    use super::*;
    use crate::cgroup::folder::Folder;

    #[test]
    fn a_user_without_room_for_a_login_gets_some_that_nobody_else_of_theirs_can_take() {
        let root = Folder::new("room", &[]);
        let tree = root.tree(Manager::Systemd);
        let slice = tree.user_in(None, 1001);
        let write = |group: &Group, [current, max]: [&str; 2]| {
            fs::create_dir_all(group.path()).unwrap();
            fs::write(group.path().join("pids.current"), current).unwrap();
            fs::write(group.path().join("pids.max"), max).unwrap();
        };
        write(&slice, ["92\n", "100\n"]);
        let cap = |value: &str| Setting {
            cap: "tasks_max",
            controller: Controller::Pids,
            file: "pids.max",
            value: value.into(),
        };
        let with_room = |caps: &[Setting]| with_room(&tree, &slice, None, caps).unwrap();
        for caps in [vec![cap("100")], vec![cap("max")], Vec::new()] {
            assert_eq!(with_room(&caps), caps);
        }
        write(&slice, ["93\n", "100\n"]);
        assert_eq!(with_room(&[cap("100")]), [cap("116")]);
        let [grows, held, ended, next] =
            [1, 2, 3, 4].map(|n| slice.child(&format!("session-{n}.scope")));
        write(&grows, ["60\n", "max\n"]);
        write(&held, ["33\n", "33\n"]);
        write(&ended, ["0\n", "max\n"]);
        write(&next, ["1\n", "max\n"]);
        assert_eq!(to_be_held(&tree, &slice, Some(&next)), [(grows, 60)]);
    }
}
