//! What is allowed and hardly meant: rules behind wider ones, profiles that no rule uses, tests that
//! never match, a throttle without a limit.

use std::collections::BTreeSet;
use std::collections::btree_map::{BTreeMap, Entry};

use super::{Checker, never};
use crate::diagnostic::{At, Finding};
use crate::index::Index;
use crate::read::OneOf;
use crate::read::table::value;
use crate::setting::Setting;
use crate::tables::{Rule, Tests};
use crate::value::Name;

pub(super) fn check(checker: &mut Checker<'_>) {
    unused(checker);
    namesakes(checker);
    hidden(checker);
    sshd_tty(checker);
    past(checker);
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

fn hidden(checker: &mut Checker<'_>) {
    let contents = checker.contents;
    // Each with each would take minutes where there are a hundred thousand.
    let mut earlier = Index::default();
    for (number, rule) in contents.rules.iter().enumerate() {
        let mut candidates = earlier.wider(rule).into_iter();
        let wider = candidates.find_map(|index| {
            let wider = contents.rules.get(index)?;
            covers(wider, rule).then_some(wider)
        });
        earlier.push(number, rule);
        if let Some(wider) = wider {
            let label = format!("{} matches whatever this matches", checker.place(wider.at));
            checker.findings.push(Finding::warning(
                rule.at,
                "this rule is never reached",
                label,
            ));
        }
    }
}

/// Whether `wide` matches every login that `narrow` matches, as far as can be told.
fn covers(wide: &Rule, narrow: &Rule) -> bool {
    let excepts = wide.except.is_none()
        || (wide.except.as_ref().map(plain) == narrow.except.as_ref().map(plain));
    excepts && tests_cover(&wide.tests, &narrow.tests)
}

/// Tests without their places, to be compared.
fn plain(tests: &Tests) -> String {
    let mut text = String::new();
    macro_rules! add {
        ($($key:ident),*) => {
            $(
                if let Some(values) = value(&tests.$key) {
                    text.push_str(&format!("{}={:?};", stringify!($key), values.0));
                }
            )*
        };
    }
    add!(
        user,
        uid,
        group,
        primary_group,
        host,
        role,
        service,
        tty,
        rhost,
        ruser
    );
    if let Some(times) = value(&tests.time) {
        let names: Vec<&Name> = times.0.iter().map(|time| &time.name).collect();
        text.push_str(&format!("time={names:?}"));
    }
    text
}

fn tests_cover(wide: &Tests, narrow: &Tests) -> bool {
    macro_rules! all {
        ($($key:ident: $covers:expr),* $(,)?) => {
            true $(&& one_covers(&wide.$key, &narrow.$key, $covers))*
        };
    }
    all!(
        user: |a, b| a.covers(b),
        uid: |a, b| a.covers(b),
        group: |a, b| a.covers(b),
        primary_group: |a, b| a.covers(b),
        host: |a, b| a.covers(b),
        role: |a, b| a.covers(b),
        time: |a, b| a.name == b.name,
        service: |a, b| a.covers(b),
        tty: |a, b| a.covers(b),
        rhost: |a, b| a.covers(b),
        ruser: |a, b| a.covers(b),
    )
}

fn one_covers<T>(
    wide: &Option<Setting<OneOf<T>>>,
    narrow: &Option<Setting<OneOf<T>>>,
    covers: impl Fn(&T, &T) -> bool,
) -> bool {
    match (value(wide), value(narrow)) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(wide), Some(narrow)) => narrow
            .0
            .iter()
            .all(|narrow| wide.0.iter().any(|wide| covers(wide, narrow))),
    }
}

/// sshd opens the session before it has a terminal, and says `ssh` for one.
fn sshd_tty(checker: &mut Checker<'_>) {
    let contents = checker.contents;
    for rule in &contents.rules {
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

/// A window that is over before it begins.
fn past(checker: &mut Checker<'_>) {
    for named in checker.contents.times.values() {
        let Some(setting) = &named.table.until else {
            continue;
        };
        let (from, until) = (value(&named.table.from), setting.value.as_ref());
        if from.zip(until).is_some_and(|(from, until)| until <= from) {
            let label = "`from` is not before it";
            let finding = Finding::warning(setting.at, "this can never match", label);
            checker.findings.push(finding);
        }
    }
}

/// Past memory_high a user's programs are slowed to a crawl, and nothing is killed or logged.
fn stalled(checker: &mut Checker<'_>) {
    let contents = checker.contents;
    for rule in &contents.rules {
        let merged = contents.profile_of(rule);
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
    let selecting = never::selecting(checker);
    let of_profiles = contents.profiles.iter().filter_map(|(name, profile)| {
        let pool = profile.table.keys.pool.as_ref();
        let pool = pool.filter(|pool| pool.value.is_some())?;
        let mut rules = selecting.get(name)?.iter();
        let idle = rules.all(|rule| rule.is_login_rule());
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
