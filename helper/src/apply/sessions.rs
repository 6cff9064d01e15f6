//! What sessions have of their own, beside their user's caps.

use berth_config::outcome::{Caps, CgroupPlace, MissingController, Outcome};
use berth_session::{Applied, Group, Record, Tree, Whose};

use super::work::Work;
use crate::cgroupfs::live::UserCaps;
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
    fn told(&self) -> Applied {
        Applied::to(Whose::Session {
            id: self.record.id,
            user: self.record.user.clone(),
        })
    }

    /// Brings its cgroup up to date, once its user's are.
    pub fn bring(&self, user: &UserCaps, how: How, told: &mut Applied) -> Result<()> {
        user.bring_session(&self.group, &self.settings, how, told);
        Ok(())
    }

    /// The same where it is a scope of systemd's. The caller holds the lock on the user's folder.
    pub fn bring_scope(
        &self,
        tree: &Tree,
        user: &[Setting],
        how: How,
        told: &mut Applied,
    ) -> Result<()> {
        bring_scope(tree, &self.group, user, &self.settings, how, told)
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

/// Brings each session up to date that is still there, by its own answer to a controller that is missing.
pub fn each(
    all: &[Own<'_>],
    how: How,
    of_sessions: &mut Vec<Applied>,
    bring: impl Fn(&Own<'_>, How, &mut Applied) -> Result<()>,
) {
    for one in all.iter().filter(|one| one.group.exists()) {
        let how = How {
            missing_controller: one.missing,
            ..how
        };
        let mut told = one.told();
        match bring(one, how, &mut told) {
            Ok(()) => of_sessions.push(told),
            Err(_) if !one.group.exists() => {} // It has just ended.
            Err(error) => of_sessions.push(told.failed(error)),
        }
    }
}
