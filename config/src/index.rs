//! Which rules can match a login at all: of many rules, most name a user, a UID or a group, and those that name
//! another need not be tried.

use std::collections::HashSet;

use crate::facts::Login;
use crate::setting::{OneOf, Setting, value};
use crate::tables::{Rule, Tests};
use crate::value::{Glob, UidRange};

/// What a rule tests first, of the account: `user alice`, `uid 1000`, `group students`, `primary_group staff`.
pub(crate) type Key = String;

/// The keys of which a login has one wherever the rule matches, since all of its tests must hold; `None` where no
/// test lists names or single UIDs alone, so that the rule has to be tried for everybody.
pub(crate) fn keys_of(rule: &Rule) -> Option<HashSet<Key>> {
    let Tests {
        user,
        uid,
        group,
        primary_group,
        ..
    } = &rule.tests;
    names("user", user)
        .or_else(|| uids(uid))
        .or_else(|| names("primary_group", primary_group))
        .or_else(|| names("group", group))
}

/// All keys that a login has.
pub(crate) fn keys_for(login: &Login) -> Vec<Key> {
    let groups = login.groups.iter().map(|group| key("group", &group.name));
    let mut keys: Vec<Key> = groups.collect();
    keys.push(key("primary_group", login.primary_group()));
    keys.push(key("user", &login.user));
    keys.push(key("uid", login.uid));
    keys
}

fn key(test: &str, value: impl std::fmt::Display) -> Key {
    format!("{test} {value}")
}

fn names(test: &str, globs: &Option<Setting<OneOf<Glob>>>) -> Option<HashSet<Key>> {
    let globs = &value(globs)?.0;
    let keys = globs.iter().map(|glob| Some(key(test, glob.literal()?)));
    keys.collect()
}

fn uids(ranges: &Option<Setting<OneOf<UidRange>>>) -> Option<HashSet<Key>> {
    let ranges = &value(ranges)?.0;
    let single = |range: &UidRange| {
        let range = range.range();
        (range.start() == range.end()).then(|| key("uid", range.start()))
    };
    ranges.iter().map(single).collect()
}
