//! The policy in force as a login reads it: first what holds for everybody, and then the rules that it may match.

use std::path::Path;

use crate::facts::Login;
use crate::loaded::{self, Unread};
use crate::outcome::OnError;
use crate::places::Places;
use crate::policy::{Exempt, Policy, PolicyError};

/// A policy that nothing can be decided by before it is known who logs in.
#[derive(Debug)]
pub struct InForce(From);

#[derive(Debug)]
enum From {
    Copy(Box<Unread>, Places),
    Files(Box<Policy>),
}

impl InForce {
    /// The policy in force of an installation: the loaded copy, or else the files under /etc/berth.
    pub fn open_in(places: &Places) -> Result<InForce, PolicyError> {
        Ok(InForce(match loaded::open(&places.loaded)? {
            Some(copy) => From::Copy(Box::new(copy), places.clone()),
            None => From::Files(Box::new(Policy::edited_in(places)?)),
        }))
    }

    /// The policy of one file alone (the module argument `policy=`).
    pub fn open_file(path: &Path) -> Result<InForce, PolicyError> {
        Ok(InForce(From::Files(Box::new(Policy::load_file(path)?))))
    }

    /// Whom Berth never touches. Root is exempt always, listed or not.
    pub fn exempt(&self) -> &Exempt {
        self.head().exempt()
    }

    /// What a failure does before it is known which profile decides.
    pub fn default_on_error(&self) -> OnError {
        self.head().default_on_error()
    }

    /// The policy for this login, and no other: it may lack the rules that this one cannot match.
    pub fn narrowed(self, login: &Login) -> Result<Policy, PolicyError> {
        match self.0 {
            From::Files(policy) => Ok(*policy),
            // What is damaged is as good as none, wherever that is found.
            From::Copy(copy, places) => match copy.narrowed(login) {
                Some(policy) => Ok(policy),
                None => Policy::edited_in(&places),
            },
        }
    }

    fn head(&self) -> &Policy {
        match &self.0 {
            From::Copy(copy, _) => copy.head(),
            From::Files(policy) => policy,
        }
    }
}
