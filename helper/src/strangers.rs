//! Who is in a session's cgroup by mistake.
//!
//! The kernel and systemd take a process by its PID. Whoever has typed `su` can kill it, and see to it that the next
//! process of anybody's gets its PID, just when Berth has that moved.

use berth_session::{Group, Line, Stat, Tree, UserFolder};

use crate::leader::uids;

/// How often a cgroup is looked at that goes on filling: each may start others before it is moved.
const LOOKS: u32 = 100;

/// Takes everybody out of cgroups in which nothing is the session's: its leader has ended before it was open.
pub fn let_go(tree: &Tree, groups: &[Group]) {
    for group in groups {
        for _ in 0..LOOKS {
            let strangers = group.processes().unwrap_or_default().into_iter();
            if strangers.filter(|pid| put_back(tree, *pid, group)).count() == 0 {
                break;
            }
        }
    }
}

/// Moves one out of a cgroup, to where it may have come from. Says whether it could.
pub fn put_back(tree: &Tree, pid: i32, from: &Group) -> bool {
    let Ok(Some([owner, _])) = uids(pid) else {
        return false; // It has ended.
    };
    let none = || "there is no cgroup that it may have come from".into();
    let place = place_of(tree, pid, &owner, from).ok_or_else(none);
    let move_to = |place: Group| place.write("cgroup.procs", &pid.to_string());
    let Err(why) = place.and_then(|place| move_to(place).map_err(|error| error.to_string())) else {
        return true;
    };
    let text = "has the PID of a login that was killed, and ends with its session";
    let line = Line::new("leader").field("pid", pid);
    line.field("error", format!("{text}: {why}")).error();
    false
}

/// Its parent's cgroup, where it was started. But a user's never goes where nobody else of theirs is: the parent of an
/// orphan is PID 1 or a berth's init, whose cgroups have no caps. It goes to one of its owner's sessions then.
fn place_of(tree: &Tree, pid: i32, owner: &str, from: &Group) -> Option<Group> {
    let parent = Stat::of(pid).ok()??.field(4)?;
    if matches!(uids(parent), Ok(Some([real, _])) if real == owner) {
        return tree.of_process(parent).ok()?;
    }
    let records = UserFolder::records_of(owner.parse().ok()?).into_iter();
    let mut groups = records.filter_map(|record| Some(tree.group(record.cgroup.as_ref()?)));
    groups.find(|group| group != from && group.is_populated())
}
