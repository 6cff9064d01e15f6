//! Which rules decide.

use super::matching::Facts;
use crate::contents::Contents;

/// The rules that decide, as indices.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct Ruling {
    /// The first rule that matches at all: the login rule.
    pub(crate) login: Option<usize>,
    /// The first that matches when rules that test how the login came in are passed over.
    pub(crate) user: Option<usize>,
}

/// Tries the rules in order.
pub(crate) fn ruling(contents: &Contents, facts: &Facts<'_>) -> Ruling {
    let mut ruling = Ruling::default();
    for (index, rule) in contents.rules.iter().enumerate() {
        let for_user = !rule.is_login_rule();
        if ruling.login.is_some() && !for_user {
            continue;
        }
        if !facts.match_rule(rule) {
            continue;
        }
        ruling.login.get_or_insert(index);
        if for_user {
            ruling.user = Some(index);
            // Every rule before this one was tried for the login, so both are found.
            break;
        }
    }
    ruling
}

/// What may decide a login like this one, whoever's it is: each rule that could match, up to one that matches always.
pub(crate) fn rulings(contents: &Contents, facts: &Facts<'_>) -> Vec<Ruling> {
    let mut reached = Vec::new();
    for (index, rule) in contents.rules.iter().enumerate() {
        if facts.fits_somebody(rule) {
            reached.push((index, rule));
        }
        if facts.fits_everybody(rule) {
            break;
        }
    }
    let user_rule = |login: usize| {
        let mut others = reached.iter().filter(|(index, _)| *index >= login);
        others.find(|(_, rule)| !rule.is_login_rule())
    };
    let rulings = reached.iter().map(|(login, _)| Ruling {
        login: Some(*login),
        user: user_rule(*login).map(|(index, _)| *index),
    });
    rulings.collect()
}
