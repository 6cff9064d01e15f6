//! Rules by which somebody may come whom no user rule is for: what their profiles cap of a user is not capped then, and
//! what is a part of it fails.

use std::collections::BTreeMap;

use super::hidden::{Earlier, OTHERS, covers, may_share};
use super::{Checker, bases};
use crate::diagnostic::Finding;
use crate::setting::{OneOf, Setting, set};
use crate::tables::Rule;
use crate::value::Base;

pub(super) fn check(checker: &mut Checker<'_>) {
    let rules = &checker.contents.rules;
    let of_users = UserRules::new(rules, |rule| !rule.profiles().is_empty());
    for (number, rule) in login_rules(rules) {
        if checker.profile_of(rule).user.marks().is_empty() {
            continue;
        }
        let label = match of_users.missed(number, rule) {
            None => continue,
            Some(Some(action)) => format!(
                "users whom {} matches get no caps from a later rule",
                checker.place(action.at)
            ),
            Some(None) => {
                "no rule with a profile and without tests of the login is for all of them".into()
            }
        };
        checker.findings.push(
            Finding::warning(rule.at, "who comes by this rule may have no caps", label)
                .note("a user's caps never depend on the login: they come from the user rule"),
        );
    }
}

/// Percentages of a cap that the user or the pool may not have of some who come by a rule. That of none has it is an error.
pub(super) fn parts(checker: &mut Checker<'_>) {
    let contents = checker.contents;
    let mut setting = BTreeMap::new();
    for (number, rule) in login_rules(&contents.rules) {
        for (key, base, mark) in checker.profile_of(rule).session.parts() {
            let of = match base {
                Base::User => "user",
                Base::Pool => "pool",
                Base::Bare | Base::Machine => continue,
            };
            let sets = |rule: &Rule| {
                let [user, pool] = bases::set_by(contents, rule, &checker.profile_of(rule));
                if of == "user" { user } else { pool }.contains(key)
            };
            let of_users = setting
                .entry((key, of))
                .or_insert_with(|| UserRules::new(&contents.rules, sets));
            let label = match of_users.missed(number, rule) {
                None => continue,
                Some(Some(other)) => format!("{} comes first for some", checker.place(other.at)),
                Some(None) => format!(
                    "no rule without tests of the login that sets it in the {of} is for all of them"
                ),
            };
            let by = checker.place(rule.at);
            checker.warn(
                mark.at,
                format!(
                    "`{key}` is a part of the {of}'s, which some who come by {by} may not have"
                ),
                format!("{label}: such logins fail"),
            );
        }
    }
}

fn login_rules(rules: &[Rule]) -> impl Iterator<Item = (usize, &Rule)> {
    let rules = rules.iter().enumerate();
    rules.filter(|(_, rule)| rule.is_login_rule())
}

/// The user rules by which users get something, and the others.
struct UserRules<'r> {
    all: &'r [Rule],
    giving: Earlier,
    others: Vec<usize>,
}

impl<'r> UserRules<'r> {
    fn new(all: &'r [Rule], gives: impl Fn(&Rule) -> bool) -> UserRules<'r> {
        let (mut giving, mut others) = (Earlier::default(), Vec::new());
        for (number, rule) in all.iter().enumerate() {
            match gives(rule) {
                _ if rule.is_login_rule() => {}
                true => giving.push(number, &rule.tests),
                false => others.push(number),
            }
        }
        UserRules {
            all,
            giving,
            others,
        }
    }

    /// Whether some who come by a login rule may not get it; and the rule that they get instead, if it is one.
    fn missed(&self, number: usize, rule: &Rule) -> Option<Option<&'r Rule>> {
        // What this rule tests of the login need not be compared: a user rule tests nothing of it.
        let of_all = |part: &Rule| {
            let mut wider = self.giving.wider(&part.tests).into_iter();
            wider.find(|wide| self.all.get(*wide).is_some_and(|wide| covers(wide, part)))
        };
        let divided = divided(rule).into_iter();
        let found = divided.filter_map(|parts| {
            let found: Option<Vec<usize>> = parts.iter().map(of_all).collect();
            found?.into_iter().max()
        });
        let Some(last) = found.min() else {
            return Some(None);
        };
        // Whom another before that one takes does not come to it.
        let from = self.others.partition_point(|other| *other < number);
        let others = self.others.iter().skip(from).take(OTHERS);
        let mut between = others.take_while(|other| **other < last);
        let between = between.find_map(|other| {
            let other = self.all.get(*other)?;
            may_share(rule, other).then_some(other)
        })?;
        Some(Some(between))
    }
}

/// A rule as a whole, and by the values of each of its tests: several rules together may be for all of them.
fn divided(rule: &Rule) -> Vec<Vec<Rule>> {
    let mut divided = vec![vec![rule.clone()]];
    macro_rules! divide {
        ($($key:ident),*) => {
            $(
                if let Some((setting, values)) = set(&rule.tests.$key) {
                    // Without the values, of which there may be thousands.
                    let mut bare = rule.clone();
                    bare.tests.$key = None;
                    let parts = values.0.iter().map(|value| {
                        let mut part = bare.clone();
                        part.tests.$key = Some(Setting {
                            value: Some(OneOf(vec![value.clone()])),
                            at: setting.at,
                            profile: setting.profile,
                        });
                        part
                    });
                    divided.push(parts.collect());
                }
            )*
        };
    }
    divide!(user, uid, group, primary_group, host, role);
    divided
}
