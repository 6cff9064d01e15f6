//! Whether two policies differ for an account.

use std::collections::{BTreeSet, HashMap};

use crate::decide::Decision;
use crate::facts::{Login, Machine};
use crate::policy::{Case, Policy};
use crate::setting::value;

/// Services that are looked at whether a rule tests them or not.
const USUAL: [&str; 4] = ["cron", "login", "sshd", "su"];

/// The services to compare two policies by: the usual ones, and each that a rule of theirs names.
pub fn services(policies: &[&Policy]) -> Vec<String> {
    let mut services: BTreeSet<String> = USUAL.iter().map(|name| (*name).to_owned()).collect();
    let rules = policies.iter().flat_map(|policy| &policy.contents.rules);
    for tests in rules.flat_map(|rule| std::iter::once(&rule.tests).chain(&rule.except)) {
        let globs = value(&tests.service).map_or(&[][..], |globs| &globs.0);
        services.extend(
            globs
                .iter()
                .filter_map(|glob| glob.literal())
                .map(String::from),
        );
    }
    services.into_iter().collect()
}

/// What is to be said of how many differ, where rules test what is not tried.
pub fn untried(policies: &[&Policy]) -> &'static str {
    match policies.iter().any(|policy| policy.tests_more()) {
        true => {
            " (rules test rhost, ruser, tty, time or a pattern of services: tried from nowhere, and now)"
        }
        false => "",
    }
}

/// Two policies, looked at for one account after the other.
#[derive(Debug)]
pub struct Comparison<'p> {
    policies: [&'p Policy; 2],
    machine: &'p Machine,
    services: Vec<String>,
    /// Whether they differ, by the case in each and the service: each such pair is decided once.
    known: HashMap<([Case; 2], usize), bool>,
}

impl<'p> Comparison<'p> {
    /// Of an old and a new policy, by the services of [`services`].
    pub fn new(policies: [&'p Policy; 2], machine: &'p Machine) -> Comparison<'p> {
        Comparison {
            policies,
            machine,
            services: services(&policies),
            known: HashMap::new(),
        }
    }

    /// The services for which they differ for an account, with the case in each. A rule that is only called
    /// otherwise is no difference.
    pub fn of(&mut self, account: &Login) -> Vec<(&str, [Case; 2])> {
        let Comparison {
            policies,
            machine,
            services,
            known,
        } = self;
        let mut login = account.clone();
        services
            .iter()
            .enumerate()
            .filter_map(|(nth, service)| {
                login.set_service(service);
                let cases = policies.map(|policy| policy.case(&login));
                let differs = known
                    .entry((cases, nth))
                    .or_insert_with(|| differs(*policies, &login, machine));
                differs.then_some((service.as_str(), cases))
            })
            .collect()
    }
}

fn differs(policies: [&Policy; 2], login: &Login, machine: &Machine) -> bool {
    let [old, new] = policies.map(|policy| {
        let decided = policy.decide(login, machine);
        decided.map(|decision| Decision {
            rule: None,
            user_rule: None,
            service_named: decision.joins(&login.service),
            ..decision
        })
    });
    old != new
}
