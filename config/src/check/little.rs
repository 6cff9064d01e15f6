//! Limits with which nobody can work, most of them slips of units, and a limit of which the kernel gives less. Penalties
//! for everybody are such slips, too, and limits that are none.

use super::{Checker, Site};
use crate::diagnostic::Finding;
use crate::outcome::{Limit, Resource};
use crate::setting::set;
use crate::tables::{CapsTable, PenaltyTable, Profile, Rule};
use crate::value::{Base, CpuQuota, Devices, Memory, Rate, Share, bytes_text, too_little};

pub(super) fn check(checker: &mut Checker<'_>, site: &dyn Site) {
    let contents = checker.contents;
    for rule in &contents.rules {
        let merged = checker.profile_of(rule);
        rlimits(checker, &merged);
        files(checker, rule, &merged, site);
        checker.findings.extend(caps(&merged.user));
        checker.findings.extend(caps(&merged.session));
    }
    for many in contents.pools.values().chain(&contents.everyone) {
        checker.findings.extend(caps(&many.table));
    }
    for named in contents.penalties.values() {
        offences_of_all(checker, &named.table);
    }
}

/// Whoever is logged in would be on the last step for good.
fn offences_of_all(checker: &mut Checker<'_>, penalty: &PenaltyTable) {
    if let Some((setting, Memory(Share::Amount(bytes)))) = set(&penalty.memory_above) {
        if let Some(wrong) = too_little("memory_above", *bytes) {
            checker.warn(
                setting.at,
                format!(
                    "each login is above a memory_above of {}",
                    bytes_text(*bytes)
                ),
                wrong.label,
            );
        }
    }
    if let Some((setting, CpuQuota::Part(part))) = set(&penalty.cpu_above) {
        let percent = part.percent;
        if part.of == Base::Bare && percent.of(100) < 5 {
            checker.warn(
                setting.at,
                format!("cpu_above is {percent} of one CPU"),
                format!("did you mean \"{}%\"?", percent.of(10_000)),
            );
        }
    }
}

/// Caps under which all stand still.
pub(crate) fn caps(caps: &CapsTable) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(high) = &caps.memory_high {
        let wrong = match high.value.map(|memory| memory.0) {
            Some(Share::Amount(bytes)) => too_little("memory_high", bytes),
            _ => None,
        };
        if let Some(wrong) = wrong {
            findings.push(Finding::warning(high.at, wrong.message, wrong.label));
        }
    }
    let bandwidths = [&caps.io_read_bandwidth_max, &caps.io_write_bandwidth_max];
    for setting in bandwidths.into_iter().flatten() {
        let rates = setting.value.iter();
        for Rate(rate) in rates.flat_map(|Devices(rates)| rates.values()) {
            if let Limit::Finite(bytes @ ..10_000) = rate {
                findings.push(Finding::warning(
                    setting.at,
                    format!("a bandwidth of {bytes} bytes a second"),
                    "a number alone is bytes: megabytes are written \"50M\"",
                ));
            }
        }
    }
    findings
}

/// They have the names of limits.conf(5), and not its units.
fn rlimits(checker: &mut Checker<'_>, profile: &Profile) {
    const KIB: &str =
        "hardly a program starts with so little; limits.conf(5) has KiB, and this is in bytes";
    for (resource, setting) in &profile.rlimits {
        let (least, unit, label) = match resource {
            Resource::Stack => (128 << 10, "bytes", KIB),
            Resource::As | Resource::Data => (16 << 20, "bytes", KIB),
            Resource::Cpu => (
                60,
                "seconds",
                "then a shell is killed; limits.conf(5) has minutes, and this is in seconds",
            ),
            Resource::Fsize => (
                2 << 20,
                "bytes",
                "a program that writes past it is killed; limits.conf(5) has KiB, and this is in bytes",
            ),
            Resource::Rss => (u64::MAX, "bytes", "Linux ignores it: use memory_max"),
            Resource::Locks => (u64::MAX, "locks", "Linux ignores it"),
            _ => continue,
        };
        if let Some(Limit::Finite(soft)) = setting.value.map(|limit| limit.soft) {
            if soft < least {
                let message = format!("`{}` of {soft} {unit}", resource.name());
                checker.warn(setting.at, message, label);
            }
        }
    }
}

/// Above fs.nr_open setrlimit(2) refuses it to everybody.
fn files(checker: &mut Checker<'_>, rule: &Rule, profile: &Profile, site: &dyn Site) {
    let Some(setting) = profile.rlimits.get(&Resource::Nofile) else {
        return;
    };
    let hard = setting.value.map(|limit| limit.hard);
    if let (Some(Limit::Finite(hard)), Some(most), false) =
        (hard, site.files_max(), rule.names_machines())
    {
        if hard > most {
            checker.warn(
                setting.at,
                "this machine gives nobody so many files",
                format!("fs.nr_open is {most}: logins that get this fail"),
            );
        }
    }
}
