//! Caps that other caps make useless: those of what holds them, or of the same table.

use super::{Checker, Site};
use crate::decide::{self, Bases};
use crate::facts::Machine;
use crate::outcome::{Caps, Limit, PrivateTmp};
use crate::setting::{Mark, value};
use crate::tables::{CapsTable, Named, Profile, Rule};
use crate::value::{IdSet, Share};

pub(super) fn check(checker: &mut Checker<'_>, site: &dyn Site) {
    let contents = checker.contents;
    for rule in &contents.rules {
        let merged = checker.profile_of(rule);
        stalled(checker, &merged.user);
        stalled(checker, &merged.session);
    }
    let many = || contents.pools.values().chain(&contents.everyone);
    many().for_each(|many| stalled(checker, &many.table));
    let Some(machine) = site.machine() else {
        return;
    };
    let caps_of = |many: &Named<CapsTable>| {
        decide::caps(&many.table, &Bases::new(&machine, checker.files)).ok()
    };
    let everyone = contents.everyone.as_ref().and_then(caps_of);
    let everyone = everyone.unwrap_or_default();
    // What a rule for other machines gives is not worked out for this one.
    let rules = contents.rules.iter();
    for rule in rules.filter(|rule| !rule.names_machines()) {
        of_rule(checker, rule, &everyone, &machine);
    }
    for many in many() {
        if let Some(caps) = caps_of(many) {
            let marks = many.table.marks();
            never_slows(checker, &marks, &caps);
            outside(
                checker,
                &marks,
                ("pool's", "everyone's"),
                (&caps, &everyone),
            );
        }
    }
}

/// Past memory_high programs are slowed to a crawl, and nothing is killed or logged.
fn stalled(checker: &mut Checker<'_>, caps: &CapsTable) {
    let Some(high) = &caps.memory_high else {
        return;
    };
    let slows = high.value.is_some_and(|high| high.0 != Share::Infinity);
    let ends = value(&caps.memory_max).is_some_and(|max| max.0 != Share::Infinity);
    if slows && !ends {
        checker.warn(
            high.at,
            "memory_high without memory_max",
            "past it programs stall, and nothing ends them",
        );
    }
}

/// Compares a rule's session caps with its own user caps, and those with the pool's: for a rule that tests the service
/// the user's caps come from elsewhere.
fn of_rule(checker: &mut Checker<'_>, rule: &Rule, everyone: &Caps, machine: &Machine) {
    let merged = checker.profile_of(rule);
    let Some((user, mut bases)) = user_caps(checker, rule, &merged, machine) else {
        return;
    };
    let of_users = !rule.is_login_rule();
    if of_users {
        let marks = merged.user.marks();
        never_slows(checker, &marks, &user);
        outside(checker, &marks, ("user's", "everyone's"), (&user, everyone));
    } else {
        (bases.user, bases.pool) = (None, None);
    }
    if let Ok(session) = decide::caps(&merged.session, &bases) {
        let marks = merged.session.marks();
        never_slows(checker, &marks, &session);
        let user = of_users.then_some(&user);
        larger_than_memory(checker, &merged, [user, Some(&session)]);
        if let Some(user) = user {
            never_matter(
                checker,
                &marks,
                ("session's", "the user's"),
                (&session, user),
            );
        }
    }
    if let Some(pool) = &bases.pool {
        never_matter(
            checker,
            &merged.user.marks(),
            ("user's", "the pool's"),
            (&user, pool),
        );
    }
}

/// Warns of a memory_high that memory_max keeps everybody from passing.
fn never_slows(checker: &mut Checker<'_>, marks: &[(&str, Mark)], caps: &Caps) {
    let (Some(high @ Limit::Finite(_)), Some(max)) = (caps.memory_high, caps.memory_max) else {
        return;
    };
    let mark = marks.iter().find(|(key, _)| *key == "memory_high");
    if let (Some((_, mark)), true) = (mark, high >= max) {
        checker.warn(
            mark.at,
            "memory_high is not below memory_max",
            "nothing is ever slowed down by it",
        );
    }
}

/// Warns of a tmpfs that holds as much as the memory_max that it is charged to.
fn larger_than_memory(checker: &mut Checker<'_>, profile: &Profile, caps: [Option<&Caps>; 2]) {
    let caps = caps.into_iter().flatten();
    let Some(max) = caps.filter_map(|caps| caps.memory_max).min() else {
        return;
    };
    let namespaces = &profile.namespaces;
    let tmp = namespaces.private_tmp.as_ref().and_then(|setting| {
        let PrivateTmp::Tmpfs(size) = setting.value?.0 else {
            return None;
        };
        Some(("private_tmp", setting.at, size, "write \"disk\", or less"))
    });
    let shm = namespaces
        .private_shm
        .as_ref()
        .and_then(|setting| Some(("private_shm", setting.at, setting.value?.0?, "write less")));
    for (key, at, size, remedy) in tmp.into_iter().chain(shm) {
        if Limit::Finite(size) >= max {
            checker.warn(
                at,
                format!("this {key} is not below memory_max"),
                format!("it is charged to that, and who fills it has programs killed: {remedy}"),
            );
        }
    }
}

/// Warns of caps that lie above those of what holds them.
fn never_matter(
    checker: &mut Checker<'_>,
    marks: &[(&str, Mark)],
    (inner, outer): (&str, &str),
    (caps, around): (&Caps, &Caps),
) {
    for (key, mark) in marks {
        if let (Some(cap), Some(bound)) = (limit(caps, key), limit(around, key)) {
            if cap > bound {
                checker.warn(
                    mark.at,
                    format!("the {inner} {key} is above {outer}"),
                    "it never matters",
                );
            }
        }
    }
    outside(checker, marks, (inner, outer), (caps, around));
}

/// Warns of CPUs and nodes that what holds them has none of.
fn outside(
    checker: &mut Checker<'_>,
    marks: &[(&str, Mark)],
    (inner, outer): (&str, &str),
    (caps, around): (&Caps, &Caps),
) {
    for (key, mark) in marks {
        if let (Some(set), Some(bound)) = (ids(caps, key), ids(around, key)) {
            if set.and(&bound).is_none() {
                checker.warn(
                    mark.at,
                    format!("the {inner} {key} has none of {outer}"),
                    "the kernel gives all of those instead",
                );
            }
        }
    }
}

/// The user's caps by a rule's profile, and what a session's are worked out by.
pub(super) fn user_caps<'c>(
    checker: &Checker<'c>,
    rule: &Rule,
    merged: &Profile,
    machine: &'c Machine,
) -> Option<(Caps, Bases<'c>)> {
    let mut bases = Bases::new(machine, checker.files);
    let pool = rule.pool(merged);
    if let Some(pool) = pool.and_then(|pool| checker.contents.pools.get(&pool.name)) {
        bases.pool = decide::caps(&pool.table, &bases).ok();
    }
    let user = decide::caps(&merged.user, &bases).ok()?;
    bases.user = Some(user.clone());
    Some((user, bases))
}

fn limit(caps: &Caps, key: &str) -> Option<Limit> {
    match key {
        "memory_high" => caps.memory_high,
        "memory_max" => caps.memory_max,
        "memory_swap_max" => caps.memory_swap_max,
        "cpu_quota" => caps.cpu_quota,
        "tasks_max" => caps.tasks_max,
        _ => None,
    }
}

fn ids(caps: &Caps, key: &str) -> Option<IdSet> {
    let list = match key {
        "allowed_cpus" => &caps.allowed_cpus,
        "allowed_memory_nodes" => &caps.allowed_memory_nodes,
        _ => return None,
    };
    IdSet::parse(list.as_deref()?)
}
