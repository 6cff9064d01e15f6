//! `[[expect]]`: a policy's own tests.

use std::path::PathBuf;

use crate::decide;
use crate::decide::matching::Facts;
use crate::decide::rules::ruling;
use crate::diagnostic::Finding;
use crate::facts::{Group, Login, tty_name};
use crate::policy::Policy;
use crate::setting::{joined, value};
use crate::tables::{Action, Expect, ExpectTable, Rule};
use crate::value::Line;

/// The UID of an expectation that names none: an ordinary user's.
const ORDINARY_UID: u32 = 1000;

/// Reports every expectation that is not met.
pub(crate) fn check(policy: &Policy) -> Vec<Finding> {
    let all = policy.contents.expects.iter().flatten();
    all.filter_map(|expect| missed(policy, expect)).collect()
}

/// What comes out of a policy for a login.
struct Came {
    profile: Option<String>,
    pool: Option<String>,
    action: Option<Action>,
    because: String,
    pool_because: String,
}

fn missed(policy: &Policy, expect: &Expect) -> Option<Finding> {
    let table = &expect.table;
    let result = result(policy, table);
    let wanted_profile = value(&table.profile).map(|profiles| joined(&profiles.0));
    let came_out = match (&result.action, &result.profile) {
        (Some(action), _) => format!("action {}", action.word()),
        (None, Some(profile)) => format!("profile {profile}"),
        (None, None) => "nothing".into(),
    };
    let miss = |at, wanted: String, came_out: String, because: &str| {
        let user = value(&table.user).map_or("", |user| user.as_str());
        Some(
            Finding::error(
                at,
                format!("expected {wanted} for {user}, and got {came_out}"),
                "",
            )
            .note(because),
        )
    };
    if let (Some(setting), Some(wanted)) = (&table.profile, wanted_profile) {
        if result.profile.as_ref() != Some(&wanted) {
            return miss(
                setting.at,
                format!("profile {wanted}"),
                came_out,
                &result.because,
            );
        }
    }
    if let (Some(setting), Some(wanted)) = (&table.action, value(&table.action)) {
        if result.action != Some(*wanted) {
            return miss(
                setting.at,
                format!("action {}", wanted.word()),
                came_out,
                &result.because,
            );
        }
    }
    if let (Some(setting), Some(wanted)) = (&table.pool, value(&table.pool)) {
        if result.pool.as_deref() != Some(wanted.name.as_str()) {
            let pool = match &result.pool {
                Some(pool) => format!("pool {pool}"),
                None => "no pool".into(),
            };
            return miss(
                setting.at,
                format!("pool {}", wanted.name),
                pool,
                &result.pool_because,
            );
        }
    }
    None
}

fn result(policy: &Policy, table: &ExpectTable) -> Came {
    let (contents, files) = (&policy.contents, &policy.files);
    let login = login(table);
    if let Some(because) = decide::exempt_because(&policy.exempt, &login) {
        return Came {
            profile: None,
            pool: None,
            action: Some(Action::Exempt),
            because: because.clone(),
            pool_because: because,
        };
    }
    let mut facts = Facts::new(&login, contents);
    if let Some(roles) = value(&table.role) {
        facts.roles = roles;
    }
    let ruling = ruling(contents, &facts);
    let rule_at = |index: Option<usize>| contents.rules.get(index?);
    let (rule, user_rule) = (rule_at(ruling.login), rule_at(ruling.user));
    let pool = user_rule.and_then(|rule| {
        let merged = contents.profile_of(rule);
        rule.pool(&merged).map(|pool| pool.name.to_string())
    });
    let because = because(files, rule);
    Came {
        profile: rule
            .and_then(|rule| value(&rule.keys.profile))
            .map(|profiles| joined(&profiles.0)),
        pool,
        action: decide::action(contents, rule),
        pool_because: match user_rule {
            _ if ruling.user == ruling.login => because.clone(),
            Some(_) => format!(
                "of rules that do not test the login {}",
                self::because(files, user_rule)
            ),
            None => "no rule matches that does not test the login".into(),
        },
        because,
    }
}

/// Why a login's outcome is what it is.
fn because(files: &[PathBuf], rule: Option<&Rule>) -> String {
    let Some(rule) = rule else {
        return "no rule matches: [defaults] no_match decides".into();
    };
    let place = crate::diagnostic::short_place(files, rule.at);
    match value(&rule.keys.name) {
        Some(name) => format!("rule `{name}` ({place}) matches first"),
        None => format!("the rule at {place} matches first"),
    }
}

fn login(table: &ExpectTable) -> Login {
    let text = |line: Option<&Line>| {
        line.map(|line| line.as_str().to_owned())
            .unwrap_or_default()
    };
    let primary = value(&table.primary_group).map(|name| name.as_str());
    let others = value(&table.groups).into_iter().flatten();
    // GIDs do not matter here; the primary group has the first.
    let groups: Vec<Group> = std::iter::once(primary.unwrap_or_default())
        .chain(others.map(|name| name.as_str()))
        .zip(0..)
        .map(|(name, gid)| Group {
            gid,
            name: name.to_owned(),
        })
        .collect();
    let mut login = Login {
        user: value(&table.user)
            .map(|user| user.as_str().to_owned())
            .unwrap_or_default(),
        uid: value(&table.uid).copied().unwrap_or(ORDINARY_UID),
        gid: 0,
        groups,
        rhost: text(value(&table.rhost)),
        ruser: text(value(&table.ruser)),
        host: text(value(&table.host)),
        at: value(&table.at).copied(),
        ..Login::default()
    };
    // As a login tells it, and `berth explain`.
    login.set_service(&text(value(&table.service)));
    if let Some(tty) = value(&table.tty) {
        login.tty = tty_name(tty.as_str()).to_owned();
    }
    login
}
