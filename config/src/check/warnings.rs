//! Warnings that depend on the machine a policy is checked on.

use std::collections::HashMap;

use super::{Checker, PamStack, Site};
use crate::decide::matching::Facts;
use crate::decide::rules::ruling;
use crate::decide::{self, Bases, can_hide, has_user_namespace, no_new_privs, user_manager};
use crate::diagnostic::Finding;
use crate::facts::Machine;
use crate::layers::Layers;
use crate::outcome::{
    Caps, CgroupPlace, FrozenLogin, Limit, Outcome, PrivateTmp, Resource, Scope, UserManager,
};
use crate::policy::exempt_list;
use crate::read::nearest;
use crate::setting::{Mark, Setting, value};
use crate::tables::{CapsTable, Named, Profile, Rule, Tests};
use crate::value::{Glob, IdSet, Linger, Share, Span, Tasks};

pub(super) fn check(checker: &mut Checker<'_>, site: &dyn Site) {
    let contents = checker.contents;
    // A group may be asked of a directory that is far away, and many rules may name it.
    let mut known: HashMap<&str, bool> = HashMap::new();
    for rule in &contents.rules {
        for tests in std::iter::once(&rule.tests).chain(&rule.except) {
            unknown_groups(checker, tests, |name| {
                *known.entry(name).or_insert_with(|| site.has_group(name))
            });
            stacks(checker, tests, site);
        }
    }
    for rule in &contents.rules {
        half_in_force(checker, rule);
    }
    if let (Some(setting), true) = (&contents.defaults.frozen_login, site.systemd()) {
        if setting.value == Some(FrozenLogin::Freeze) {
            checker.findings.push(Finding::warning(
                setting.at,
                "logins of who is frozen are refused here",
                "systemd starts nothing in a slice that is frozen",
            ));
        }
    }
    if let Some(machine) = site.machine() {
        let caps_of = |many: &Named<CapsTable>| {
            decide::caps(&many.table, &Bases::new(&machine, checker.files)).ok()
        };
        let everyone = contents.everyone.as_ref().and_then(caps_of);
        let everyone = everyone.unwrap_or_default();
        for rule in &contents.rules {
            caps_above_caps(checker, rule, &everyone, &machine);
            lacks_of_rule(checker, rule, &machine, site);
        }
        let pools = contents.pools.values();
        for many in pools.chain(&contents.everyone) {
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
        if let Some(everyone) = &contents.everyone {
            lacks(checker, &everyone.table, &machine, site);
        }
        sudoers(checker, site, &machine);
    }
}

/// What a profile asks for and another of its keys takes away.
fn half_in_force(checker: &mut Checker<'_>, rule: &Rule) {
    let merged = checker.profile_of(rule);
    let mut warn = |at, message: &str, label: &str| {
        checker.findings.push(Finding::warning(at, message, label));
    };
    let namespaces = &merged.namespaces;
    if value(&namespaces.mount) != Some(&true) {
        let host = [
            ("pid", &namespaces.pid, "/proc"),
            ("ipc", &namespaces.ipc, "/dev/mqueue"),
        ];
        for (key, setting, shown) in host {
            if let Some(setting) = setting.as_ref().filter(|on| on.value == Some(true)) {
                let message = format!("`{key}` without a mount namespace");
                warn(setting.at, &message, &format!("{shown} is the host's"));
            }
        }
    }
    let on = |setting: &&Setting<bool>| setting.value == Some(true);
    if let Some(net) = namespaces.net.as_ref().filter(on) {
        let hidden = user_manager(&merged) != UserManager::Host;
        if !(can_hide(&merged) && no_new_privs(&merged) && hidden) {
            warn(
                net.at,
                "`net` with a way back to the host's network",
                "it needs `pid`, `mount`, `user` or no_new_privs, and a user_manager that is out of reach",
            );
        }
    }
    let caps = !merged.session.marks().is_empty()
        || !rule.is_login_rule() && !merged.user.marks().is_empty();
    let lingers =
        value(&merged.logout.linger).is_some_and(|linger| *linger != Linger(Some(Span(0))));
    match &merged.keys.cgroup {
        Some(setting) if setting.value == Some(CgroupPlace::Keep) && (caps || lingers) => warn(
            setting.at,
            "`cgroup = \"keep\"` with caps or linger",
            "no cap is set, and nothing lingers",
        ),
        _ => {}
    }
    // Where logins share a berth it counts them together.
    let apart = has_user_namespace(&merged) && value(&namespaces.scope) != Some(&Scope::User);
    let finite = |tasks: &Option<Setting<Tasks>>| {
        value(tasks).is_some_and(|tasks| tasks.0 != Share::Infinity)
    };
    let counted = finite(&merged.user.tasks_max) || finite(&merged.session.tasks_max);
    if let Some(nproc) = merged.rlimits.get(&Resource::Nproc) {
        let limited = nproc
            .value
            .is_some_and(|limit| limit.hard != Limit::Infinity);
        if limited && apart && !counted && !rule.is_login_rule() {
            warn(
                nproc.at,
                "`nproc` without tasks_max",
                "it counts each login by itself: set tasks_max in `user`",
            );
        }
    }
}

type Globs = Option<Setting<crate::setting::OneOf<Glob>>>;

fn names(setting: &Globs) -> Vec<&str> {
    value(setting)
        .map(|globs| globs.0.iter().filter_map(|glob| glob.literal()).collect())
        .unwrap_or_default()
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
            checker.findings.push(Finding::warning(
                setting.at,
                format!("group `{}` is not known here", unknown.join("`, `")),
                "nobody is in it",
            ));
        }
    }
}

fn stacks(checker: &mut Checker<'_>, tests: &Tests, site: &dyn Site) {
    let Some(setting) = &tests.service else {
        return;
    };
    let named = names(&tests.service);
    for service in &named {
        let warning = match site.pam_stack(service) {
            PamStack::WithBerth => continue,
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

/// Compares a rule's session caps with its own user caps, and those with the pool's: for a rule that tests the service
/// the user's caps come from elsewhere.
fn caps_above_caps(checker: &mut Checker<'_>, rule: &Rule, everyone: &Caps, machine: &Machine) {
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

/// Looks for what this machine has not, unless the rule says for which machines it is.
fn lacks_of_rule(checker: &mut Checker<'_>, rule: &Rule, machine: &Machine, site: &dyn Site) {
    if rule.names_machines() {
        return;
    }
    let contents = checker.contents;
    let merged = checker.profile_of(rule);
    lacks(checker, &merged.session, machine, site);
    if !rule.is_login_rule() {
        lacks(checker, &merged.user, machine, site);
        let pool = rule.pool(&merged);
        if let Some(pool) = pool.and_then(|pool| contents.pools.get(&pool.name)) {
            lacks(checker, &pool.table, machine, site);
        }
    }
}

/// Warns of CPUs, nodes and disks that this machine has not.
fn lacks(checker: &mut Checker<'_>, caps: &CapsTable, machine: &Machine, site: &dyn Site) {
    const FAILS: &str = "logins that get this fail";
    let mut warn = |at, message: String, label: String| {
        checker.findings.push(Finding::warning(at, message, label));
    };
    let (cpus, nodes) = (&machine.cpus, &machine.memory_nodes);
    for (key, setting, here) in [
        ("allowed_cpus", &caps.allowed_cpus, cpus),
        ("allowed_memory_nodes", &caps.allowed_memory_nodes, nodes),
    ] {
        if let (Some(setting), Some(list)) = (setting, value(setting)) {
            if list.on(here).is_none() {
                let message = format!("this machine has none of these {key}");
                warn(setting.at, message, format!("it has {here}: {FAILS}"));
            }
        }
    }
    for setting in [
        &caps.io_read_bandwidth_max,
        &caps.io_write_bandwidth_max,
        &caps.io_read_iops_max,
        &caps.io_write_iops_max,
    ] {
        if let (Some(setting), Some(devices)) = (setting, value(setting)) {
            for path in devices.0.keys().map(|path| path.path()) {
                if let Some(problem) = site.path_problem(path) {
                    let message =
                        format!("not root alone decides which disk {} means", path.display());
                    warn(setting.at, message, problem);
                } else if let Some(problem) = site.disk_problem(path) {
                    let message = format!("{} cannot be capped here", path.display());
                    warn(setting.at, message, format!("{problem}: {FAILS}"));
                }
            }
        }
    }
}

/// Warns of a memory_high that memory_max keeps everybody from passing.
fn never_slows(checker: &mut Checker<'_>, marks: &[(&str, Mark)], caps: &Caps) {
    let (Some(high @ Limit::Finite(_)), Some(max)) = (caps.memory_high, caps.memory_max) else {
        return;
    };
    let mark = marks.iter().find(|(key, _)| *key == "memory_high");
    if let (Some((_, mark)), true) = (mark, high >= max) {
        checker.findings.push(Finding::warning(
            mark.at,
            "memory_high is not below memory_max",
            "nothing is ever slowed down by it",
        ));
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
            checker.findings.push(Finding::warning(
                at,
                format!("this {key} is not below memory_max"),
                format!("it is charged to that, and who fills it has programs killed: {remedy}"),
            ));
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
                checker.findings.push(Finding::warning(
                    mark.at,
                    format!("the {inner} {key} is above {outer}"),
                    "it never matters",
                ));
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
                checker.findings.push(Finding::warning(
                    mark.at,
                    format!("the {inner} {key} has none of {outer}"),
                    "the kernel gives all of those instead",
                ));
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

/// sudo cannot leave a PID or user namespace, and does nothing under no_new_privs.
fn sudoers(checker: &mut Checker<'_>, site: &dyn Site, machine: &Machine) {
    let contents = checker.contents;
    let exempt = exempt_list(contents);
    for login in site.sudoers() {
        if decide::exempt_because(&exempt, &login).is_some() {
            continue;
        }
        let login = login.by_ssh();
        let ruling = ruling(contents, &Facts::new(&login, contents));
        let decided = decide::decide(
            contents,
            checker.files,
            (&ruling, &login.service),
            machine,
            &Layers::default(),
        );
        let Ok((decision, _)) = decided else {
            continue;
        };
        let (what, label, or) = match &decision.outcome {
            Outcome::Berth(berth) if berth.privileges.no_new_privs || berth.namespaces.pid => (
                "is in a berth",
                "sudo cannot leave it",
                ", or give a profile of caps alone",
            ),
            // With a root who cannot log in by ssh nobody may be left who could mend it.
            Outcome::Deny { .. } => ("is refused", "only [exempt] comes before this", ""),
            _ => continue,
        };
        let rule = ruling.login.and_then(|index| contents.rules.get(index));
        let no_match = || {
            contents
                .defaults
                .no_match
                .as_ref()
                .map(|setting| setting.at)
        };
        if let Some(at) = rule.map(|rule| rule.at).or_else(no_match) {
            let by = if rule.is_some() {
                "this rule"
            } else {
                "`no_match`"
            };
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
