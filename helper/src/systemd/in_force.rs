//! Whether the kernel has what systemd was asked for. systemd says yes to what this kernel has not, and to
//! what it will do in a moment.

use std::time::{Duration, Instant};

use berth_session::{Group, Tree};

use crate::settings::{Setting, is_same};

/// How it stands with a setting.
#[derive(Debug, PartialEq, Eq)]
pub enum State {
    InForce,
    Awaited(String),
    Impossible(String),
}

/// Looks at one setting of a cgroup.
pub fn look(tree: &Tree, group: &Group, setting: &Setting) -> State {
    let has = |group: &Group| {
        let all = group.controllers().unwrap_or_default();
        all.contains(&setting.controller)
    };
    let name = setting.controller.name();
    if !has(tree.root()) {
        return State::Impossible(format!("this kernel has no {name} controller here"));
    }
    let place = group.path().display();
    if !group.path().join(setting.file).exists() {
        return if has(group) {
            State::Impossible(format!("this kernel has no {} in {place}", setting.file))
        } else {
            State::Awaited(format!(
                "systemd has not enabled the {name} controller for {place}"
            ))
        };
    }
    let now = group.read(setting.file).unwrap_or_default();
    if is_same(setting, now.trim()) {
        State::InForce
    } else {
        let (file, wanted) = (setting.file, &setting.value);
        State::Awaited(format!(
            "systemd has set {file} of {place} to {:?} and not to {wanted:?}",
            now.trim()
        ))
    }
}

/// Waits until the kernel has a setting, or the cgroup is gone; says why it has not.
pub fn wait(tree: &Tree, group: &Group, setting: &Setting, until: Instant) -> Option<String> {
    loop {
        match look(tree, group, setting) {
            State::InForce => return None,
            State::Impossible(reason) => return Some(reason),
            State::Awaited(reason) if Instant::now() > until || !group.exists() => {
                return Some(reason);
            }
            State::Awaited(_) => std::thread::sleep(Duration::from_millis(1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use berth_session::Controller;

    use super::*;
    use crate::settings::folder::Folder;

    #[test]
    fn what_systemd_has_not_done_yet_is_awaited_and_what_the_kernel_cannot_is_not() {
        let root = Folder::with(&[
            ("cgroup.controllers", "memory pids\n"),
            ("user.slice/cgroup.controllers", "pids\n"),
            ("user.slice/pids.max", "max\n"),
        ]);
        let tree = root.tree(berth_session::Backend::Systemd);
        let slice = root.group().child("user.slice");
        let seen = |controller, file, value: &str| {
            let setting = Setting {
                cap: "x",
                controller,
                file,
                value: value.into(),
            };
            match look(&tree, &slice, &setting) {
                State::InForce => "in force".to_string(),
                State::Awaited(why) => format!("awaited: {why}"),
                State::Impossible(why) => format!("impossible: {why}"),
            }
            .replace(slice.path().to_str().unwrap(), "user.slice")
        };
        for (controller, file, value, expected) in [
            (Controller::Pids, "pids.max", "max", "in force"),
            (
                Controller::Pids,
                "pids.max",
                "7",
                "awaited: systemd has set pids.max of user.slice to \"max\" and not to \"7\"",
            ),
            (
                Controller::Memory,
                "memory.max",
                "7",
                "awaited: systemd has not enabled the memory controller for user.slice",
            ),
            (
                Controller::Pids,
                "pids.none",
                "7",
                "impossible: this kernel has no pids.none in user.slice",
            ),
            (
                Controller::Io,
                "io.max",
                "8:0 rbps=5",
                "impossible: this kernel has no io controller here",
            ),
        ] {
            assert_eq!(seen(controller, file, value), expected);
        }
    }
}
