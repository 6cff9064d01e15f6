//! Rules by which somebody may come whom no user rule is for: what their profiles cap of a user is not capped then.

use super::Checker;
use super::hidden::{Earlier, covers};
use crate::diagnostic::Finding;

pub(super) fn check(checker: &mut Checker<'_>) {
    let contents = checker.contents;
    let mut of_users = Earlier::default();
    for (number, rule) in contents.rules.iter().enumerate() {
        if !rule.is_login_rule() && !rule.profiles().is_empty() {
            of_users.push(number, &rule.tests);
        }
    }
    for rule in contents.rules.iter().filter(|rule| rule.is_login_rule()) {
        if checker.profile_of(rule).user.marks().is_empty() {
            continue;
        }
        // What this rule tests of the login need not be compared: a user rule tests nothing of it.
        let mut wider = of_users.wider(&rule.tests).into_iter();
        let of_all = |wide| {
            contents
                .rules
                .get(wide)
                .is_some_and(|wide| covers(wide, rule))
        };
        if !wider.any(of_all) {
            checker.findings.push(
                Finding::warning(
                    rule.at,
                    "who comes by this rule may have no caps",
                    "no rule with a profile and without tests of the login is for all of them",
                )
                .note("a user's caps never depend on the login: they come from the user rule"),
            );
        }
    }
}
