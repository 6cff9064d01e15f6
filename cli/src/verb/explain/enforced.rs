//! What this machine cannot enforce of what a login gets, and what comes of it.

use std::path::Path;

use berth_config::outcome::{Berth, CgroupPlace, MissingController, OnError, Outcome, UserManager};
use berth_config::{Explanation, Login, PamStack, Policy, Site};
use berth_protocol::service::{MANAGER, is_never_joined};
use serde_json::{Value, json};

use crate::machine_lacks::{controller, forbidden, without_weights};
use crate::place;

/// Something that this machine lacks.
#[derive(Debug)]
pub struct Lack {
    /// Of what kind.
    what: &'static str,
    /// By name, where there are several of the kind.
    names: Vec<String>,
    /// What it is, and what comes of it.
    text: String,
}

impl Lack {
    /// For programs.
    pub fn object(&self) -> Value {
        json!({ "what": self.what, "names": self.names, "text": self.text.replace('\n', " ") })
    }
}

/// All that this machine lacks of what a login gets, unless nothing of that is enforced anyway.
pub fn lacks(login: &Login, policy: &Policy, explanation: &Explanation) -> Vec<Lack> {
    let mut lacks = Vec::new();
    let Outcome::Berth(berth) = &explanation.decision.outcome else {
        return lacks;
    };
    if !berth.enforce {
        return lacks;
    }
    let host = &here();
    match place::cgroup_root() {
        Some(root) => lacks.extend(controllers(host, &root, explanation, berth)),
        None => lacks.extend(hierarchy(host, berth)),
    }
    lacks.extend(weights(host, explanation));
    let not_joined = joined(login, explanation, berth);
    if not_joined.is_none() {
        lacks.extend(namespaces(host, berth));
    }
    // A file that is only tried out is no reason yet to have the lines.
    let without_line = policy.loaded().and_then(|_| line_of_pam(login));
    lacks.extend(without_line.or(not_joined));
    lacks
}

/// The same in lines, or that there is nothing of the kind.
pub fn lines(policy: &Policy, lacks: &[Lack]) -> Vec<String> {
    match (lacks, policy.loaded()) {
        ([], Some(_)) => vec![format!("{} enforces all of this.", here())],
        ([], None) => vec![format!("{} can enforce all of this.", here())],
        (lacks, _) => lacks.iter().map(|lack| lack.text.clone()).collect(),
    }
}

/// This machine, also where the login is looked at as another's.
fn here() -> String {
    Login::here().host
}

/// Every cap that plays a part, without what it is on.
fn caps(explanation: &Explanation) -> impl Iterator<Item = &str> {
    let shared = [
        &explanation.user_caps,
        &explanation.pool_caps,
        &explanation.everyone_caps,
    ];
    let shared = shared.into_iter().flatten().map(|line| line.key.as_str());
    let own = explanation.login.iter();
    shared.chain(own.filter_map(|line| line.key.strip_prefix("session.")))
}

/// What becomes of a login that is to have a cgroup of its own, where there is none to be had.
fn hierarchy(host: &str, berth: &Berth) -> Option<Lack> {
    (berth.cgroup == CgroupPlace::Own).then(|| Lack {
        what: "cgroup",
        names: Vec::new(),
        text: format!(
            "{host} has no cgroup v2 mounted, and cgroup = \"own\" needs one:\n{}.",
            after_an_error(berth)
        ),
    })
}

/// Whether the kernel offers what the caps need, and what comes of it if not.
fn controllers(host: &str, root: &Path, explanation: &Explanation, berth: &Berth) -> Option<Lack> {
    let mut needed: Vec<&str> = caps(explanation).filter_map(controller).collect();
    needed.sort_unstable();
    needed.dedup();
    let offered = std::fs::read_to_string(root.join("cgroup.controllers")).unwrap_or_default();
    needed.retain(|controller| {
        !offered
            .split_whitespace()
            .any(|offered| offered == *controller)
    });
    (!needed.is_empty()).then(|| Lack {
        what: "controllers",
        text: format!(
            "{host} does not offer the cgroup controllers {}, so it cannot keep their caps:\n{}.",
            needed.join(", "),
            without(berth)
        ),
        names: needed.into_iter().map(String::from).collect(),
    })
}

/// What a cap that cannot be kept does to a login.
fn without(berth: &Berth) -> &'static str {
    match (berth.missing_controller, berth.on_error) {
        (MissingController::Warn, _) => {
            "the login goes on without them (missing_controller = \"warn\")"
        }
        (MissingController::Deny, OnError::Allow) => {
            "the login gets no berth (missing_controller = \"deny\", on_error = \"allow\")"
        }
        (MissingController::Deny, OnError::Deny) => {
            "the login is refused (missing_controller = \"deny\")"
        }
    }
}

/// What a failure does to a login.
fn after_an_error(berth: &Berth) -> &'static str {
    match berth.on_error {
        OnError::Allow => "the login gets no berth (on_error = \"allow\")",
        OnError::Deny => "the login is refused (on_error = \"deny\")",
    }
}

/// Whether namespaces are switched off.
fn namespaces(host: &str, berth: &Berth) -> Vec<Lack> {
    let number = |path: &str| std::fs::read_to_string(path).ok()?.trim().parse().ok();
    let then = after_an_error(berth);
    let forbidden = forbidden(number, |needed| needed(berth));
    let told = forbidden.into_iter().map(|(kind, limit)| Lack {
        what: "namespace",
        names: vec![kind.into()],
        text: format!("{host} makes no {kind} namespace, because user.{limit} is 0:\n{then}."),
    });
    told.collect()
}

/// Disks that know no weights.
fn weights(host: &str, explanation: &Explanation) -> Option<Lack> {
    if !caps(explanation).any(|key| key == "io_weight") {
        return None;
    }
    let costs = place::cgroup_root().map(|root| root.join("io.cost.qos"));
    let costs = costs.and_then(|path| std::fs::read_to_string(path).ok());
    let disks = without_weights(Path::new("/sys/block"), &costs.unwrap_or_default());
    let disks: Vec<_> = disks.into_iter().map(|(disk, _)| disk).collect();
    (!disks.is_empty()).then(|| Lack {
        what: "io_weight",
        text: format!(
            "io_weight does nothing on {host}'s {} (berth doctor says why).",
            disks.join(", ")
        ),
        names: disks,
    })
}

/// Whether the service is taken into what there is besides caps.
fn joined(login: &Login, explanation: &Explanation, berth: &Berth) -> Option<Lack> {
    let service = &login.service;
    let is_isolated = service == MANAGER && berth.namespaces.user_manager == UserManager::Isolated;
    if is_isolated || !berth.changes_the_application() || explanation.decision.joins(service) {
        return None;
    }
    let why = match is_never_joined(service.as_bytes()) {
        true => format!("{service} is never joined"),
        false => format!("{service} is not joined, because no rule names it in full"),
    };
    Some(Lack {
        what: "pam",
        names: vec![service.clone()],
        text: format!("{why}: it gets no namespaces and no privileges of this."),
    })
}

/// Whether the service asks Berth at all.
fn line_of_pam(login: &Login) -> Option<Lack> {
    let service = &login.service;
    let text = match place::this_machine().pam_stack(service) {
        PamStack::WithBerth => return None,
        PamStack::Absent if is_never_joined(service.as_bytes()) => return None,
        PamStack::RefusesOnly => format!(
            "{service} has no session line of pam_berth here, so its logins get nothing of this:\n\
             berth pam enable {service}"
        ),
        PamStack::WithoutBerth => format!(
            "{service} has no pam_berth in its PAM stack here, so its logins get nothing of this:\n\
             berth pam enable {service}"
        ),
        PamStack::Absent => format!("There is no PAM service {service} here."),
    };
    Some(Lack {
        what: "pam",
        names: vec![service.clone()],
        text,
    })
}
