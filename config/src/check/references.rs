//! Names that refer to nothing, and profiles that inherit from themselves.

use super::Checker;
use crate::diagnostic::Finding;
use crate::read::nearest;
use crate::read::table::value;
use crate::setting::Ref;
use crate::tables::Tests;
use crate::value::Name;

pub(super) fn check(checker: &mut Checker<'_>) {
    let contents = checker.contents;
    let profiles: Vec<&Name> = contents.profiles.keys().collect();
    let pools: Vec<&Name> = contents.pools.keys().collect();
    let times: Vec<&Name> = contents.times.keys().collect();
    let penalties: Vec<&Name> = contents.penalties.keys().collect();

    for profile in contents.profiles.values().map(|named| &named.table) {
        defined(checker, "profile", profile.inherits(), &profiles);
        defined(checker, "pool", value(&profile.keys.pool), &pools);
        defined(checker, "penalty", value(&profile.keys.penalty), &penalties);
    }
    for rule in &contents.rules {
        defined(checker, "profile", rule.profiles(), &profiles);
        defined(checker, "pool", value(&rule.keys.pool), &pools);
        for tests in std::iter::once(&rule.tests).chain(&rule.except) {
            defined(checker, "time", windows(tests), &times);
        }
    }
    for expect in contents.expects.iter().flatten() {
        let wanted = value(&expect.table.profile).map_or(&[][..], |profiles| &profiles.0);
        defined(checker, "profile", wanted, &profiles);
        defined(checker, "pool", value(&expect.table.pool), &pools);
    }
    cycles(checker);
}

fn windows(tests: &Tests) -> &[Ref] {
    value(&tests.time).map_or(&[], |windows| &windows.0)
}

fn defined<'r>(
    checker: &mut Checker<'_>,
    what: &str,
    refs: impl IntoIterator<Item = &'r Ref>,
    known: &[&Name],
) {
    for reference in refs {
        let name = &reference.name;
        if known.contains(&name) {
            continue;
        }
        let label = match nearest(name.as_str(), known.iter().map(|known| known.as_str())) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("there is no [{what}.{name}]"),
        };
        checker.error(reference.at, format!("undefined {what} `{name}`"), label);
    }
}

/// Finds each cycle once, at the reference that closes it.
fn cycles(checker: &mut Checker<'_>) {
    let contents = checker.contents;
    let mut done: Vec<&Name> = Vec::new();
    for name in contents.profiles.keys() {
        follow(checker, name, &mut Vec::new(), &mut done);
    }
}

fn follow<'c>(
    checker: &mut Checker<'c>,
    name: &'c Name,
    path: &mut Vec<&'c Name>,
    done: &mut Vec<&'c Name>,
) {
    if done.contains(&name) {
        return;
    }
    path.push(name);
    let inherits = checker
        .contents
        .profiles
        .get(name)
        .map_or(&[][..], |named| named.table.inherits());
    for inherited in inherits {
        match path.iter().position(|on_path| **on_path == inherited.name) {
            Some(start) => {
                let circle: Vec<&str> = path
                    .iter()
                    .skip(start)
                    .map(|name| name.as_str())
                    .chain([inherited.name.as_str()])
                    .collect();
                checker.findings.push(Finding::error(
                    inherited.at,
                    "a profile inherits from itself",
                    circle.join(" -> "),
                ));
            }
            None => follow(checker, &inherited.name, path, done),
        }
    }
    path.pop();
    done.push(name);
}
