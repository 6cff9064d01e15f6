//! The way in for a user who has used up their tasks.
//!
//! In systemd's tree there is no cgroup between a user's and their sessions' that could have the cap while the
//! user's has a little more. So the units that are there are held at what they have, and the slice is given
//! some more: for the new session, since nobody else can take it.

use berth_session::{Group, UserFolder, systemd};

use crate::error::Result;
use crate::settings::{self, Setting, are_used_up};

/// A user's caps, with room for the tasks of a login where there is none. `session` is where that is or will be.
pub fn with_room(
    slice: &Group,
    folder: &UserFolder,
    session: Option<&Group>,
    user: &[Setting],
) -> Result<Vec<Setting>> {
    let Some(max) = max(user).filter(|max| are_used_up(slice, *max)) else {
        return Ok(user.to_vec());
    };
    systemd::hold(folder, max, &to_be_held(slice, session))?;
    Ok(with_reserve(user))
}

/// A user who was let in at their `tasks_max` keeps the room that this took, until they are below it.
pub fn with_room_left(slice: &Group, user: &[Setting]) -> Vec<Setting> {
    let has_left = max(user).is_some_and(|max| has_reserve(slice, max) && are_used_up(slice, max));
    match has_left {
        true => with_reserve(user),
        false => user.to_vec(),
    }
}

/// The caps of a unit of a user's. For as long as its user has room beyond their `tasks_max`, it gets no more tasks than it
/// has been given: whoever has used them up would take the room, and could never log in again. Whether it has is not
/// looked at twice: a user below `tasks_max` for a moment could take it all the same.
pub fn held(unit: &Group, slice: &Group, user: &[Setting], own: &[Setting]) -> Vec<Setting> {
    let mut own = own.to_vec();
    if has_room(slice, user) {
        let most = [max(&own), unit.number("pids.max")];
        own.retain(|setting| setting.file != "pids.max");
        own.extend(settings::tasks(most.into_iter().flatten().min()));
    }
    own
}

/// Whether a slice has room beyond its user's `tasks_max`.
pub fn has_room(slice: &Group, user: &[Setting]) -> bool {
    max(user).is_some_and(|max| has_reserve(slice, max))
}

fn has_reserve(slice: &Group, max: u64) -> bool {
    let has = slice.number("pids.max");
    // There is none above the most that the kernel takes.
    has != Some(max) && has == Some(settings::with_reserve(max))
}

/// The `tasks_max` of a user or a session.
fn max(settings: &[Setting]) -> Option<u64> {
    let cap = settings.iter().find(|setting| setting.file == "pids.max");
    cap?.value.parse().ok()
}

fn with_reserve(user: &[Setting]) -> Vec<Setting> {
    let room = max(user).map(settings::with_reserve);
    let mut user = user.to_vec();
    user.retain(|setting| setting.file != "pids.max");
    user.extend(settings::tasks(room));
    user
}

/// The units beside a session that are not yet held at what they have, and that.
fn to_be_held(slice: &Group, session: Option<&Group>) -> Vec<(Group, u64)> {
    let others = slice.children().filter_map(|unit| {
        let has = unit.number::<u64>("pids.current")?;
        let max = unit.number::<u64>("pids.max");
        // One that has none has just ended, or is about to begin.
        let is_held = has == 0 || max.is_some_and(|max| max <= has);
        (Some(&unit) != session && !is_held).then_some((unit, has))
    });
    others.collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use berth_session::{Backend, Controller};

    use super::*;
    use crate::settings::folder::Folder;

    #[test]
    fn a_user_without_room_for_a_login_gets_some_that_nobody_else_of_theirs_can_take() {
        let root = Folder::new();
        let tree = root.tree(Backend::Systemd);
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
        assert!(!are_used_up(&slice, 100));
        write(&slice, ["93\n", "100\n"]);
        assert!(are_used_up(&slice, 100));
        assert_eq!(with_reserve(&[cap("100")]), [cap("116")]);
        let [grows, held, ended, next, lowered] =
            [1, 2, 3, 4, 5].map(|n| slice.child(&format!("session-{n}.scope")));
        write(&grows, ["60\n", "max\n"]);
        write(&held, ["33\n", "33\n"]);
        write(&ended, ["0\n", "max\n"]);
        write(&next, ["1\n", "max\n"]);
        write(&lowered, ["33\n", "20\n"]);
        assert_eq!(to_be_held(&slice, Some(&next)), [(grows, 60)]);

        // Whoever sets caps while that lasts leaves it so.
        write(&slice, ["109\n", "116\n"]);
        let left = |own: &Group, caps: &[Setting]| super::held(own, &slice, &[cap("100")], caps);
        for (caps, of_held, of_next) in [
            (vec![cap("50")], "33", Some("50")),
            (vec![cap("20")], "20", Some("20")),
            (vec![cap("max")], "33", None),
            (vec![], "33", None),
        ] {
            assert_eq!(left(&held, &caps), [cap(of_held)]);
            assert_eq!(left(&next, &caps), Vec::from_iter(of_next.map(cap)));
        }
        assert_eq!(with_room_left(&slice, &[cap("100")]), [cap("116")]);
        assert_eq!(with_room_left(&slice, &[cap("101")]), [cap("101")]);
        write(&slice, ["92\n", "116\n"]);
        assert_eq!(with_room_left(&slice, &[cap("100")]), [cap("100")]);
        // Who is at their cap again by the time it is the units' turn has no more for that.
        assert_eq!(left(&held, &[cap("50")]), [cap("33")]);
        write(&slice, ["92\n", "100\n"]);
        assert_eq!(left(&held, &[cap("50")]), [cap("50")]);
        assert_eq!(left(&held, &[]), []);
        write(&slice, ["92\n", "4194304\n"]);
        let at_most = [cap("4194304")];
        assert_eq!(super::held(&held, &slice, &at_most, &[]), []);
    }
}
