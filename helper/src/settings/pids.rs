//! The pids controller, and the way in for a user who has used up their tasks.

use berth_config::outcome::{Caps, Limit};
use berth_session::{Controller, Group};

use super::{Setting, limit};

/// Tasks above a user's cap that only a login opened at the cap can use: enough for sshd's process, a
/// shell and the few commands that end a fork bomb.
const RESERVE: u64 = 16;

/// The kernel's PID_MAX_LIMIT: there are never more tasks, and it refuses a higher cap.
const MOST: u64 = 4 << 20;

/// A login that finds fewer tasks than this left below the cap is opened on the reserve.
const NEEDED: u64 = 8;

/// A user's task cap, as it is spread over the user's cgroups.
#[derive(Debug)]
pub struct UserTasks(Option<Limit>);

impl UserTasks {
    /// What the policy says of it.
    pub fn of(caps: &Caps) -> UserTasks {
        UserTasks(caps.tasks_max)
    }

    /// For the user's cgroup: the cap and the reserve.
    pub fn with_reserve(&self) -> Option<Setting> {
        self.setting(with_reserve)
    }

    /// For the cgroup of all ordinary sessions: the cap.
    pub fn cap(&self) -> Option<Setting> {
        self.setting(|max| max)
    }

    /// For the cgroup of sessions opened at the cap: the reserve.
    pub fn reserve(&self) -> Option<Setting> {
        self.setting(|_| RESERVE)
    }

    fn setting(&self, of: impl Fn(u64) -> u64) -> Option<Setting> {
        let limit = match self.0? {
            Limit::Finite(max) => Limit::Finite(of(max)),
            Limit::Infinity => Limit::Infinity,
        };
        Some(setting(limit))
    }

    /// See [`are_used_up`].
    pub fn are_used_up(&self, sessions: &Group) -> bool {
        matches!(self.0, Some(Limit::Finite(max)) if are_used_up(sessions, max))
    }
}

/// Whether a login would not have the tasks that it needs to begin.
pub fn are_used_up(group: &Group, max: u64) -> bool {
    let now = group.number::<u64>("pids.current");
    now.is_some_and(|now| now.saturating_add(NEEDED.min(max)) > max)
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
        let value = |setting: Option<Setting>| setting.unwrap().value;
        assert_eq!(value(tasks.cap()), "100");
        assert_eq!(value(tasks.with_reserve()), "116");
        assert_eq!(value(tasks.reserve()), "16");
        assert_eq!(UserTasks::of(&Caps::default()).cap(), None);
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
            assert_eq!(tasks.cap().unwrap().value, cap);
            assert_eq!(tasks.with_reserve().unwrap().value, with_reserve);
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
