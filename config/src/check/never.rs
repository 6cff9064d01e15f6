//! Caps of a user in profiles that no user rule selects: they can never apply.

use std::collections::BTreeSet;

use super::Checker;
use crate::diagnostic::Finding;
use crate::tables::{CapsTable, Rule};
use crate::value::Name;

pub(super) fn check(checker: &mut Checker<'_>) {
    let contents = checker.contents;
    let by_login = by_login_alone(checker);
    for (name, profile) in &contents.profiles {
        let Some(at) = profile.table.user_at else {
            continue;
        };
        if profile.table.user == CapsTable::default() || !by_login.contains(name) {
            continue;
        }
        let selecting = selecting(checker, name);
        let places: Vec<String> = selecting
            .iter()
            .map(|rule| checker.place(rule.at))
            .collect();
        let mut tests: Vec<String> = selecting
            .iter()
            .flat_map(|rule| rule.login_tests())
            .map(|test| format!("`{test}`"))
            .collect();
        tests.sort();
        tests.dedup();
        let (selects, test) = match places.len() {
            1 => ("selects", "it tests"),
            _ => ("select", "they test"),
        };
        let label = format!(
            "only {} {selects} `{name}`, and {test} {}",
            places.join(" and "),
            tests.join(" and ")
        );
        checker.findings.push(
            Finding::error(at, "these caps can never apply", label)
                .note("a user's caps never depend on the login: write `session = { ... }`"),
        );
    }
}

/// The profiles that rules give, by name or by inheritance, and none but such as test the login. A rule that could not be
/// read may give any of them.
pub(super) fn by_login_alone<'c>(checker: &Checker<'c>) -> BTreeSet<&'c Name> {
    let contents = checker.contents;
    if contents.rules.iter().any(|rule| rule.broken) {
        return BTreeSet::new();
    }
    let given = |by_login: bool| -> BTreeSet<&Name> {
        let rules = contents.rules.iter();
        let rules = rules.filter(|rule| rule.is_login_rule() == by_login);
        let names = rules.flat_map(|rule| rule.profiles().iter().map(|profile| &profile.name));
        let given = contents.with_inherited(names.collect::<Vec<_>>());
        given.into_iter().map(|(name, _)| name).collect()
    };
    &given(true) - &given(false)
}

/// The rules that give a profile, by name or by inheritance.
pub(super) fn selecting<'c>(checker: &Checker<'c>, profile: &Name) -> Vec<&'c Rule> {
    let contents = checker.contents;
    let gives = |rule: &&Rule| {
        let names = rule.profiles().iter().map(|profile| &profile.name);
        let mut given = contents.with_inherited(names).into_iter();
        given.any(|(name, _)| name == profile)
    };
    contents.rules.iter().filter(gives).collect()
}
