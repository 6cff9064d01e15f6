//! Percentages `of user` and `of pool` of a cap that the user or the pool has not.

use std::collections::BTreeSet;

use super::Checker;
use crate::contents::Contents;
use crate::setting::Mark;
use crate::tables::{CapsTable, Profile, Rule};
use crate::value::Base;

pub(super) fn check(checker: &mut Checker<'_>) {
    let contents = checker.contents;
    // Who comes by a login rule has the caps of some user rule behind it: one before it, matching the same login, would
    // have been the login rule.
    let (mut of_users, mut of_pools) = (BTreeSet::new(), BTreeSet::new());
    for rule in contents.rules.iter().rev() {
        let merged = checker.profile_of(rule);
        let mut parts = merged.session.parts();
        let [own, own_pool] = set_by(contents, rule, &merged);
        let (user, pool) = if rule.is_login_rule() {
            (&of_users, &of_pools)
        } else {
            parts.extend(merged.user.parts());
            of_users.extend(&own);
            of_pools.extend(&own_pool);
            (&own, &own_pool)
        };
        for (key, base, mark) in parts {
            match base {
                Base::User if !user.contains(key) => missing(checker, key, "user", mark),
                Base::Pool if !pool.contains(key) => missing(checker, key, "pool", mark),
                _ => {}
            }
        }
    }
}

/// The caps of a user rule's users, and of their pool, that are set.
pub(super) fn set_by(
    contents: &Contents,
    rule: &Rule,
    merged: &Profile,
) -> [BTreeSet<&'static str>; 2] {
    let pool = rule.pool(merged);
    let pool = pool.and_then(|pool| contents.pools.get(&pool.name));
    [Some(&merged.user), pool.map(|named| &named.table)].map(keys)
}

/// The caps that are set.
fn keys(table: Option<&CapsTable>) -> BTreeSet<&'static str> {
    let marks = table.map(CapsTable::marks).unwrap_or_default();
    marks.into_iter().map(|(key, _)| key).collect()
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
}
