//! Namespaces and privileges that do not fit together.

use super::{Checker, Site};
use crate::decide::{can_hide, has_user_namespace, user_manager};
use crate::diagnostic::Finding;
use crate::outcome::{PrivateTmp, Scope, UserManager};
use crate::setting::value;
use crate::tables::Profile;

pub(super) fn check(checker: &mut Checker<'_>, systemd: bool) {
    let contents = checker.contents;
    for rule in &contents.rules {
        let merged = checker.profile_of(rule);
        user_namespace(checker, &merged);
        mounts(checker, &merged);
        manager(checker, &merged);
        let manager = user_manager(&merged);
        let in_reach = systemd && manager != UserManager::Hidden;
        if let (true, Some(pool)) = (in_reach, rule.pool(&merged)) {
            let name = manager.word();
            checker.findings.push(
                Finding::error(
                    pool.at,
                    format!("pool `{}` with user_manager = \"{name}\"", pool.name),
                    "the user's service manager would have the cap a second time",
                )
                .note("set namespaces.user_manager to \"hidden\""),
            );
        }
    }
}

/// A pool comes from the user rule, and the namespaces from the login rule. Whether anybody meets both is not known here.
pub(super) fn check_site(checker: &mut Checker<'_>, site: &dyn Site) {
    if !site.systemd() {
        return;
    }
    let contents = checker.contents;
    let mut behind = None;
    for rule in contents.rules.iter().rev() {
        let merged = checker.profile_of(rule);
        if !rule.is_login_rule() {
            let pool = rule.pool(&merged).map(|pool| pool.name.clone());
            behind = pool.or(behind);
            continue;
        }
        let manager = user_manager(&merged);
        let in_reach = manager != UserManager::Hidden && !rule.profiles().is_empty();
        if let (true, Some(pool)) = (in_reach, &behind) {
            let name = manager.word();
            checker.findings.push(
                Finding::warning(
                    rule.at,
                    format!("user_manager = \"{name}\" before a rule with a pool"),
                    format!("users of `{pool}` who come by this have its cap a second time"),
                )
                .note("set namespaces.user_manager to \"hidden\""),
            );
        }
    }
}

fn user_namespace(checker: &mut Checker<'_>, profile: &Profile) {
    let Some(setting) = &profile.privileges.no_new_privs else {
        return;
    };
    if setting.value == Some(false) && has_user_namespace(profile) {
        checker.findings.push(
            Finding::error(
                setting.at,
                "a user namespace without no_new_privs",
                "a setuid program in there would be root on the host",
            )
            .note("leave this out, or write namespaces.user = \"off\""),
        );
    }
}

/// What cannot be hidden is not said to be. Where the manager is in the berth, one outside is hidden too.
fn manager(checker: &mut Checker<'_>, profile: &Profile) {
    let Some(setting) = &profile.namespaces.user_manager else {
        return;
    };
    let Some(manager @ (UserManager::Hidden | UserManager::Isolated)) = setting.value else {
        return;
    };
    let name = manager.word();
    if !can_hide(profile) {
        checker.error(
            setting.at,
            format!("`user_manager = \"{name}\"` without PID and mount namespaces"),
            "it needs `pid = true, mount = true`",
        );
    }
    let scope = value(&profile.namespaces.scope).copied();
    if manager == UserManager::Isolated && scope != Some(Scope::User) {
        checker.error(
            setting.at,
            "`user_manager = \"isolated\"` with a berth for each login",
            "it needs `scope = \"user\"`: a user has one service manager",
        );
    }
}

/// What is mounted in a berth needs a mount namespace to be mounted in.
fn mounts(checker: &mut Checker<'_>, profile: &Profile) {
    let namespaces = &profile.namespaces;
    let tmp = value(&namespaces.private_tmp).is_some_and(|tmp| tmp.0 != PrivateTmp::Off);
    let keep = value(&namespaces.tmp_keep).is_some_and(|names| !names.is_empty());
    let shm = value(&namespaces.private_shm).is_some_and(|shm| shm.0.is_some());
    let mount = value(&namespaces.mount).is_some_and(|mount| *mount);
    let needing = [
        (
            "private_tmp",
            namespaces.private_tmp.as_ref().map(|s| s.at),
            tmp,
        ),
        (
            "private_shm",
            namespaces.private_shm.as_ref().map(|s| s.at),
            shm,
        ),
        (
            "propagation",
            namespaces.propagation.as_ref().map(|s| s.at),
            value(&namespaces.propagation).is_some(),
        ),
    ];
    for (key, at, set) in needing {
        if let (Some(at), true, false) = (at, set, mount) {
            checker.error(
                at,
                format!("`{key}` without a mount namespace"),
                "it needs `mount = true`",
            );
        }
    }
    if let (Some(setting), true, false) = (&namespaces.tmp_keep, keep, tmp) {
        checker.error(
            setting.at,
            "`tmp_keep` without a private /tmp",
            "it needs `private_tmp`",
        );
    }
}
