//! Names in `[exempt]` that are nobody's, and rules for none but who is listed there.

use super::{Checker, SUDO_GROUPS, Site};
use crate::diagnostic::Finding;
use crate::policy::exempt_list;
use crate::setting::{OneOf, Setting, value};
use crate::value::{AccountName, Glob, UidRange};

pub(super) fn check(checker: &mut Checker<'_>, site: &dyn Site) {
    let exempt = &checker.contents.exempt;
    unknown(checker, "user", &exempt.users, |name| site.has_user(name));
    unreached(checker);
    // Each distribution has its own group for sudo, and a policy is for many machines.
    unknown(checker, "group", &exempt.groups, |name| {
        SUDO_GROUPS.contains(&name) || site.has_group(name)
    });
}

/// Who is exempt is so before all rules.
fn unreached(checker: &mut Checker<'_>) {
    let contents = checker.contents;
    let exempt = exempt_list(contents);
    for rule in &contents.rules {
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
            // Root is exempt, listed or not.
            ranges.any(|range| *range.start() <= first.max(1) && last <= *range.end())
        };
        let uids = value(&tests.uid).is_some_and(|uids| uids.0.iter().all(uid_listed));
        if uids
            || listed(&tests.user, &exempt.users)
            || listed(&tests.group, &exempt.groups)
            || listed(&tests.primary_group, &exempt.groups)
        {
            checker.findings.push(Finding::warning(
                rule.at,
                "this rule is never reached",
                "[exempt] lists all whom it is for",
            ));
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
        checker.findings.push(Finding::warning(
            setting.at,
            format!("{what} `{}` is not known here", unknown.join("`, `")),
            "nobody is exempt by it",
        ));
    }
}
