//! A policy's caps as the kernel takes them: which file gets which value, and how a cgroup stands to it.

pub mod cpu;
mod cpuset;
#[cfg(test)]
pub mod folder;
mod how;
mod io;
pub mod memory;
mod pids;
pub mod same;
pub mod standing;

pub use how::{How, missing};
pub use pids::{UserTasks, are_used_up, tasks, with_reserve};
pub use same::is_same;

use berth_config::outcome::Caps;
use berth_session::{Controller, Group, Tree};

use crate::error::{Error, Result};
use standing::{Lowering, Standing};

/// One cap as the kernel takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The policy's key, for messages.
    pub cap: &'static str,
    /// Whose file it is.
    pub controller: Controller,
    /// The file in the cgroup.
    pub file: &'static str,
    /// What is written to it.
    pub value: String,
}

impl Setting {
    pub fn new(
        cap: &'static str,
        controller: Controller,
        file: &'static str,
        value: String,
    ) -> Setting {
        Setting {
            cap,
            controller,
            file,
            value,
        }
    }
}

/// All the caps of one cgroup.
pub fn of(caps: &Caps, tree: &Tree) -> Result<Vec<Setting>> {
    let mut settings = but_tasks(caps, tree)?;
    settings.extend(pids::whole(caps));
    Ok(settings)
}

/// All but `tasks_max`, whose place is another one.
pub fn but_tasks(caps: &Caps, tree: &Tree) -> Result<Vec<Setting>> {
    let mut settings = memory::settings(caps);
    settings.extend(cpu::settings(caps));
    settings.extend(cpuset::settings(caps, tree));
    settings.extend(io::settings(caps)?);
    Ok(settings)
}

/// Settings without those of a cap that has its file elsewhere: one with a file for each disk scheduler counts
/// in those that the kernel has, and where it has none in one.
pub fn of_this_kernel<'a>(
    group: &'a Group,
    settings: &'a [Setting],
) -> impl Iterator<Item = &'a Setting> {
    let there = |setting: &Setting| group.path().join(setting.file).exists();
    settings
        .iter()
        .enumerate()
        .filter_map(move |(at, setting)| {
            let mut others = settings.iter().enumerate();
            let elsewhere = others.any(|(other_at, other)| {
                other.cap == setting.cap && (there(other) || other_at < at)
            });
            (there(setting) || !elsewhere).then_some(setting)
        })
}

/// The settings but a `memory_max` or `memory_high` for which too much is in use, which is entered in `left`: the kernel would
/// kill for it at once, or hold up who writes it, because somebody logged in. It comes with the next login or `berth apply`
/// that finds less in use, and `berth apply --force` does not wait for that.
pub fn but_in_use(
    whom: &str,
    group: &Group,
    settings: &[Setting],
    left: &mut Vec<String>,
) -> Result<Vec<Setting>> {
    let mut fitting = Vec::new();
    for setting in settings {
        let is_lowered = matches!(setting.file, "memory.high" | "memory.max");
        match is_lowered.then(|| standing::make_room(group, setting, Lowering::LetGo)) {
            Some(Standing::InUse(reason)) => {
                left.push(cap_error(whom, setting, reason).to_string());
            }
            Some(Standing::Unknown(reason)) => return Err(cap_error(whom, setting, reason)),
            _ => fitting.push(setting.clone()),
        }
    }
    Ok(fitting)
}

/// A cap that cannot be had.
pub fn cap_error(whom: &str, setting: &Setting, reason: String) -> Error {
    Error::Cap {
        cap: setting.cap.into(),
        whom: whom.into(),
        reason,
    }
}

/// The kernel's word for a limit.
fn limit(limit: berth_config::outcome::Limit) -> String {
    match limit {
        berth_config::outcome::Limit::Finite(value) => value.to_string(),
        berth_config::outcome::Limit::Infinity => "max".into(),
    }
}
