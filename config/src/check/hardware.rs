//! CPUs, nodes and disks in caps that this machine does not have.

use super::{Checker, Site};
use crate::facts::Machine;
use crate::setting::set;
use crate::tables::{CapsTable, Rule};

pub(super) fn check(checker: &mut Checker<'_>, site: &dyn Site) {
    let Some(machine) = site.machine() else {
        return;
    };
    let contents = checker.contents;
    for rule in &contents.rules {
        lacks_of_rule(checker, rule, &machine, site);
    }
    if let Some(everyone) = &contents.everyone {
        lacks(checker, &everyone.table, &machine, site);
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
    let (cpus, nodes) = (&machine.cpus, &machine.memory_nodes);
    for (key, setting, here) in [
        ("allowed_cpus", &caps.allowed_cpus, cpus),
        ("allowed_memory_nodes", &caps.allowed_memory_nodes, nodes),
    ] {
        if let Some((setting, list)) = set(setting) {
            if list.on(here).is_none() {
                let message = format!("this machine has none of these {key}");
                checker.warn(setting.at, message, format!("it has {here}: {FAILS}"));
            }
        }
    }
    for setting in [
        &caps.io_read_bandwidth_max,
        &caps.io_write_bandwidth_max,
        &caps.io_read_iops_max,
        &caps.io_write_iops_max,
    ] {
        if let Some((setting, devices)) = set(setting) {
            for path in devices.0.keys().map(|path| path.path()) {
                if let Some(problem) = site.path_problem(path) {
                    let message =
                        format!("not root alone decides which disk {} means", path.display());
                    checker.warn(setting.at, message, problem);
                } else if let Some(problem) = site.disk_problem(path) {
                    let message = format!("{} cannot be capped here", path.display());
                    checker.warn(setting.at, message, format!("{problem}: {FAILS}"));
                }
            }
        }
    }
}
