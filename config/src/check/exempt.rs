//! Names in `[exempt]` that are nobody's: who was meant is kept waiting by a dead LDAP, or locked out.

use super::{Checker, SUDO_GROUPS, Site};
use crate::diagnostic::Finding;
use crate::setting::Setting;
use crate::value::AccountName;

pub(super) fn check(checker: &mut Checker<'_>, site: &dyn Site) {
    let exempt = &checker.contents.exempt;
    unknown(checker, "user", &exempt.users, |name| site.has_user(name));
    // Each distribution has its own group for sudo, and a policy is for many machines.
    unknown(checker, "group", &exempt.groups, |name| {
        SUDO_GROUPS.contains(&name) || site.has_group(name)
    });
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
