//! Percentages `of user` and `of pool` of a cap that the user or the pool has not.

use super::Checker;
use crate::setting::Mark;
use crate::tables::{CapsTable, Profile, Rule};
use crate::value::Base;

/// A user rule, its profiles as one, and its pool's caps.
struct Candidate<'c> {
    merged: Profile,
    pool: Option<&'c CapsTable>,
}

pub(super) fn check(checker: &mut Checker<'_>) {
    let contents = checker.contents;
    for (index, rule) in contents.rules.iter().enumerate() {
        let own = candidate(checker, rule);
        // A rule before this one, matching the same login, would have been the login rule; so the
        // user rule is this one or a later one.
        let users: Vec<Candidate<'_>> = if rule.is_login_rule() {
            contents
                .rules
                .iter()
                .skip(index + 1)
                .filter(|later| !later.is_login_rule() && !later.profiles().is_empty())
                .map(|later| candidate(checker, later))
                .collect()
        } else {
            vec![candidate(checker, rule)]
        };
        if !rule.is_login_rule() {
            for (key, base, mark) in own.merged.user.parts() {
                if base == Base::Pool && !own.pool.is_some_and(|pool| pool.has(key)) {
                    missing(checker, key, "pool", mark);
                }
            }
        }
        for (key, base, mark) in own.merged.session.parts() {
            let of_user = |user: &Candidate<'_>| user.merged.user.has(key);
            let of_pool = |user: &Candidate<'_>| user.pool.is_some_and(|pool| pool.has(key));
            match base {
                Base::User if !users.iter().any(of_user) => missing(checker, key, "user", mark),
                Base::Pool if !users.iter().any(of_pool) => missing(checker, key, "pool", mark),
                _ => {}
            }
        }
    }
}

fn candidate<'c>(checker: &Checker<'c>, rule: &Rule) -> Candidate<'c> {
    let contents = checker.contents;
    let merged = contents.merged(rule.profiles().iter().map(|profile| &profile.name));
    let pool = rule
        .pool(&merged)
        .and_then(|pool| contents.pools.get(&pool.name))
        .map(|named| &named.table);
    Candidate { merged, pool }
}

fn missing(checker: &mut Checker<'_>, key: &str, of: &str, mark: Mark) {
    checker.error(
        mark.at,
        format!("`{key}` is a part of the {of}'s, which has none"),
        match of {
            "user" => format!("set {key} in `user` too"),
            _ => format!("set {key} in the pool too"),
        },
    );
}

impl CapsTable {
    /// The caps that are percentages of something.
    pub(crate) fn parts(&self) -> Vec<(&'static str, Base, Mark)> {
        use crate::read::Scalar;
        let mut parts = Vec::new();
        macro_rules! part {
            ($($key:ident),*) => {
                $(
                    if let Some(setting) = &self.$key {
                        if let Some(base) = setting.value.as_ref().and_then(Scalar::base) {
                            parts.push((stringify!($key), base, setting.mark()));
                        }
                    }
                )*
            };
        }
        part!(
            memory_min,
            memory_low,
            memory_high,
            memory_max,
            cpu_quota,
            tasks_max
        );
        parts
    }

    /// Whether a cap is set.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.marks().iter().any(|(set, _)| *set == key)
    }
}
