//! Whether two policies differ for an account.

use std::collections::BTreeSet;

use crate::decide::{DecideError, Decision};
use crate::facts::{Login, Machine};
use crate::policy::Policy;
use crate::read::table::value;

/// Services that are looked at whether a rule tests them or not.
const USUAL: [&str; 4] = ["cron", "login", "sshd", "su"];

/// The services to compare two policies by: the usual ones, and each that a rule of theirs names.
pub fn services(policies: [&Policy; 2]) -> Vec<String> {
    let mut services: BTreeSet<String> = USUAL.iter().map(|name| (*name).to_owned()).collect();
    for rule in policies.iter().flat_map(|policy| &policy.contents.rules) {
        let globs = value(&rule.tests.service).map_or(&[][..], |globs| &globs.0);
        services.extend(
            globs
                .iter()
                .filter_map(|glob| glob.literal())
                .map(String::from),
        );
    }
    services.into_iter().collect()
}

/// One service for which two policies differ.
#[derive(Debug)]
pub struct Difference {
    /// The service.
    pub service: String,
    /// What the first policy says.
    pub old: Result<Decision, DecideError>,
    /// What the second says.
    pub new: Result<Decision, DecideError>,
}

/// Where two policies differ for an account, by service. A rule that is only called otherwise is no
/// difference.
pub fn differences(
    [old, new]: [&Policy; 2],
    account: &Login,
    machine: &Machine,
    services: &[String],
) -> Vec<Difference> {
    let mut login = account.clone();
    services
        .iter()
        .filter_map(|service| {
            login.service.clone_from(service);
            let (old, new) = (old.decide(&login, machine), new.decide(&login, machine));
            let same = match (&old, &new) {
                (Ok(old), Ok(new)) => {
                    old.outcome == new.outcome
                        && old.pool == new.pool
                        && old.pool_caps == new.pool_caps
                        && old.everyone_caps == new.everyone_caps
                }
                (old, new) => old == new,
            };
            (!same).then(|| Difference {
                service: service.clone(),
                old,
                new,
            })
        })
        .collect()
}
