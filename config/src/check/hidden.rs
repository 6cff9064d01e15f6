//! Rules that are never reached: each login that one matches, an earlier rule matches, or its own exception.

use std::collections::HashMap;

use super::Checker;
use crate::diagnostic::At;
use crate::setting::{OneOf, Ref, Setting, value};
use crate::tables::{Rule, Tests};
use crate::value::{Glob, Remote, UidRange};

/// Says a macro of all tests.
macro_rules! all_tests {
    ($each:ident) => {
        $each!(
            user,
            uid,
            group,
            primary_group,
            host,
            role,
            time,
            service,
            tty,
            rhost,
            ruser
        )
    };
}

pub(super) fn check(checker: &mut Checker<'_>) {
    excepting_all(checker);
    let contents = checker.contents;
    // Each with each would take minutes where there are a hundred thousand.
    let mut earlier = Earlier::default();
    for (number, rule) in contents.rules.iter().enumerate() {
        let mut candidates = earlier.wider(&rule.tests).into_iter();
        let wider = candidates.find_map(|index| {
            let wider = contents.rules.get(index)?;
            covers(wider, rule).then_some(wider)
        });
        let Some(wider) = wider else {
            // What a hidden rule hides, the wider one hides too.
            earlier.push(number, &rule.tests);
            continue;
        };
        let label = format!("{} matches whatever this matches", checker.place(wider.at));
        checker.warn(rule.at, "this rule is never reached", label);
    }
}

/// Rules of which an exception takes all logins. Any one of its tests is enough, where one may have thought of all.
fn excepting_all(checker: &mut Checker<'_>) {
    for rule in &checker.contents.rules {
        let Some(except) = &rule.except else { continue };
        // Whatever the rule tests, each login has a user, with a UID, and a service.
        let every = [&except.user, &except.service].into_iter().flatten();
        let every = every.filter(|setting| {
            let globs = setting.value.iter().flat_map(|globs| &globs.0);
            globs.map(Glob::as_str).any(|glob| glob == "*")
        });
        let mut covering: Vec<At> = every.map(|setting| setting.at).collect();
        if let (Some(setting), Some(all)) = (&except.uid, UidRange::new(1, u32::MAX - 1)) {
            let mut uids = setting.value.iter().flat_map(|uids| &uids.0);
            covering.extend(uids.any(|uids| uids.covers(&all)).then_some(setting.at));
        }
        macro_rules! cover {
            ($($key:ident),*) => {
                $(
                    if let (Some(setting), Some(_)) = (&except.$key, value(&rule.tests.$key)) {
                        if one_covers(&except.$key, &rule.tests.$key, |a, b| a.covers(b)) {
                            covering.push(setting.at);
                        }
                    }
                )*
            };
        }
        all_tests!(cover);
        for at in covering {
            checker.warn(
                at,
                "this excepts all logins that the rule is for",
                "one of the tests in `except` is enough for that",
            );
        }
    }
}

/// With how many rules by patterns or ranges one is compared.
pub(super) const OTHERS: usize = 1000;

/// Rules by the values of one of their tests. They are told by their numbers, in the order in which they are tried.
#[derive(Default)]
pub(super) struct Earlier {
    by_key: HashMap<String, Vec<usize>>,
    /// Those of which no test has plain values only: names, single UIDs, networks. Only the last of them are compared with a
    /// rule: a rule that one of many patterns or ranges hides from further away is not found.
    others: Vec<usize>,
}

impl Earlier {
    pub(super) fn push(&mut self, number: usize, tests: &Tests) {
        let mut all = keys(tests).into_iter();
        let plain = all.find_map(|keys| keys.into_iter().collect::<Option<Vec<_>>>());
        let Some(keys) = plain else {
            return self.others.push(number);
        };
        for key in keys {
            self.by_key.entry(key).or_default().push(number);
        }
    }

    /// The rules that may match whatever this matches: they test nothing that it does not, and nothing narrower.
    pub(super) fn wider(&self, than: &Tests) -> Vec<usize> {
        // One of its values is enough: a wider rule has them all, or a network around it.
        let firsts = keys(than)
            .into_iter()
            .filter_map(|keys| keys.into_iter().next()?);
        let remote = value(&than.rhost).and_then(|remotes| remotes.0.first());
        let around = remote.into_iter().flat_map(Remote::around);
        let firsts = firsts.chain(around.map(|network| key("rhost", &network)));
        let keyed = firsts.filter_map(|key| self.by_key.get(&key));
        let others = self.others.iter().rev().take(OTHERS);
        let mut rules: Vec<usize> = keyed.flatten().chain(others).copied().collect();
        rules.sort_unstable();
        rules
    }
}

/// The values of each test, of which a pattern or a range has no key. What tells the most rules apart comes first.
fn keys(tests: &Tests) -> Vec<Vec<Option<String>>> {
    let glob = |glob: &Glob| glob.literal().map(str::to_owned);
    let uid = |uids: &UidRange| {
        let uids = uids.range();
        (uids.start() == uids.end()).then(|| uids.start().to_string())
    };
    let remote = |remote: &Remote| match remote {
        Remote::Name(name) => glob(name),
        network => Some(network.to_string()),
    };
    let tests = [
        of_test("user", &tests.user, glob),
        of_test("uid", &tests.uid, uid),
        of_test("primary_group", &tests.primary_group, glob),
        of_test("group", &tests.group, glob),
        of_test("rhost", &tests.rhost, remote),
        of_test("time", &tests.time, |time| Some(time.name.to_string())),
        of_test("host", &tests.host, glob),
        of_test("role", &tests.role, glob),
        of_test("ruser", &tests.ruser, glob),
        of_test("tty", &tests.tty, glob),
        of_test("service", &tests.service, glob),
    ];
    tests.into_iter().flatten().collect()
}

fn of_test<T>(
    name: &str,
    values: &Option<Setting<OneOf<T>>>,
    plain: impl Fn(&T) -> Option<String>,
) -> Option<Vec<Option<String>>> {
    let values = value(values)?.0.iter();
    Some(
        values
            .map(|value| Some(key(name, &plain(value)?)))
            .collect(),
    )
}

fn key(test: &str, value: &dyn std::fmt::Display) -> String {
    format!("{test} {value}")
}

/// Whether `wide` matches every login that `narrow` matches, as far as can be told.
pub(super) fn covers(wide: &Rule, narrow: &Rule) -> bool {
    let excepts = match (&wide.except, &narrow.except) {
        (None, _) => true,
        (Some(wide), Some(narrow)) => tests_equal(wide, narrow),
        (Some(_), None) => false,
    };
    excepts && tests_cover(&wide.tests, &narrow.tests)
}

/// Whether some may be matched by both rules, as far as can be told: not whom `rule` excepts, and not where each names other
/// accounts.
pub(super) fn may_share(rule: &Rule, other: &Rule) -> bool {
    fn are_apart<'r, T>(
        [one, other]: [&'r Option<Setting<OneOf<T>>>; 2],
        are_apart: impl Fn(&'r T, &'r T) -> bool,
    ) -> bool {
        let (Some(one), Some(other)) = (value(one), value(other)) else {
            return false;
        };
        let mut pairs = one
            .0
            .iter()
            .flat_map(|a| other.0.iter().map(move |b| (a, b)));
        pairs.all(|(a, b)| are_apart(a, b))
    }
    let excepted = rule.except.as_ref();
    let [tests, others] = [&rule.tests, &other.tests];
    let by_name = are_apart([&tests.user, &others.user], |a, b| {
        let names = a.literal().zip(b.literal());
        names.is_some_and(|(a, b)| a != b)
    });
    let by_uid = are_apart([&tests.uid, &others.uid], |a, b| {
        let [a, b] = [a.range(), b.range()];
        a.end() < b.start() || b.end() < a.start()
    });
    !by_name && !by_uid && !excepted.is_some_and(|except| tests_cover(except, others))
}

fn tests_cover(wide: &Tests, narrow: &Tests) -> bool {
    macro_rules! cover {
        ($($key:ident),*) => {
            true $(&& one_covers(&wide.$key, &narrow.$key, |a, b| a.covers(b)))*
        };
    }
    all_tests!(cover)
}

/// Whether two are the same, wherever they stand.
fn tests_equal(one: &Tests, other: &Tests) -> bool {
    macro_rules! equal {
        ($($key:ident),*) => {
            true $(&& value(&one.$key) == value(&other.$key))*
        };
    }
    all_tests!(equal)
}

impl Ref {
    fn covers(&self, other: &Ref) -> bool {
        self == other
    }
}

fn one_covers<T>(
    wide: &Option<Setting<OneOf<T>>>,
    narrow: &Option<Setting<OneOf<T>>>,
    covers: impl Fn(&T, &T) -> bool,
) -> bool {
    match (value(wide), value(narrow)) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(wide), Some(narrow)) => narrow
            .0
            .iter()
            .all(|narrow| wide.0.iter().any(|wide| covers(wide, narrow))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_rules_by_ranges_of_uids_each_is_compared_with_a_few() {
        let mut earlier = Earlier::default();
        let tests = Tests::default();
        (0..10_000).for_each(|number| earlier.push(number, &tests));
        let wider = earlier.wider(&tests);
        assert_eq!((wider.len(), wider[0], wider[999]), (1000, 9000, 9999));
    }
}
