//! Keys of a profile that do not fit together, most of them about namespaces and privileges.

use super::{Checker, Site};
use crate::decide::{can_hide, has_user_namespace, no_new_privs, user_manager};
use crate::diagnostic::Finding;
use crate::outcome::{CgroupPlace, FrozenLogin, Limit, PrivateTmp, Resource, Scope, UserManager};
use crate::setting::{Setting, set, value};
use crate::tables::{Profile, Rule};
use crate::value::{Linger, Share, Span, Tasks};

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

pub(super) fn check_site(checker: &mut Checker<'_>, site: &dyn Site) {
    for rule in &checker.contents.rules {
        half_in_force(checker, rule);
    }
    if site.systemd() {
        frozen_login(checker);
        pools(checker);
    }
}

fn frozen_login(checker: &mut Checker<'_>) {
    if let Some(setting) = &checker.contents.defaults.frozen_login {
        if setting.value == Some(FrozenLogin::Freeze) {
            checker.warn(
                setting.at,
                "logins of who is frozen are refused here",
                "systemd starts nothing in a slice that is frozen",
            );
        }
    }
}

/// A pool comes from the user rule, and the namespaces from the login rule. Whether anybody meets both is not known here.
fn pools(checker: &mut Checker<'_>) {
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
    let Some((setting, manager)) = set(&profile.namespaces.user_manager) else {
        return;
    };
    if *manager == UserManager::Host {
        return;
    }
    let name = manager.word();
    if !can_hide(profile) {
        checker.error(
            setting.at,
            format!("`user_manager = \"{name}\"` without PID and mount namespaces"),
            "it needs `pid = true, mount = true`",
        );
    }
    let scope = value(&profile.namespaces.scope).copied();
    if *manager == UserManager::Isolated && scope != Some(Scope::User) {
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

/// What a profile asks for and another of its keys takes away.
fn half_in_force(checker: &mut Checker<'_>, rule: &Rule) {
    let merged = checker.profile_of(rule);
    let namespaces = &merged.namespaces;
    if value(&namespaces.mount) != Some(&true) {
        let host = [
            ("pid", &namespaces.pid, "/proc"),
            ("ipc", &namespaces.ipc, "/dev/mqueue"),
        ];
        for (key, setting, shown) in host {
            if let Some(setting) = setting.as_ref().filter(|on| on.value == Some(true)) {
                let message = format!("`{key}` without a mount namespace");
                checker.warn(setting.at, message, format!("{shown} is the host's"));
            }
        }
    }
    let on = |setting: &&Setting<bool>| setting.value == Some(true);
    if let Some(net) = namespaces.net.as_ref().filter(on) {
        let hidden = user_manager(&merged) != UserManager::Host;
        if !(can_hide(&merged) && no_new_privs(&merged) && hidden) {
            checker.warn(
                net.at,
                "`net` with a way back to the host's network",
                "it needs `pid`, `mount`, `user` or no_new_privs, and a user_manager that is out of reach",
            );
        }
    }
    let of_user = !merged.user.marks().is_empty() || value(&merged.keys.penalty).is_some();
    let caps = !merged.session.marks().is_empty() || !rule.is_login_rule() && of_user;
    let lingers =
        set(&merged.logout.linger).filter(|(_, linger)| **linger != Linger(Some(Span(0))));
    let finite = |tasks: &Option<Setting<Tasks>>| {
        value(tasks).is_some_and(|tasks| tasks.0 != Share::Infinity)
    };
    let user_counted = finite(&merged.user.tasks_max) || rule.is_login_rule();
    if let Some((setting, CgroupPlace::Keep)) = set(&merged.keys.cgroup) {
        if caps || lingers.is_some() {
            checker.warn(
                setting.at,
                "`cgroup = \"keep\"` with caps, a penalty or linger",
                "its logins set no cap, no penalty applies to them, and nothing lingers",
            );
        }
    } else if let (Some((linger, _)), false) = (lingers, user_counted) {
        checker.warn(
            linger.at,
            "`linger` without the user's tasks_max",
            "nothing else limits how many sessions linger, each with processes of Berth's outside of the caps",
        );
    }
    // Where logins share a berth it counts them together.
    let apart = has_user_namespace(&merged) && value(&namespaces.scope) != Some(&Scope::User);
    let counted = user_counted || finite(&merged.session.tasks_max);
    if let Some(nproc) = merged.rlimits.get(&Resource::Nproc) {
        let limited = nproc
            .value
            .is_some_and(|limit| limit.hard != Limit::Infinity);
        if limited && apart && !counted {
            checker.warn(
                nproc.at,
                "`nproc` without tasks_max",
                "it counts each login by itself: set tasks_max in `user`",
            );
        }
    }
}
