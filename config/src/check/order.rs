//! What is allowed and hardly meant: profiles that no rule uses, tests that never match, a throttle without a limit.

use std::collections::BTreeSet;
use std::collections::btree_map::{BTreeMap, Entry};

use super::{Checker, never};
use crate::diagnostic::{At, Finding};
use crate::setting::value;
use crate::tables::Rule;
use crate::value::Name;

pub(super) fn check(checker: &mut Checker<'_>) {
    unused(checker);
    namesakes(checker);
    never_a_tty(checker);
    stalled(checker);
    idle_pools(checker);
}

fn unused(checker: &mut Checker<'_>) {
    let contents = checker.contents;
    let rules = contents.rules.iter();
    let names: Vec<&Name> = rules
        .flat_map(|rule| rule.profiles().iter().map(|profile| &profile.name))
        .collect();
    let used: BTreeSet<&Name> = contents
        .with_inherited(names)
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    for (name, profile) in &contents.profiles {
        if !used.contains(name) {
            checker.findings.push(Finding::warning(
                profile.at,
                format!("no rule uses profile `{name}`"),
                "",
            ));
        }
    }
}

/// Rules that the log, `explain` and what is said of an `[[expect]]` cannot tell apart.
fn namesakes(checker: &mut Checker<'_>) {
    let mut known: BTreeMap<&str, &Rule> = BTreeMap::new();
    for rule in &checker.contents.rules {
        let (Some(setting), Some(name)) = (&rule.keys.name, value(&rule.keys.name)) else {
            continue;
        };
        match known.entry(name.as_str()) {
            Entry::Vacant(entry) => drop(entry.insert(rule)),
            Entry::Occupied(first) => {
                let label = format!("so has {}", checker.place(first.get().at));
                let message = format!("another rule has the name `{name}`");
                let warning = Finding::warning(setting.at, message, label);
                checker.findings.push(warning);
            }
        }
    }
}

/// sshd opens the session before it has a terminal, and says `ssh` for one. And a terminal is looked at by its name.
fn never_a_tty(checker: &mut Checker<'_>) {
    let contents = checker.contents;
    for rule in &contents.rules {
        if let Some(setting) = &rule.tests.tty {
            let ttys = setting.value.as_ref();
            if ttys.is_some_and(|ttys| ttys.0.iter().all(|tty| tty.as_str().starts_with("/dev/"))) {
                checker.findings.push(Finding::warning(
                    setting.at,
                    "this can never match",
                    "a tty is named without \"/dev/\"",
                ));
            }
        }
        let (Some(services), Some(ttys)) = (value(&rule.tests.service), value(&rule.tests.tty))
        else {
            continue;
        };
        let only_sshd = services
            .0
            .iter()
            .all(|service| service.literal() == Some("sshd"));
        let no_ssh = !ttys.0.iter().any(|tty| tty.matches("ssh"));
        if let (Some(setting), true, true) = (&rule.tests.tty, only_sshd, no_ssh) {
            checker.findings.push(
                Finding::warning(
                    setting.at,
                    "this can never match",
                    "under sshd the tty is always \"ssh\"",
                )
                .note("sshd opens the PAM session before it has a terminal"),
            );
        }
    }
}

/// Past memory_high a user's programs are slowed to a crawl, and nothing is killed or logged.
fn stalled(checker: &mut Checker<'_>) {
    let contents = checker.contents;
    for rule in &contents.rules {
        let merged = checker.profile_of(rule);
        for caps in [&merged.user, &merged.session] {
            let high = caps
                .memory_high
                .as_ref()
                .filter(|high| high.value.is_some());
            if let (Some(high), None) = (high, value(&caps.memory_max)) {
                checker.findings.push(Finding::warning(
                    high.at,
                    "memory_high without memory_max",
                    "past it programs stall, and nothing ends them",
                ));
            }
        }
    }
}

/// Pools that nobody gets: a user's pool comes from the user rule, which never tests the login.
fn idle_pools(checker: &mut Checker<'_>) {
    let contents = checker.contents;
    let rules = contents.rules.iter().filter(|rule| rule.is_login_rule());
    let of_rules = rules
        .filter_map(|rule| rule.keys.pool.as_ref())
        .map(|pool| (pool.at, "this rule tests the login"));
    let by_login = never::by_login_alone(checker);
    let of_profiles = contents.profiles.iter().filter_map(|(name, profile)| {
        let pool = profile.table.keys.pool.as_ref();
        let pool = pool.filter(|pool| pool.value.is_some())?;
        let idle = by_login.contains(name);
        idle.then_some((pool.at, "only rules that test the login give it"))
    });
    let idle: Vec<(At, &str)> = of_rules.chain(of_profiles).collect();
    for (at, label) in idle {
        checker.findings.push(
            Finding::warning(at, "nobody gets a pool by this", label)
                .note("a user's pool never depends on the login: it comes from the user rule"),
        );
    }
}
