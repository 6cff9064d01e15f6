//! What sessions have of their own, beside their user's caps.

use berth_config::outcome::{Caps, CgroupPlace, MissingController, Outcome};
use berth_session::{Applied, Group, Record, Tree, Whose};

use super::work::{Wanted, Work};
use crate::error::Result;
use crate::settings::{self, How, Setting};
use crate::systemd::live::bring_scope;

/// A session, and what its own cgroup is to have.
pub struct Own<'r> {
    record: &'r Record,
    group: Group,
    settings: Vec<Setting>,
    missing: MissingController,
}

impl Own<'_> {
    /// Brings its cgroup up to date, once its user's are as `wanted`, by its own answer to a controller that is
    /// missing. Nothing is told of one that has ended. For more than a look the caller holds the lock on the user's
    /// folder.
    pub fn bring(&self, tree: &Tree, wanted: &Wanted, how: How) -> Option<Applied> {
        if !self.group.exists() {
            return None;
        }
        let how = How {
            missing_controller: self.missing,
            ..how
        };
        let mut told = Applied::to(Whose::Session {
            id: self.record.id,
            user: self.record.user.clone(),
        });
        let (group, settings) = (&self.group, &self.settings);
        let brought = match wanted {
            Wanted::Cgroupfs(user) => {
                user.bring_session(group, settings, how, &mut told);
                Ok(())
            }
            Wanted::Systemd(user) => bring_scope(tree, group, user, settings, how, &mut told),
        };
        match brought {
            Ok(()) => Some(told),
            Err(_) if !group.exists() => None, // It has just ended.
            Err(error) => Some(told.failed(error)),
        }
    }
}

impl Work<'_> {
    /// What there is to set on the cgroups of a user's sessions.
    pub fn own_caps<'r>(
        &self,
        decided: Vec<(Option<&'r Record>, Outcome)>,
    ) -> Result<Vec<Own<'r>>> {
        let mut all = Vec::new();
        for (record, outcome) in decided {
            // What a service manager runs is no session of its own.
            let Some(record) = record.filter(|record| record.is_login()) else {
                continue;
            };
            let Some(cgroup) = &record.cgroup else {
                continue;
            };
            let (caps, missing) = match outcome {
                Outcome::Berth(berth) if berth.cgroup == CgroupPlace::Keep => continue,
                Outcome::Berth(berth) if berth.enforce => {
                    (berth.session_caps, berth.missing_controller)
                }
                Outcome::Berth(_) | Outcome::Exempt => (Caps::default(), MissingController::Warn),
                // As a user's: they stay until the login ends.
                Outcome::Deny { .. } => continue,
            };
            all.push(Own {
                record,
                group: self.tree.group(cgroup),
                settings: settings::of(&caps, self.tree)?,
                missing,
            });
        }
        Ok(all)
    }
}
