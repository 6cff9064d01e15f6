//! How far caps of cgroups that are in use are brought to what the policy says now.

use berth_config::outcome::MissingController;
use berth_session::Applied;

use super::Setting;
use super::standing::Lowering;

/// How far to go.
#[derive(Debug, Clone, Copy)]
pub struct How {
    pub dry_run: bool,
    /// Lower `memory_max` and `memory_high` below what is in use, too.
    pub force: bool,
    /// What to do where a controller is not there.
    pub missing_controller: MissingController,
}

impl How {
    /// What is done about more that is in use where `memory_max` or `memory_high` is to be lowered.
    pub fn lowering(self) -> Lowering {
        match (self.force, self.dry_run) {
            (true, _) => Lowering::Force,
            (false, true) => Lowering::Look,
            (false, false) => Lowering::LetGo,
        }
    }
}

/// Enters a cap that this machine cannot set, as the policy has it.
pub fn missing(told: &mut Applied, setting: &Setting, how: How, reason: &str) {
    match how.missing_controller {
        MissingController::Deny => told.left(setting.cap, reason),
        MissingController::Warn => {
            let note = format!("{} is not enforced: {reason}", setting.cap);
            if !told.notes.contains(&note) {
                told.notes.push(note);
            }
        }
    }
}
