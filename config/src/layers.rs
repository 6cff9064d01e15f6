//! What lies over the policy's caps of one user: exceptions that an admin made, and the step of a penalty.

use crate::exceptions::Exceptions;
use crate::facts::{Login, Machine};
use crate::outcome::Penalty;
use crate::penalties::{Standing, Standings};
use crate::places::Places;
use crate::setting::value;
use crate::state::StateError;

/// Both, as a decision takes them. An exception from a cap wins over a penalty.
#[derive(Debug, Default, Clone)]
pub struct Layers {
    /// What an admin gave the user instead of the policy's: all of it comes to something on this machine.
    pub exceptions: Exceptions,
    /// The step of a penalty that the user is on.
    pub standing: Option<Standing>,
}

impl Layers {
    /// The step that lowers the user's quota, of the penalty that the policy has for them.
    pub(crate) fn step_of(&self, penalty: Option<&Penalty>) -> Option<&Standing> {
        let standing = self.standing.as_ref()?;
        let is_excepted = value(&self.exceptions.table.cpu_quota).is_some();
        (!is_excepted && standing.is_of(penalty?)).then_some(standing)
    }

    /// Those of a user that hold now. A file that cannot be used counts as none, and the caller says so, and of what it is.
    pub fn in_force(
        places: &Places,
        login: &Login,
        machine: &Machine,
        mut failed: impl FnMut(&str, &StateError),
    ) -> Layers {
        let mut not_used = |error: &StateError| failed("exceptions", error);
        let uid = login.uid;
        let exceptions = match Exceptions::in_force(places, uid) {
            Ok(all) => all
                .of_user(places, login, &mut not_used)
                .here(places, uid, machine, not_used),
            Err(error) => {
                not_used(&error);
                Exceptions::default()
            }
        };
        let mut standings = Standings::read(places).unwrap_or_else(|error| {
            failed("penalties", &error);
            Standings::default()
        });
        Layers {
            exceptions,
            // One of who had the UID before ends, and is told, at the next round.
            standing: standings
                .users
                .remove(&uid)
                .filter(|standing| standing.is_on_step() && login.is(&standing.user)),
        }
    }
}
