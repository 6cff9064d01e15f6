//! memory_min and memory_low, where they would come to nothing.
//!
//! The kernel protects a cgroup only as far as the one above it is protected, and a process only as far
//! as its own cgroup is (unless the tree is mounted with memory_recursiveprot). So a user's value must be
//! covered above, in its pool's and in everyone's cgroup, and stand again in the cgroups below.

use berth_session::Group;
pub use berth_session::PROTECTION as FILES;

use super::{Setting, cap_error};
use crate::error::Result;

fn protects(setting: &&Setting) -> bool {
    FILES.contains(&setting.file)
}

/// What a cgroup takes over from these values of another's, where it has none of its own.
pub fn inherited(values: &[Setting], own: &[Setting]) -> Vec<Setting> {
    let is_own = |file: &str| own.iter().any(|setting| setting.file == file);
    let values = values.iter().filter(protects);
    values
        .filter(|setting| !is_own(setting.file))
        .cloned()
        .collect()
}

/// Has a cgroup of several users cover what those below have, unless the policy gives it a value of its own.
/// It is their sum and no more: more would be shared out to users who have nothing, where the tree is
/// mounted with memory_recursiveprot.
pub fn cover(group: &Group, below: &[Setting], own: &[Setting]) -> Result<()> {
    for setting in &inherited(below, own) {
        if !group.path().join(setting.file).exists() {
            continue; // the user's own value was missing too, and that was dealt with
        }
        berth_session::cover(group, setting.file)
            .map_err(|error| cap_error("all users", setting, error.to_string()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use berth_config::outcome::{Caps, Limit};

    use super::*;
    use crate::settings::folder::Folder;
    use crate::settings::memory;

    #[test]
    fn a_session_takes_what_it_does_not_set_itself() {
        let caps = |low, min, max: Option<u64>| Caps {
            memory_low: low,
            memory_min: min,
            memory_max: max.map(Limit::Finite),
            ..Caps::default()
        };
        let user = memory::settings(&caps(
            Some(Limit::Finite(5)),
            Some(Limit::Infinity),
            Some(9),
        ));
        let session = memory::settings(&caps(Some(Limit::Finite(3)), None, None));
        let taken = inherited(&user, &session);
        let taken: Vec<_> = taken
            .iter()
            .map(|one| (one.file, one.value.as_str()))
            .collect();
        assert_eq!(taken, [("memory.min", "max")]);
    }

    #[test]
    fn what_users_have_of_their_own_is_covered_above_by_its_sum_and_no_more() {
        let folder = Folder::new();
        let has = |low: &[&str]| {
            for (user, low) in low.iter().enumerate() {
                folder.write(format!("user-{user}/memory.low"), format!("{low}\n"));
            }
        };
        let low = |bytes: Option<u64>| {
            memory::settings(&Caps {
                memory_low: bytes.map(Limit::Finite),
                ..Caps::default()
            })
        };
        let covered = |below, own| {
            folder.write("memory.low", "0\n");
            cover(&folder.group(), &low(below), &low(own)).unwrap();
            folder.read("memory.low")
        };
        has(&["5", "70"]);
        assert_eq!(covered(Some(70), None), "75");
        assert_eq!(covered(Some(70), Some(9)), "0\n", "the policy's own value");
        assert_eq!(covered(None, None), "0\n", "nobody has any");
        has(&["5", "max"]);
        assert_eq!(covered(Some(5), None), "max");
    }
}
