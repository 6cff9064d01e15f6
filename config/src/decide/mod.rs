//! What a policy comes to for one login.

mod berth;
mod caps;
pub(crate) mod matching;
mod penalty;
pub(crate) mod rules;

use std::path::PathBuf;

use berth_protocol::service::{is_joined, is_never_joined};

pub(crate) use berth::{berth, can_hide, has_user_namespace, no_new_privs, on_error, user_manager};
pub(crate) use caps::{Bases, ONE_CPU, caps};
pub(crate) use penalty::{cpu_time, penalty};

use crate::contents::Contents;
use crate::facts::{Login, Machine};
use crate::layers::Layers;
use crate::outcome::{Caps, CgroupPlace, Outcome, Penalty};
use crate::setting::value;
use crate::tables::{Action, CapsTable, Profile, Rule};
use rules::Ruling;

/// Why a login could not be decided.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecideError {
    /// A percentage of a cap that the user or the pool has not.
    #[error("{place}: {key} is a part of the {of}'s, which has none")]
    NoBase {
        /// Where the cap is set.
        place: String,
        /// Which cap.
        key: &'static str,
        /// `user` or `pool`.
        of: &'static str,
    },
    /// The machine has none of the CPUs or nodes.
    #[error("{place}: {key} = \"{list}\" has nothing in common with this machine's {machine}")]
    NotHere {
        /// Where the cap is set.
        place: String,
        /// Which cap.
        key: &'static str,
        /// What it says.
        list: String,
        /// What the machine has.
        machine: String,
    },
}

/// What a policy says of one login.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// What is to be done.
    pub outcome: Outcome,
    /// The name of the login rule; `None` where none matched, or the account is exempt.
    pub rule: Option<String>,
    /// The name of the user rule, which the user's caps come from.
    pub user_rule: Option<String>,
    /// The user's pool.
    pub pool: Option<String>,
    /// Whether the login rule tests `service` and names this login's literally (not by a glob): such
    /// a service is joined even if it is not one that is joined by default.
    pub service_named: bool,
    /// Why this login sets no caps of its user and pool, whatever they have: a login beside it may.
    pub not_set: Option<&'static str>,
    /// What the user is watched for.
    pub penalty: Option<Penalty>,
    /// The pool's caps.
    pub pool_caps: Caps,
    /// The caps of all users together.
    pub everyone_caps: Caps,
}

impl Decision {
    /// Whether a login by this service is taken into its namespaces, where its application can be.
    pub fn joins(&self, service: &str) -> bool {
        let service = service.as_bytes();
        is_joined(service) || self.service_named && !is_never_joined(service)
    }

    /// The pool that such a login is put into: into none by a profile on trial.
    pub fn pool_entered(&self) -> Option<&str> {
        match &self.outcome {
            Outcome::Berth(berth) if berth.enforce => self.pool.as_deref(),
            _ => None,
        }
    }

    /// A login that Berth leaves alone.
    pub(crate) fn exempt() -> Decision {
        Decision {
            outcome: Outcome::Exempt,
            rule: None,
            user_rule: None,
            pool: None,
            service_named: false,
            not_set: None,
            penalty: None,
            pool_caps: Caps::default(),
            everyone_caps: Caps::default(),
        }
    }
}

/// The tables that a decision is made of, for whoever wants to know where a value comes from.
#[derive(Debug, Default)]
pub(crate) struct Deciding<'c> {
    /// The user rule's profiles as one.
    pub(crate) user: Profile,
    /// The login rule's profiles as one.
    pub(crate) login: Profile,
    pub(crate) pool: Option<&'c CapsTable>,
    pub(crate) everyone: Option<&'c CapsTable>,
}

/// Decides, without the look at `[exempt]`.
pub(crate) fn decide<'c>(
    contents: &'c Contents,
    files: &[PathBuf],
    (ruling, service): (&Ruling, &str),
    machine: &Machine,
    layers: &Layers,
) -> Result<(Decision, Deciding<'c>), DecideError> {
    let mut decision = Decision::exempt();
    let mut deciding = Deciding::default();
    let rule_at = |index: Option<usize>| contents.rules.get(index?);
    let (login_rule, user_rule) = (rule_at(ruling.login), rule_at(ruling.user));
    decision.rule = login_rule.map(|rule| rule_name(rule, files));
    decision.user_rule = user_rule.map(|rule| rule_name(rule, files));
    if let Some(rule) = user_rule {
        deciding.user = contents.profile_of(rule);
        if let Some(pool) = rule.pool(&deciding.user) {
            decision.pool = Some(pool.name.to_string());
            deciding.pool = contents.pools.get(&pool.name).map(|named| &named.table);
        }
    }
    // Whom a rule refuses or leaves alone it does so on every machine: no cap is worked out that could come to nothing.
    let rule = match (login_rule, action(contents, login_rule)) {
        (Some(rule), None) => rule,
        (_, Some(Action::Deny)) => {
            let message = login_rule.and_then(|rule| value(&rule.keys.message));
            let message = message.map(|text| text.as_str().to_owned());
            decision.outcome = Outcome::Deny { message };
            return Ok((decision, deciding));
        }
        (_, Some(Action::Exempt) | None) => return Ok((decision, deciding)),
    };

    deciding.login = contents.profile_of(rule);
    deciding.everyone = contents.everyone.as_ref().map(|named| &named.table);
    let keeps = value(&deciding.login.keys.cgroup) == Some(&CgroupPlace::Keep);
    // What is on trial is not enforced by a login beside it that is not.
    let on_trial = !berth::enforces(&deciding.user) && berth::enforces(&deciding.login);
    decision.not_set = match on_trial {
        _ if keeps => Some("cgroup = \"keep\""),
        true => Some("enforce = false"),
        false => None,
    };
    if keeps {
        // None that would come to nothing here is to refuse a login that no cap is set for.
        deciding.user.user = CapsTable::default();
        deciding.login.session = CapsTable::default();
        (deciding.pool, deciding.everyone) = (None, None);
    }
    let without = Layers::default();
    let layers = match decision.not_set {
        Some(_) => &without,
        None => layers,
    };
    let of_user = |table: &CapsTable, bases: &Bases<'_>| match caps(table, bases) {
        // What is on trial refuses nobody. The rest of it may be what a session's cap is a part of.
        Err(DecideError::NotHere { .. }) if on_trial => {
            let mut table = table.clone();
            (table.allowed_cpus, table.allowed_memory_nodes) = (None, None);
            caps(&table, bases)
        }
        worked_out => worked_out,
    };
    let mut bases = Bases::new(machine, files);
    if let Some(everyone) = deciding.everyone {
        decision.everyone_caps = caps(everyone, &bases)?;
    }
    if let Some(pool) = deciding.pool {
        decision.pool_caps = of_user(pool, &bases)?;
        bases.pool = Some(decision.pool_caps.clone());
    }
    let mut excepted = deciding.user.user.clone();
    excepted.overlay(&layers.exceptions.table);
    let mut user_caps = of_user(&excepted, &bases)?;
    // A session's part of it stays as long as the session: it is not of what a step leaves.
    bases.user = Some(user_caps.clone());
    decision.penalty = penalty::penalty(contents, &deciding.user, machine);
    if let Some(standing) = layers.step_of(decision.penalty.as_ref()) {
        penalty::lower(&mut user_caps, standing.share, machine);
    }

    decision.service_named = value(&rule.tests.service)
        .is_some_and(|globs| globs.0.iter().any(|glob| glob.literal() == Some(service)));
    let session_caps = caps(&deciding.login.session, &bases)?;
    if decision.not_set.is_some() {
        // A session's part of them is a part all the same.
        (user_caps, decision.pool_caps) = Default::default();
        (decision.pool, deciding.pool) = (None, None);
    }
    decision.outcome = Outcome::Berth(Box::new(berth(
        contents,
        rule,
        &deciding.login,
        user_caps,
        session_caps,
    )));
    Ok((decision, deciding))
}

/// What is done with a login instead of giving it the profile of its rule.
pub(crate) fn action(contents: &Contents, login_rule: Option<&Rule>) -> Option<Action> {
    match login_rule {
        Some(rule) => value(&rule.keys.action).copied(),
        None => Some(
            value(&contents.defaults.no_match)
                .copied()
                .unwrap_or(Action::Exempt),
        ),
    }
}

/// The caps of a pool, or of all users together; `None` where there is no such pool.
pub(crate) fn caps_of_many(
    contents: &Contents,
    files: &[PathBuf],
    pool: Option<&str>,
    machine: &Machine,
) -> Result<Option<Caps>, DecideError> {
    let bases = Bases::new(machine, files);
    let table = match pool {
        None => match &contents.everyone {
            Some(everyone) => Some(&everyone.table),
            None => return Ok(Some(Caps::default())),
        },
        Some(pool) => {
            let mut pools = contents.pools.iter();
            let found = pools.find(|(name, _)| name.as_str() == pool);
            found.map(|(_, named)| &named.table)
        }
    };
    table.map(|table| caps(table, &bases)).transpose()
}

/// A rule's name: its own, or the place where it stands.
pub(crate) fn rule_name(rule: &Rule, files: &[PathBuf]) -> String {
    match value(&rule.keys.name) {
        Some(name) => name.to_string(),
        None => crate::diagnostic::short_place(files, rule.at),
    }
}

/// Why an account is exempt, if it is: root always, and whom `[exempt]` lists.
pub(crate) fn exempt_because(
    exempt: &berth_protocol::exempt::Exempt,
    login: &Login,
) -> Option<String> {
    if login.uid == 0 {
        return Some("UID 0 always is".into());
    }
    if exempt.users.contains(&login.user) {
        return Some("[exempt] lists the user".into());
    }
    if let Some(range) = exempt.uids.iter().find(|range| range.contains(&login.uid)) {
        let (first, last) = (range.start(), range.end());
        return Some(match first == last {
            true => format!("[exempt] lists UID {first}"),
            false => format!("[exempt] lists the UIDs {first}-{last}"),
        });
    }
    login
        .groups
        .iter()
        .find(|group| !group.name.is_empty() && exempt.groups.contains(&group.name))
        .map(|group| format!("[exempt] lists the group {}", group.name))
}
