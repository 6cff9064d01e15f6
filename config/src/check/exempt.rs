//! Names in `[exempt]` that are nobody's, rules for none but who is listed there, and who has to be.

use super::{Checker, SUDO_GROUPS, Site};
use crate::diagnostic::Finding;
use crate::facts::Machine;
use crate::outcome::Outcome;
use crate::policy::{Exempt, Policy};
use crate::setting::{OneOf, Setting, mark, value};
use crate::value::{AccountName, Glob, UidRange};

pub(super) fn check(checker: &mut Checker<'_>, policy: &Policy, site: &dyn Site) {
    let exempt = &checker.contents.exempt;
    system_accounts(checker);
    unknown(checker, "user", &exempt.users, |name| site.has_user(name));
    unreached(checker, &policy.exempt);
    // Each distribution has its own group for sudo, and a policy is for many machines.
    unknown(checker, "group", &exempt.groups, |name| {
        SUDO_GROUPS.contains(&name) || site.has_group(name)
    });
    if let Some(machine) = site.machine() {
        sudoers(checker, policy, site, &machine);
    }
}

/// Who adds UIDs may not know that the list is no longer the default's. An empty one is meant so.
fn system_accounts(checker: &mut Checker<'_>) {
    let Some(setting) = &checker.contents.exempt.uids else {
        return;
    };
    let ranges = setting.value.as_deref().unwrap_or_default();
    let mut firsts = ranges.iter().map(|uids| *uids.range().start());
    if !ranges.is_empty() && firsts.all(|first| first > 999) {
        checker.warn(
            setting.at,
            "system accounts are not exempt",
            "what is written replaces the default: add \"1-999\", \"61184-65519\", \"65534\"",
        );
    }
}

/// Who is exempt is so before all rules.
fn unreached(checker: &mut Checker<'_>, exempt: &Exempt) {
    // Root is so, listed or not.
    let users = [&exempt.users[..], &["root".into()]].concat();
    for rule in &checker.contents.rules {
        let tests = &rule.tests;
        let listed = |setting, names: &[String]| {
            let globs: Option<&OneOf<Glob>> = value(setting);
            let is_listed = |glob: &Glob| {
                let name = glob.literal();
                name.is_some_and(|name| names.iter().any(|listed| listed == name))
            };
            globs.is_some_and(|globs| globs.0.iter().all(is_listed))
        };
        let uid_listed = |uids: &UidRange| {
            let (first, last) = uids.range().into_inner();
            let mut ranges = exempt.uids.iter();
            // Root's is, listed or not.
            ranges.any(|range| *range.start() <= first.max(1) && last <= *range.end())
        };
        let uids = value(&tests.uid).is_some_and(|uids| uids.0.iter().all(uid_listed));
        if uids
            || listed(&tests.user, &users)
            || listed(&tests.group, &exempt.groups)
            || listed(&tests.primary_group, &exempt.groups)
        {
            checker.warn(
                rule.at,
                "this rule is never reached",
                "all whom it is for are exempt",
            );
        }
    }
}

fn unknown(
    checker: &mut Checker<'_>,
    what: &str,
    setting: &Option<Setting<Vec<AccountName>>>,
    known: impl Fn(&str) -> bool,
) {
    let Some(setting) = setting else { return };
    let names = setting.value.iter().flatten().map(AccountName::as_str);
    let unknown: Vec<&str> = names.filter(|name| !known(name)).collect();
    if !unknown.is_empty() {
        checker.warn(
            setting.at,
            format!("{what} `{}` is not known here", unknown.join("`, `")),
            "nobody is exempt by it",
        );
    }
}

/// sudo leaves no namespace: its root has the berth's /tmp. Under no_new_privs it does nothing.
fn sudoers(checker: &mut Checker<'_>, policy: &Policy, site: &dyn Site, machine: &Machine) {
    for login in site.sudoers() {
        let login = login.by_ssh();
        let Ok(decision) = policy.decide(&login, machine) else {
            continue;
        };
        let (what, label, or) = match &decision.outcome {
            Outcome::Berth(berth)
                if berth.enforce && (berth.privileges.no_new_privs || berth.namespaces.any()) =>
            {
                (
                    "is in a berth",
                    "sudo does not leave it",
                    ", or give a profile of caps alone",
                )
            }
            // With a root who cannot log in by ssh nobody may be left who could mend it.
            Outcome::Deny { .. } => ("is refused", "only [exempt] comes before this", ""),
            _ => continue,
        };
        let rule = policy.ruling(&login).login;
        let (at, by) = match rule.and_then(|index| policy.contents.rules.get(index)) {
            Some(rule) => (Some(rule.at), "this rule"),
            None => (
                mark(&policy.contents.defaults.no_match).map(|mark| mark.at),
                "`no_match`",
            ),
        };
        if let Some(at) = at {
            checker.findings.push(
                Finding::warning(
                    at,
                    format!("{} may use sudo, and {what} by {by}", login.user),
                    label,
                )
                .note(format!("list the account or its group in [exempt]{or}")),
            );
        }
    }
}
