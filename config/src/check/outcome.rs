//! Whether each rule says one thing, and says it by a name of its own, and each expectation something.

use std::collections::btree_map::{BTreeMap, Entry};

use super::Checker;
use crate::setting::{set, value};
use crate::tables::{Action, Expect, Rule};

pub(super) fn check(checker: &mut Checker<'_>) {
    let contents = checker.contents;
    for rule in contents.rules.iter().filter(|rule| !rule.broken) {
        check_rule(checker, rule);
    }
    for expect in contents
        .expects
        .iter()
        .flatten()
        .filter(|expect| !expect.broken)
    {
        check_expect(checker, expect);
    }
}

fn check_rule(checker: &mut Checker<'_>, rule: &Rule) {
    let keys = &rule.keys;
    match (&keys.profile, &keys.action) {
        (None, None) => checker.error(
            rule.at,
            "a rule with no outcome",
            "write `profile = ...` or `action = ...`",
        ),
        (Some(_), Some(action)) => checker.error(
            action.at,
            "a rule with two outcomes",
            "either `profile` or `action`",
        ),
        _ => {}
    }
    if let (Some(pool), Some(_)) = (&keys.pool, &keys.action) {
        checker.error(
            pool.at,
            "a pool without a profile",
            "`action` gives no caps",
        );
    }
    if let Some(message) = &keys.message {
        if value(&keys.action) != Some(&Action::Deny) {
            checker.error(
                message.at,
                "a message that nobody would see",
                "it needs `action = \"deny\"`",
            );
        }
    }
}

fn check_expect(checker: &mut Checker<'_>, expect: &Expect) {
    let table = &expect.table;
    if table.user.is_none() {
        checker.error(
            expect.at,
            "an expectation of nobody",
            "write `user = \"...\"`",
        );
    }
    match (&table.profile, &table.pool, &table.action) {
        (None, None, None) => checker.error(
            expect.at,
            "an expectation of nothing",
            "write `profile`, `pool` or `action`",
        ),
        (Some(_), _, Some(action)) | (_, Some(_), Some(action)) => checker.error(
            action.at,
            "an expectation of two outcomes",
            "either `profile` and `pool`, or `action`",
        ),
        _ => {}
    }
}

/// Rules that the log, `explain` and what is said of an `[[expect]]` cannot tell apart.
pub(super) fn namesakes(checker: &mut Checker<'_>) {
    let mut known: BTreeMap<&str, &Rule> = BTreeMap::new();
    for rule in &checker.contents.rules {
        let Some((setting, name)) = set(&rule.keys.name) else {
            continue;
        };
        match known.entry(name.as_str()) {
            Entry::Vacant(entry) => drop(entry.insert(rule)),
            Entry::Occupied(first) => {
                let label = format!("so has {}", checker.place(first.get().at));
                let message = format!("another rule has the name `{name}`");
                checker.warn(setting.at, message, label);
            }
        }
    }
}
