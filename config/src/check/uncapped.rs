//! Rules by which somebody may come whom no user rule is for: what their profiles cap of a user is not capped then.

use super::Checker;
use super::hidden::{Earlier, covers};
use crate::diagnostic::Finding;
use crate::setting::{OneOf, Setting, value};
use crate::tables::Rule;

pub(super) fn check(checker: &mut Checker<'_>) {
    let rules = &checker.contents.rules;
    let (mut of_users, mut actions) = (Earlier::default(), Vec::new());
    for (number, rule) in rules.iter().enumerate() {
        match rule.profiles().is_empty() {
            _ if rule.is_login_rule() => {}
            true => actions.push(number),
            false => of_users.push(number, &rule.tests),
        }
    }
    for (number, rule) in rules.iter().enumerate() {
        if !rule.is_login_rule() || checker.profile_of(rule).user.marks().is_empty() {
            continue;
        }
        // What this rule tests of the login need not be compared: a user rule tests nothing of it.
        let of_all = |part: &Rule| {
            let mut wider = of_users.wider(&part.tests).into_iter();
            wider.find(|wide| rules.get(*wide).is_some_and(|wide| covers(wide, part)))
        };
        let divided = divided(rule).into_iter();
        let found = divided.filter_map(|parts| {
            let found: Option<Vec<usize>> = parts.iter().map(of_all).collect();
            found?.into_iter().max()
        });
        // Whom an action before this one takes has not come by it.
        let taken = found.min().map(|last| {
            let mut between = actions.iter().filter_map(|action| {
                let between = (number..last).contains(action);
                between.then(|| rules.get(*action)).flatten()
            });
            between.next()
        });
        let label = match taken {
            Some(None) => continue,
            Some(Some(action)) => format!(
                "users whom {} matches get no caps from a later rule",
                checker.place(action.at)
            ),
            None => {
                "no rule with a profile and without tests of the login is for all of them".into()
            }
        };
        checker.findings.push(
            Finding::warning(rule.at, "who comes by this rule may have no caps", label)
                .note("a user's caps never depend on the login: they come from the user rule"),
        );
    }
}

/// A rule as a whole, and by the values of each of its tests: several rules together may be for all of them.
fn divided(rule: &Rule) -> Vec<Vec<Rule>> {
    let mut divided = vec![vec![rule.clone()]];
    macro_rules! divide {
        ($($key:ident),*) => {
            $(
                if let (Some(setting), Some(values)) = (&rule.tests.$key, value(&rule.tests.$key)) {
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
