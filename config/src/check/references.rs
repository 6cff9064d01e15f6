//! Names that refer to nothing, and profiles that inherit from themselves.

use std::collections::{BTreeMap, BTreeSet};

use super::Checker;
use crate::read::nearest;
use crate::setting::{Ref, value};
use crate::tables::Tests;
use crate::value::Name;

pub(super) fn check(checker: &mut Checker<'_>) {
    let contents = checker.contents;
    let (profiles, pools) = (&contents.profiles, &contents.pools);
    let (times, penalties) = (&contents.times, &contents.penalties);
    for profile in contents.profiles.values().map(|named| &named.table) {
        defined(checker, "profile", profile.inherits(), profiles);
        defined(checker, "pool", value(&profile.keys.pool), pools);
        defined(checker, "penalty", value(&profile.keys.penalty), penalties);
    }
    for rule in &contents.rules {
        defined(checker, "profile", rule.profiles(), profiles);
        defined(checker, "pool", value(&rule.keys.pool), pools);
        for tests in std::iter::once(&rule.tests).chain(&rule.except) {
            defined(checker, "time", windows(tests), times);
        }
    }
    for expect in contents.expects.iter().flatten() {
        let wanted = value(&expect.table.profile).map_or(&[][..], |profiles| &profiles.0);
        defined(checker, "profile", wanted, profiles);
        defined(checker, "pool", value(&expect.table.pool), pools);
    }
    cycles(checker);
}

fn windows(tests: &Tests) -> &[Ref] {
    value(&tests.time).map_or(&[], |windows| &windows.0)
}

fn defined<'r, T>(
    checker: &mut Checker<'_>,
    what: &str,
    refs: impl IntoIterator<Item = &'r Ref>,
    known: &BTreeMap<Name, T>,
) {
    for reference in refs {
        let name = &reference.name;
        if known.contains_key(name) {
            continue;
        }
        let label = match nearest(name.as_str(), known.keys().map(Name::as_str)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("there is no [{what}.{name}]"),
        };
        checker.error(reference.at, format!("undefined {what} `{name}`"), label);
    }
}

/// Finds each cycle once, at the reference that closes it. Without recursion: a line of profiles may be as long as a file.
fn cycles(checker: &mut Checker<'_>) {
    let profiles = &checker.contents.profiles;
    let inherits = |name: &Name| {
        let named = profiles.get(name);
        named.map_or(&[][..], |named| named.table.inherits()).iter()
    };
    let mut done: BTreeSet<&Name> = BTreeSet::new();
    for start in profiles
        .keys()
        .filter(|name| !done.contains(name))
        .collect::<Vec<_>>()
    {
        // The way to the profile at hand, and what each on it has yet to follow.
        let mut path = vec![(start, inherits(start))];
        let mut on_path = BTreeSet::from([start]);
        while let Some((name, rest)) = path.last_mut() {
            let name = *name;
            match rest.next() {
                None => {
                    path.pop();
                    on_path.remove(name);
                    done.insert(name);
                }
                Some(inherited) if on_path.contains(&inherited.name) => {
                    let on_circle = path.iter().map(|(name, _)| *name);
                    let circle: Vec<&str> = on_circle
                        .skip_while(|name| **name != inherited.name)
                        .chain([&inherited.name])
                        .map(Name::as_str)
                        .collect();
                    checker.error(
                        inherited.at,
                        "a profile inherits from itself",
                        circle.join(" -> "),
                    );
                }
                Some(inherited) if !done.contains(&inherited.name) => {
                    path.push((&inherited.name, inherits(&inherited.name)));
                    on_path.insert(&inherited.name);
                }
                Some(_) => {}
            }
        }
    }
}
