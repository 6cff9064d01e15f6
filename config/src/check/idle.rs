//! Profiles and pools that nobody gets.

use std::collections::BTreeSet;

use super::{Checker, never};
use crate::diagnostic::{At, Finding};
use crate::value::Name;

pub(super) fn check(checker: &mut Checker<'_>) {
    unused(checker);
    idle_pools(checker);
}

fn unused(checker: &mut Checker<'_>) {
    let contents = checker.contents;
    let rules = contents.rules.iter();
    let names: Vec<&Name> = rules
        .flat_map(|rule| rule.profiles().iter().map(|profile| &profile.name))
        .collect();
    let used: BTreeSet<&Name> = contents
        .with_inherited(names)
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    for (name, profile) in &contents.profiles {
        if !used.contains(name) {
            checker.findings.push(Finding::warning(
                profile.at,
                format!("no rule uses profile `{name}`"),
                "",
            ));
        }
    }
}

/// Pools that nobody gets: a user's pool comes from the user rule, which never tests the login.
fn idle_pools(checker: &mut Checker<'_>) {
    let contents = checker.contents;
    let rules = contents.rules.iter().filter(|rule| rule.is_login_rule());
    let of_rules = rules
        .filter_map(|rule| rule.keys.pool.as_ref())
        .map(|pool| (pool.at, "this rule tests the login"));
    let by_login = never::by_login_alone(checker);
    let of_profiles = contents.profiles.iter().filter_map(|(name, profile)| {
        let pool = profile.table.keys.pool.as_ref();
        let pool = pool.filter(|pool| pool.value.is_some())?;
        let idle = by_login.contains(name);
        idle.then_some((pool.at, "only rules that test the login give it"))
    });
    let idle: Vec<(At, &str)> = of_rules.chain(of_profiles).collect();
    for (at, label) in idle {
        checker.findings.push(
            Finding::warning(at, "nobody gets a pool by this", label)
                .note("a user's pool never depends on the login: it comes from the user rule"),
        );
    }
}
