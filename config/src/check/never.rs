//! Caps of a user in profiles that no user rule selects: they can never apply.

use super::Checker;
use crate::diagnostic::Finding;
use crate::tables::{CapsTable, Rule};
use crate::value::Name;

pub(super) fn check(checker: &mut Checker<'_>) {
    let contents = checker.contents;
    for (name, profile) in &contents.profiles {
        let Some(at) = profile.table.user_at else {
            continue;
        };
        if profile.table.user == CapsTable::default() {
            continue;
        }
        let selecting: Vec<&Rule> = selecting(checker, name).collect();
        if selecting.is_empty() || selecting.iter().any(|rule| !rule.is_login_rule()) {
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

/// The rules that give a profile, by name or by inheritance.
pub(super) fn selecting<'c>(
    checker: &Checker<'c>,
    profile: &'c Name,
) -> impl Iterator<Item = &'c Rule> {
    let rules = checker.contents.rules.iter();
    rules.filter(move |rule| selects(checker, rule, profile))
}

/// Whether a rule gives a profile, by name or by inheritance.
fn selects(checker: &Checker<'_>, rule: &Rule, profile: &Name) -> bool {
    rule.profiles()
        .iter()
        .any(|listed| reaches(checker, &listed.name, profile, &mut Vec::new()))
}

fn reaches<'c>(checker: &Checker<'c>, from: &Name, to: &Name, path: &mut Vec<&'c Name>) -> bool {
    if from == to {
        return true;
    }
    let Some((from, named)) = checker.contents.profiles.get_key_value(from) else {
        return false;
    };
    if path.contains(&from) {
        return false;
    }
    path.push(from);
    let found = named
        .table
        .inherits()
        .iter()
        .any(|inherited| reaches(checker, &inherited.name, to, path));
    path.pop();
    found
}
