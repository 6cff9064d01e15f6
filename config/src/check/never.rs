//! Caps of a user in profiles that no user rule selects: they can never apply.

use std::collections::BTreeMap;

use super::Checker;
use crate::diagnostic::Finding;
use crate::tables::{CapsTable, Rule};
use crate::value::Name;

pub(super) fn check(checker: &mut Checker<'_>) {
    let contents = checker.contents;
    let selecting = selecting(checker);
    for (name, profile) in &contents.profiles {
        let Some(at) = profile.table.user_at else {
            continue;
        };
        if profile.table.user == CapsTable::default() {
            continue;
        }
        let Some(selecting) = selecting.get(name) else {
            continue;
        };
        if selecting.iter().any(|rule| !rule.is_login_rule()) {
            continue;
        }
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

/// The rules that give each profile, by name or by inheritance.
pub(super) fn selecting<'c>(checker: &Checker<'c>) -> BTreeMap<&'c Name, Vec<&'c Rule>> {
    let contents = checker.contents;
    let mut selecting: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for rule in &contents.rules {
        let names = rule.profiles().iter().map(|profile| &profile.name);
        for (name, _) in contents.with_inherited(names) {
            selecting.entry(name).or_default().push(rule);
        }
    }
    selecting
}
