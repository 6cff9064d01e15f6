//! Names of groups and services that this machine does not have.

use std::collections::HashMap;

use super::{Checker, PamStack, Site};
use crate::diagnostic::Finding;
use crate::read::nearest;
use crate::setting::{OneOf, Setting, value};
use crate::tables::Tests;
use crate::value::Glob;

pub(super) fn check(checker: &mut Checker<'_>, site: &dyn Site) {
    let contents = checker.contents;
    // A group may be asked of a directory that is far away, and many rules may name it.
    let mut known: HashMap<&str, bool> = HashMap::new();
    // Other machines may have what this one has not.
    let rules = contents.rules.iter();
    for rule in rules.filter(|rule| !rule.names_machines()) {
        for tests in std::iter::once(&rule.tests).chain(&rule.except) {
            unknown_groups(checker, tests, |name| {
                *known.entry(name).or_insert_with(|| site.has_group(name))
            });
        }
        let gives = !rule.profiles().is_empty();
        stacks(checker, &rule.tests, gives, site);
        if let Some(excepted) = &rule.except {
            // Of these it gives nothing to anybody.
            stacks(checker, excepted, false, site);
        }
    }
}

fn unknown_groups<'t>(
    checker: &mut Checker<'_>,
    tests: &'t Tests,
    mut known: impl FnMut(&'t str) -> bool,
) {
    for setting in [&tests.group, &tests.primary_group] {
        let unknown: Vec<&str> = names(setting)
            .into_iter()
            .filter(|name| !known(name))
            .collect();
        if let (Some(setting), false) = (setting, unknown.is_empty()) {
            checker.warn(
                setting.at,
                format!("group `{}` is not known here", unknown.join("`, `")),
                "nobody is in it",
            );
        }
    }
}

/// `gives`: the rule gives its logins a profile.
fn stacks(checker: &mut Checker<'_>, tests: &Tests, gives: bool, site: &dyn Site) {
    let Some(setting) = &tests.service else {
        return;
    };
    let named = names(&tests.service);
    for service in &named {
        let warning = match site.pam_stack(service) {
            PamStack::WithBerth => continue,
            PamStack::RefusesOnly if !gives => continue,
            PamStack::RefusesOnly => Finding::warning(
                setting.at,
                format!("service `{service}` has no session line of pam_berth"),
                "its logins get no profile, and can only be refused",
            ),
            PamStack::WithoutBerth => Finding::warning(
                setting.at,
                format!("service `{service}` has no pam_berth in its PAM stack"),
                "its logins never reach this rule",
            ),
            // A policy is for many machines, and not each has all services. What is only nearly the name of one may be
            // meant to be it, unless that is named as well, as cron is beside crond.
            PamStack::Absent => {
                let services = site.pam_services();
                let meant = nearest(service, services.iter().map(String::as_str));
                let Some(meant) = meant.filter(|meant| !named.contains(meant)) else {
                    continue;
                };
                Finding::warning(
                    setting.at,
                    format!("there is no PAM service `{service}` here"),
                    format!("did you mean `{meant}`?"),
                )
            }
        };
        checker.findings.push(warning);
    }
}

fn names(setting: &Option<Setting<OneOf<Glob>>>) -> Vec<&str> {
    value(setting)
        .map(|globs| globs.0.iter().filter_map(|glob| glob.literal()).collect())
        .unwrap_or_default()
}
