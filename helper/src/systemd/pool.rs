//! The slices of a pool: one that its users share, and below it one for each of them.
//!
//! They are transient, made with the first scope in them and gone with the last, and so are the caps on them:
//! there is nothing to take back.

use berth_session::systemd::{Bus, Property, TRANSIENT, Value};
use berth_session::{Group, Tree};

use super::{is_in_force, properties};
use crate::error::Result;
use crate::settings::Setting;

/// A slice and its caps.
#[derive(Debug)]
pub struct Slice {
    pub group: Group,
    settings: Vec<Setting>,
    properties: Vec<Property>,
}

impl Slice {
    /// The slice that all users of a pool are in.
    pub fn of_pool(tree: &Tree, name: &str, caps: &[Setting]) -> Slice {
        Slice {
            properties: properties::of_pool(caps),
            group: tree.pool(name),
            settings: caps.to_vec(),
        }
    }

    /// The slice of one user in it.
    pub fn of_user(group: Group, settings: Vec<Setting>) -> Slice {
        Slice {
            properties: properties::of(&settings),
            group,
            settings,
        }
    }

    /// Its name, and what it is made with.
    pub fn to_be_made(&self) -> (String, Vec<Property>) {
        let mut properties = self.properties.clone();
        properties.push(Property::new("StopWhenUnneeded", Value::Flag(true)));
        (self.group.name().into(), properties)
    }

    /// Has systemd set the caps, unless they are in force. Also where it was just made with them: what is set
    /// afterwards is written to a drop-in, which those for every user (user-.slice.d) do not override.
    pub fn set(&self, tree: &Tree) -> Result<()> {
        let (group, properties) = (&self.group, &self.properties);
        if !is_in_force(tree, TRANSIENT, group, &self.settings, properties) {
            Bus::connect()?.set(group.name(), properties)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use berth_session::{Backend, Controller};

    use super::*;

    #[test]
    fn a_pools_slice_has_the_tasks_of_its_policy_and_no_others_and_goes_with_its_last_session() {
        let tree = Tree::at("/nowhere".into(), Backend::Systemd);
        let tasks = Setting {
            cap: "tasks_max",
            controller: Controller::Pids,
            file: "pids.max",
            value: "7".into(),
        };
        let goes = Property::new("StopWhenUnneeded", Value::Flag(true));
        for (caps, tasks) in [(vec![tasks], 7), (Vec::new(), u64::MAX)] {
            let tasks = Property::new("TasksMax", Value::Number(tasks));
            assert_eq!(
                Slice::of_pool(&tree, "cs101", &caps).to_be_made(),
                (
                    "user-pool_cs101.slice".to_string(),
                    vec![tasks, goes.clone()]
                )
            );
        }
    }
}
