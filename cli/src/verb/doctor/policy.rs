//! The policy: in force, as it is edited, and sound.

use std::time::SystemTime;

use berth_config::{Places, Severity, Trust, check_edited, counted};
use berth_protocol::exempt::unanswered;

use super::finding::Finding;
use super::world::World;
use crate::helper::no_answer;
use crate::{place, readable};

pub fn check(world: &World) -> Vec<Finding> {
    let places = Places::under(&world.root);
    let mut findings = vec![in_force(world)];
    let list = &places.exempt;
    let loaded = world.policy.as_ref().filter(|it| it.loaded().is_some());
    if loaded.is_some_and(|policy| policy.unanswered() != unanswered(list)) {
        let (path, then) = (list.display(), no_answer(list));
        let what = format!(
            "by {path} a login whose helper gives no answer {then}; the policy says otherwise"
        );
        findings.push(Finding::warn(what, "berth reload"));
    }
    let site = place::this_machine();
    let checked = match check_edited(&places, Trust::Root, Some(&site), None) {
        Ok(checked) => checked,
        Err(error) => {
            findings.push(Finding::fail(error.to_string(), "berth check"));
            return findings;
        }
    };
    if checked.errors() > 0 {
        let errors = counted(checked.errors(), "error");
        findings.push(Finding::fail(
            format!(
                "the edited files have {errors}; {}",
                place::in_force(&places)
            ),
            "berth check",
        ));
    }
    let warnings = checked.diagnostics.iter();
    for warning in warnings.filter(|one| one.severity == Severity::Warning) {
        let line = warning
            .place
            .as_ref()
            .map_or(String::new(), |place| format!(":{}", place.line));
        let file = warning.path.display();
        findings.push(Finding::warn(
            format!("{file}{line}: {}", warning.message),
            warning.label.clone(),
        ));
    }
    findings
}

fn in_force(world: &World) -> Finding {
    let then = no_answer(&Places::under(&world.root).exempt);
    let Some(policy) = &world.policy else {
        return Finding::fail(
            format!("there is no policy that could be used: each login {then}"),
            "berth check",
        );
    };
    let Some(loaded) = policy.loaded() else {
        return Finding::warn(
            "no policy is loaded: each login reads the files, as they are just then",
            "berth reload",
        );
    };
    let age = SystemTime::now()
        .duration_since(loaded.at)
        .unwrap_or_default();
    let age = readable::span(age.as_secs());
    match &*policy.changed().unwrap_or_default() {
        [] => {
            let (rules, profiles) = policy.size();
            Finding::ok(format!(
                "loaded {age} ago, files unchanged since: {} and {}",
                counted(rules, "rule"),
                counted(profiles, "profile")
            ))
        }
        [first, rest @ ..] => {
            let more = match rest.len() {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            Finding::warn(
                format!("loaded {age} ago; {}{more} changed since", first.display()),
                "berth diff, berth reload",
            )
        }
    }
}
