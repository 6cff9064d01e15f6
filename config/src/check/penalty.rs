//! Penalties: what they need, the range of each value, and profiles whose penalty can never apply.

use std::collections::BTreeMap;

use super::{Checker, Site, above, never};
use crate::decide;
use crate::diagnostic::{At, Finding};
use crate::facts::Machine;
use crate::outcome::Limit;
use crate::setting::{Setting, set, value};
use crate::tables::PenaltyTable;
use crate::value::{CpuQuota, Memory, Name, Share, Span};

/// Longer than a day, the mean tells of yesterday.
const MOST_WINDOW: u64 = 86_400;
/// From one look to the next.
const LEAST_TIME: u64 = 60;
/// A year: times to come are added to the clock's.
const MOST_TIME: u64 = 366 * 86_400;

pub(super) fn check(checker: &mut Checker<'_>, whole: bool) {
    let contents = checker.contents;
    for named in contents.penalties.values() {
        if whole {
            needs(checker, named.at, &named.table);
        }
        of_table(checker, &named.table);
    }
    let by_login = never::by_login_alone(checker);
    for (name, profile) in &contents.profiles {
        let Some((setting, _)) = set(&profile.table.keys.penalty) else {
            continue;
        };
        if by_login.contains(name) {
            let places: Vec<_> = never::selecting(checker, name)
                .iter()
                .map(|rule| checker.place(rule.at))
                .collect();
            checker.findings.push(
                Finding::error(
                    setting.at,
                    "this penalty can never apply",
                    format!("only rules that test the login select `{name}`: {}", places.join(", ")),
                )
                .note("a penalty is about all that a user does: it comes from the user rule's profile"),
            );
        }
    }
}

fn needs(checker: &mut Checker<'_>, at: At, table: &PenaltyTable) {
    let missing = [
        ("window", table.window.is_none()),
        ("steps", table.steps.is_none()),
        ("step_time", table.step_time.is_none()),
        ("forget", table.forget.is_none()),
        (
            "cpu_above` or `memory_above",
            table.cpu_above.is_none() && table.memory_above.is_none(),
        ),
    ];
    for (key, _) in missing.iter().filter(|(_, missing)| *missing) {
        checker.error(at, format!("no `{key}`"), "a penalty needs it");
    }
}

fn of_table(checker: &mut Checker<'_>, table: &PenaltyTable) {
    above_infinity(checker, &table.cpu_above, &CpuQuota::Infinity);
    above_infinity(checker, &table.memory_above, &Memory(Share::Infinity));
    span(
        checker,
        "window",
        &table.window,
        (LEAST_TIME, MOST_WINDOW),
        "1min to 1d",
    );
    let times = (LEAST_TIME, MOST_TIME);
    span(
        checker,
        "step_time",
        &table.step_time,
        times,
        "1min to 366d",
    );
    span(checker, "forget", &table.forget, times, "1min to 366d");
    if let Some((setting, steps)) = set(&table.steps) {
        for step in steps.0.iter().filter(|step| !step.is_within(1, 100)) {
            checker.error(
                setting.at,
                format!("a step of {step}"),
                "1% to 100% of the user's cpu_quota",
            );
        }
    }
}

fn above_infinity<T: PartialEq>(
    checker: &mut Checker<'_>,
    setting: &Option<Setting<T>>,
    infinity: &T,
) {
    if let Some((setting, _)) = set(setting).filter(|(_, value)| *value == infinity) {
        checker.error(setting.at, "nobody is ever above infinity", "leave it out");
    }
}

fn span(
    checker: &mut Checker<'_>,
    key: &str,
    setting: &Option<Setting<Span>>,
    (least, most): (u64, u64),
    range: &str,
) {
    if let Some((setting, span)) = set(setting) {
        if !(least..=most).contains(&span.0) {
            checker.error(setting.at, format!("`{key}` is out of range"), range);
        }
    }
}

/// What comes to nothing here: programs that do not count and are not here or not to be trusted, use that a cap keeps
/// everybody below.
pub(super) fn check_site(checker: &mut Checker<'_>, site: &dyn Site) {
    if let Some(machine) = site.machine() {
        never_above(checker, &machine);
    }
    for named in checker.contents.penalties.values() {
        let Some((setting, except)) = set(&named.table.except) else {
            continue;
        };
        for pattern in except {
            if let Some(problem) = site.program_problem(pattern) {
                checker.warn(
                    setting.at,
                    format!("`{pattern}` excepts nothing here"),
                    problem,
                );
            }
        }
    }
}

/// Whoever is capped at what a penalty allows is never above it. It is nobody where that holds for all who are watched.
fn never_above(checker: &mut Checker<'_>, machine: &Machine) {
    let contents = checker.contents;
    // By penalty and key; `None` where somebody can be above it.
    let mut told: BTreeMap<(&Name, &str), Option<Finding>> = BTreeMap::new();
    // A login rule's profile is not what its users are watched and capped by.
    for rule in contents.rules.iter().filter(|rule| !rule.is_login_rule()) {
        let merged = checker.profile_of(rule);
        let name = value(&merged.keys.penalty).map(|penalty| &penalty.name);
        let Some((name, named)) = name.and_then(|name| contents.penalties.get_key_value(name))
        else {
            continue;
        };
        let Some(penalty) = decide::penalty(contents, &merged, machine) else {
            continue;
        };
        // What a rule for other machines gives has nothing to do with how big this one is.
        let caps = above::user_caps(checker, rule, &merged, machine);
        let caps = caps.filter(|_| !rule.names_machines());
        let caps = caps.map(|(caps, _)| caps).unwrap_or_default();
        let (table, user) = (&named.table, &merged.user);
        let keys = [
            (
                ("cpu_above", table.cpu_above.as_ref().map(|set| set.at)),
                (penalty.cpu_above, caps.cpu_quota),
                ("cpu_quota", user.cpu_quota.as_ref().map(|set| set.at)),
            ),
            (
                (
                    "memory_above",
                    table.memory_above.as_ref().map(|set| set.at),
                ),
                (penalty.memory_above, caps.memory_max),
                ("memory_max", user.memory_max.as_ref().map(|set| set.at)),
            ),
        ];
        for ((key, at), (above, cap), (cap_key, cap_at)) in keys {
            let (Some(at), Some(above)) = (at, above) else {
                continue;
            };
            let never = matches!(cap, Some(Limit::Finite(cap)) if above >= cap);
            let finding = never.then(|| {
                let place = cap_at.map(|at| checker.place(at)).unwrap_or_default();
                Finding::warning(
                    at,
                    format!("nobody is ever above this `{key}` here"),
                    format!("the {cap_key} of {place} is no higher"),
                )
            });
            told.entry((name, key))
                .and_modify(|others| *others = others.take().and(finding.clone()))
                .or_insert(finding);
        }
    }
    checker.findings.extend(told.into_values().flatten());
}
