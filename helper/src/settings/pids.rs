//! The pids controller, and the way in for a user who has used up their tasks.

use berth_config::outcome::{Caps, Limit};
use berth_session::{Controller, Group};

use super::{Setting, limit};

/// Tasks above a user's cap that only a login opened at the cap can use: enough for sshd's process, a
/// shell and the few commands that end a fork bomb.
pub const RESERVE: u64 = 16;

/// The kernel's PID_MAX_LIMIT: there are never more tasks, and it refuses a higher cap.
const MOST: u64 = 4 << 20;

/// A login that finds fewer tasks than this left below the cap is opened on the reserve.
pub const NEEDED: u64 = 8;

/// A user's task cap, as it is spread over the user's cgroups.
#[derive(Debug)]
pub struct UserTasks {
    max: Option<u64>,
    with_reserve: Vec<Setting>,
    cap: Vec<Setting>,
    reserve: Vec<Setting>,
}

impl UserTasks {
    /// Works it out.
    pub fn of(caps: &Caps) -> UserTasks {
        let max = match caps.tasks_max {
            Some(Limit::Finite(max)) => Some(max),
            Some(Limit::Infinity) | None => None,
        };
        let set = |value: Limit| caps.tasks_max.map(|_| setting(value)).into_iter().collect();
        let finite = |value: Option<u64>| value.map_or(Limit::Infinity, Limit::Finite);
        UserTasks {
            max,
            with_reserve: set(finite(max.map(with_reserve))),
            cap: set(finite(max)),
            reserve: set(finite(max.map(|_| RESERVE))),
        }
    }

    /// For the user's cgroup: the cap and the reserve.
    pub fn with_reserve(&self) -> &[Setting] {
        &self.with_reserve
    }

    /// For the cgroup of all ordinary sessions: the cap.
    pub fn cap(&self) -> &[Setting] {
        &self.cap
    }

    /// For the cgroup of sessions opened at the cap: the reserve.
    pub fn reserve(&self) -> &[Setting] {
        &self.reserve
    }

    /// Whether a login would not have the tasks that it needs to begin.
    pub fn are_used_up(&self, sessions: &Group) -> bool {
        let (Some(max), Some(current)) = (self.max, sessions.number::<u64>("pids.current")) else {
            return false;
        };
        current.saturating_add(NEEDED.min(max)) > max
    }
}

/// A user's cap and the reserve.
pub fn with_reserve(max: u64) -> u64 {
    max.saturating_add(RESERVE).min(MOST)
}

/// The task cap of a session or a pool, which have no reserve.
pub fn whole(caps: &Caps) -> Option<Setting> {
    caps.tasks_max.map(setting)
}

/// So many tasks and no more.
pub fn tasks(max: Option<u64>) -> Option<Setting> {
    max.map(|max| setting(Limit::Finite(max)))
}

fn setting(value: Limit) -> Setting {
    let value = match value {
        Limit::Finite(max) => Limit::Finite(max.min(MOST)),
        Limit::Infinity => Limit::Infinity,
    };
    Setting::new("tasks_max", Controller::Pids, "pids.max", limit(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::folder::Folder;

    #[test]
    fn the_reserve_is_above_the_users_cap_and_beside_their_sessions() {
        let caps = Caps {
            tasks_max: Some(Limit::Finite(100)),
            ..Caps::default()
        };
        let tasks = UserTasks::of(&caps);
        let value = |settings: &[Setting]| settings[0].value.clone();
        assert_eq!(value(tasks.cap()), "100");
        assert_eq!(value(tasks.with_reserve()), "116");
        assert_eq!(value(tasks.reserve()), "16");
        assert!(UserTasks::of(&Caps::default()).cap().is_empty());
    }

    #[test]
    fn no_cap_is_more_than_the_kernel_takes() {
        for (max, cap, with_reserve) in [
            (4194287, "4194287", "4194303"),
            (4194304, "4194304", "4194304"),
            (u64::MAX, "4194304", "4194304"),
        ] {
            let caps = Caps {
                tasks_max: Some(Limit::Finite(max)),
                ..Caps::default()
            };
            let tasks = UserTasks::of(&caps);
            assert_eq!(tasks.cap()[0].value, cap);
            assert_eq!(tasks.with_reserve()[0].value, with_reserve);
            assert_eq!(whole(&caps).unwrap().value, cap);
        }
    }

    #[test]
    fn a_login_that_finds_fewer_tasks_left_than_it_needs_is_opened_on_the_reserve() {
        let folder = Folder::new();
        for (max, current, expected) in [
            (Some(Limit::Finite(100)), 92, false),
            (Some(Limit::Finite(100)), 93, true),
            // With a cap below what a login needs, whoever has nothing running has it all left.
            (Some(Limit::Finite(4)), 0, false),
            (Some(Limit::Finite(4)), 1, true),
            (Some(Limit::Infinity), 1000, false),
            (None, 1000, false),
        ] {
            folder.write("pids.current", format!("{current}\n"));
            let tasks = UserTasks::of(&Caps {
                tasks_max: max,
                ..Caps::default()
            });
            let used_up = tasks.are_used_up(&folder.group());
            assert_eq!(used_up, expected, "{current} of {max:?}");
        }
    }
}
