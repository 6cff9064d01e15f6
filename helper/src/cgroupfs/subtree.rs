//! Enabling controllers downwards.
//!
//! Enabling a controller on a subtree without processes does not wait for a grace period, and
//! `cgroup.subtree_control` already names what is enabled, so all but the first login of a user pay
//! for a read or two.

use berth_session::{Controller, Group, Tree};

use crate::error::Result;

/// Where processes of a container's visible root go: a cgroup with processes of its own may have no
/// capped children, the real root excepted (cgroup-v2, "No Internal Process Constraint").
pub const ASIDE: &str = "berth-init";

/// The controllers that can be used all the way down, and why the others cannot.
#[derive(Debug, Default)]
pub struct Available {
    usable: Vec<Controller>,
    refused: Vec<(Controller, String)>,
    root: String,
}

impl Available {
    /// Why a controller cannot be used; `None` if it can.
    pub fn reason_against(&self, controller: Controller) -> Option<String> {
        if self.usable.contains(&controller) {
            return None;
        }
        let refused = self
            .refused
            .iter()
            .find(|(refused, _)| *refused == controller);
        Some(match refused {
            Some((_, reason)) => reason.clone(),
            None => format!(
                "the {} controller is not enabled in {}",
                controller.name(),
                self.root
            ),
        })
    }
}

/// Enables every controller that can be had, in the root and in a line of cgroups below it, each the parent
/// of the next.
pub fn open(line: &[Group], tree: &Tree) -> Result<Available> {
    let mut available = Available {
        usable: tree.root().controllers()?,
        refused: Vec::new(),
        root: tree.root().path().display().to_string(),
    };
    for group in [tree.root()].into_iter().chain(line) {
        let wanted = missing(group, &available.usable)?;
        if wanted.is_empty() {
            continue;
        }
        if group == tree.root() && is_crowded(group)? {
            move_aside(tree, group)?;
        }
        for controller in wanted {
            if let Err(error) = enable_one(group, controller) {
                // Not yet an error: perhaps no cap needs it.
                available.usable.retain(|usable| *usable != controller);
                available.refused.push((controller, error.to_string()));
            }
        }
    }
    Ok(available)
}

/// Enables the available controllers in one more cgroup.
pub fn enable(group: &Group, available: &Available) -> Result<()> {
    for controller in missing(group, &available.usable)? {
        enable_one(group, controller)?;
    }
    Ok(())
}

fn missing(group: &Group, wanted: &[Controller]) -> Result<Vec<Controller>> {
    let enabled = group.enabled()?;
    Ok(wanted
        .iter()
        .copied()
        .filter(|controller| !enabled.contains(controller))
        .collect())
}

fn enable_one(group: &Group, controller: Controller) -> Result<()> {
    Ok(group.write("cgroup.subtree_control", &format!("+{}", controller.name()))?)
}

/// Whether this is a container's root with processes in it. The real root has no cgroup.type.
fn is_crowded(root: &Group) -> Result<bool> {
    Ok(root.path().join("cgroup.type").exists() && !root.processes()?.is_empty())
}

/// Moves the processes of a container's root into a cgroup of their own, once. They may fork
/// meanwhile, so it is repeated until none is left.
fn move_aside(tree: &Tree, root: &Group) -> Result<()> {
    let aside = root.child(ASIDE);
    aside.create()?;
    for _ in 0..100 {
        let processes = root.processes()?;
        if processes.is_empty() {
            break;
        }
        // A login's helper may have moved its application into a session since the list was read.
        let here = processes.into_iter().filter(|pid| tree.is_in(*pid, root));
        for pid in here {
            // One that has ended meanwhile, or a kernel thread, cannot be moved and need not be: if
            // it does stand in the way, enabling says so.
            let _ = aside.write("cgroup.procs", &pid.to_string());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use berth_session::Backend;

    use super::*;
    use crate::settings::folder::Folder;

    /// A root with two controllers, and a cgroup below that has one of them enabled. What is written replaces what is
    /// there, so that the last command of each is seen.
    fn root() -> Folder {
        let root = Folder::with(&[
            ("cgroup.controllers", "cpu memory\n"),
            ("cgroup.subtree_control", ""),
            ("cgroup.procs", "41\n42\n"),
            ("berth/cgroup.subtree_control", "cpu\n"),
        ]);
        std::fs::create_dir_all(root.join("berth/user-1001")).unwrap();
        root
    }

    fn told(group: &Group) -> String {
        group.read("cgroup.subtree_control").unwrap()
    }

    #[test]
    fn what_is_not_enabled_is_enabled_all_the_way_down_and_what_cannot_be_is_named() {
        let root = root();
        let tree = root.tree(Backend::Cgroupfs);
        let available = open(&[tree.everyone()], &tree).unwrap();
        assert_eq!(
            [told(tree.root()), told(&tree.everyone())],
            ["+memory", "+memory"]
        );
        assert_eq!(available.reason_against(Controller::Memory), None);
        let missing = format!("the io controller is not enabled in {}", root.display());
        assert_eq!(available.reason_against(Controller::Io), Some(missing));

        // A file that refuses what is written to it.
        let user = tree.user(1001).unwrap();
        symlink("/proc/version", user.path().join("cgroup.subtree_control")).unwrap();
        let available = open(&[tree.everyone(), user.clone()], &tree).unwrap();
        let reasons = [Controller::Cpu, Controller::Memory]
            .map(|controller| available.reason_against(controller).unwrap());
        for (reason, name) in reasons.iter().zip(["+cpu", "+memory"]) {
            assert!(reason.contains(name), "{reason}");
        }
        enable(&user, &available).unwrap();
        let all = open(&[], &tree).unwrap();
        enable(&user, &all).unwrap_err();
    }

    #[test]
    fn a_containers_root_is_crowded_by_its_processes_and_the_real_one_is_not() {
        let root = root();
        assert!(!is_crowded(&root.group()).unwrap());
        root.write("cgroup.type", "domain\n");
        assert!(is_crowded(&root.group()).unwrap());
        root.write("cgroup.procs", "");
        assert!(!is_crowded(&root.group()).unwrap());
    }

    /// A list of PIDs may be older than the move of one of them to its session.
    #[test]
    fn who_is_in_the_root_is_moved_aside_and_who_has_left_it_is_not() {
        let root = root();
        let tree = root.tree(Backend::Cgroupfs);
        let me = std::process::id() as i32;
        let here = tree.of_process(me).unwrap().unwrap();
        for (group, moved) in [(here.child("left"), vec![]), (here, vec![me])] {
            let aside = group.child(ASIDE);
            std::fs::create_dir_all(aside.path()).unwrap();
            for (of, list) in [(&group, me.to_string()), (&aside, String::new())] {
                std::fs::write(of.path().join("cgroup.procs"), list).unwrap();
            }
            move_aside(&tree, &group).unwrap();
            assert_eq!(aside.processes().unwrap(), moved);
        }
    }
}
