//! A whole policy.

use std::path::Path;

use crate::facts::{Login, Machine};
use crate::outcome::{OnError, Outcome};

pub use berth_protocol::exempt::Exempt;

/// A whole, checked policy.
#[derive(Debug, Clone)]
pub struct Policy {
    exempt: Exempt,
}

/// Why there is no policy to decide by.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// Not written yet.
    #[error("the policy cannot be read yet")]
    Unwritten,
}

/// Why a login could not be decided.
#[derive(Debug, thiserror::Error)]
pub enum DecideError {
    /// Not written yet.
    #[error("a login cannot be decided yet")]
    Unwritten,
}

/// What a policy says of one login.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// What is to be done.
    pub outcome: Outcome,
    /// The name of the login rule; `None` where none matched, or the account is exempt.
    pub rule: Option<String>,
    /// The name of the user rule, which the user's caps come from.
    pub user_rule: Option<String>,
    /// The user's pool.
    pub pool: Option<String>,
}

impl Policy {
    /// The policy in force: the loaded copy, or else the files under /etc/berth.
    pub fn load_system() -> Result<Policy, PolicyError> {
        Err(PolicyError::Unwritten)
    }

    /// The policy of one file alone (the module argument `policy=`).
    pub fn load_file(path: &Path) -> Result<Policy, PolicyError> {
        let _ = path;
        Err(PolicyError::Unwritten)
    }

    /// Whom Berth never touches. Root is exempt always, listed or not.
    pub fn exempt(&self) -> &Exempt {
        &self.exempt
    }

    /// What a failure does before it is known which profile decides.
    pub fn default_on_error(&self) -> OnError {
        OnError::Deny
    }

    /// A berth's user namespace is owned by this plus the user's UID.
    pub fn owner_uid_base(&self) -> u32 {
        2_000_000_000
    }

    /// What is to be done with a login on a machine.
    pub fn decide(&self, login: &Login, machine: &Machine) -> Result<Decision, DecideError> {
        let _ = (login, machine);
        Err(DecideError::Unwritten)
    }
}
