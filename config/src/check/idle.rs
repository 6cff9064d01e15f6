//! What nothing refers to, pools that nobody gets, and profiles that are laid under themselves.

use std::collections::{BTreeMap, BTreeSet};

use super::{Checker, never};
use crate::diagnostic::{At, Finding};
use crate::setting::value;
use crate::tables::{Named, Rule};
use crate::value::Name;

pub(super) fn check(checker: &mut Checker<'_>) {
    let contents = checker.contents;
    let rules = || contents.rules.iter();
    let keys = || contents.profiles.values().map(|named| &named.table.keys);
    let names = rules().flat_map(|rule| rule.profiles().iter().map(|profile| &profile.name));
    let used = contents.with_inherited(names.collect::<Vec<_>>());
    let used = used.into_iter().map(|(name, _)| name).collect();
    unused(checker, "no rule uses profile", &contents.profiles, &used);
    let pools = rules().map(|rule| &rule.keys.pool);
    let pools = pools.chain(keys().map(|keys| &keys.pool));
    let used = pools.filter_map(value).map(|pool| &pool.name).collect();
    unused(
        checker,
        "no rule or profile names pool",
        &contents.pools,
        &used,
    );
    let tests = rules().flat_map(|rule| std::iter::once(&rule.tests).chain(&rule.except));
    let times = tests.filter_map(|tests| value(&tests.time));
    let used = times.flat_map(|times| times.0.iter().map(|time| &time.name));
    unused(
        checker,
        "no rule tests time",
        &contents.times,
        &used.collect(),
    );
    let penalties = keys().filter_map(|keys| value(&keys.penalty));
    let used = penalties.map(|penalty| &penalty.name).collect();
    unused(
        checker,
        "no profile names penalty",
        &contents.penalties,
        &used,
    );
    idle_pools(checker);
    twice(checker);
}

/// What nothing refers to may be a slip in its own name: a drop-in's table was meant for another, which is as it was.
fn unused<T>(
    checker: &mut Checker<'_>,
    told: &str,
    tables: &BTreeMap<Name, Named<T>>,
    used: &BTreeSet<&Name>,
) {
    for (name, named) in tables {
        if !used.contains(name) {
            checker.warn(named.at, format!("{told} `{name}`"), "");
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

/// Profiles that a list names again: the earlier place counts for nothing.
fn twice(checker: &mut Checker<'_>) {
    let contents = checker.contents;
    let profiles = contents
        .profiles
        .values()
        .map(|named| named.table.inherits());
    for list in contents.rules.iter().map(Rule::profiles).chain(profiles) {
        let mut later = BTreeSet::new();
        for one in list.iter().rev() {
            if !later.insert(&one.name) {
                let message = format!("this list names profile `{}` again", one.name);
                checker.warn(one.at, message, "only the last one counts");
            }
        }
    }
}
