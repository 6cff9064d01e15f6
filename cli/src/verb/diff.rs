//! `berth diff`: for whom two policies differ, and in what.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use berth_config::outcome::{Outcome, Penalty};
use berth_config::value::{Percent, bytes_text, duration_text};
use berth_config::{
    Case, Comparison, Login, Machine, Places, Policy, Trust, check_edited, check_files, untried,
};
use serde_json::{Value, json};

use crate::exit::{Exit, not_so};
use crate::progress::Progress;
use crate::{caller, json, pager, place};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit status: 0 they do not differ; 1 they do; 3 one has an error; 4 only root may see what
others get.

Users other than root may look at themselves (--user), or at two FILEs. Every account that NSS lists
is looked at, for sshd, login, su, cron and each service that a rule names. Large directories
list nobody: name accounts with --user.")]
pub struct Arguments {
    /// A policy file instead of the policy in force
    old: Option<PathBuf>,
    /// A policy file instead of the edited policy
    new: Option<PathBuf>,
    /// Look at this account only (may be given again)
    #[arg(long, value_name = "NAME")]
    user: Vec<String>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    root: place::Root,
}

pub fn run(arguments: &Arguments) -> Result<Exit, Exit> {
    may(arguments)?;
    let places = arguments.root.places();
    let old = match &arguments.old {
        Some(path) => file(path)?,
        None => Policy::load_in(&places).map_err(place::policy_error)?,
    };
    let new = match &arguments.new {
        Some(path) => file(path)?,
        None => edited(&places)?,
    };
    let machine = place::machine().map_err(not_so)?;
    let logins = if arguments.user.is_empty() {
        place::accounts().map_err(not_so)?
    } else {
        let logins = arguments.user.iter().map(|name| Login::of(name));
        logins.collect::<Result<_, _>>().map_err(not_so)?
    };
    let both = [&old, &new];
    let differing = differing(both, &logins, &machine);
    if arguments.json {
        json::print(json!({
            "users": logins.len(),
            "differing": differing.iter().map(object).collect::<Vec<_>>(),
        }))?;
    } else {
        let mut out = Vec::new();
        for (account, changes) in &differing {
            out.push(format!("{} ({})", account.user, account.uid));
            out.extend(indented(changes));
        }
        out.push(format!(
            "{} of {} users differ{}",
            differing.len(),
            logins.len(),
            untried(&both)
        ));
        pager::lines(&out);
    }
    Ok(match differing.is_empty() {
        true => Exit::Done,
        false => Exit::NotSo,
    })
}

/// What differs for an account, for programs.
fn object((account, changes): &(&Login, Vec<Change>)) -> Value {
    let changes = changes
        .iter()
        .map(|(services, lines)| json!({ "services": services, "changes": lines[..] }));
    let changes: Vec<_> = changes.collect();
    json!({ "user": account.user, "uid": account.uid, "differs": changes })
}

/// What others get is root's to know, but for policies that are only tried out.
fn may(arguments: &Arguments) -> Result<(), Exit> {
    let own = berth_config::own_name();
    let mut users = arguments.user.iter();
    let of_oneself = !arguments.user.is_empty() && users.all(|name| own.as_ref() == Some(name));
    let of_files = arguments.old.is_some() && arguments.new.is_some();
    match of_oneself || of_files {
        true => Ok(()),
        false => caller::only_root("see what others get"),
    }
}

fn file(path: &Path) -> Result<Policy, Exit> {
    place::valid(check_files(&[path.to_owned()], Trust::Anybody, None))
}

fn edited(places: &Places) -> Result<Policy, Exit> {
    place::valid(check_edited(places, Trust::Root, None, None))
}

/// What is to be said of those whom one case becomes another for, by a service: worked out once.
type Known = HashMap<(String, [Case; 2]), Rc<[String]>>;

/// What changes for an account: services, and a line for each value.
pub type Change = (Vec<String>, Rc<[String]>);

/// Changes as lines: services, and below them what changes.
pub fn indented(changes: &[Change]) -> Vec<String> {
    let each = changes.iter().flat_map(|(services, lines)| {
        let lines = lines.iter().map(|line| format!("    {line}"));
        std::iter::once(format!("  {}", services.join(", "))).chain(lines)
    });
    each.collect()
}

/// The accounts that get something else by the second policy.
pub fn differing<'l>(
    both: [&Policy; 2],
    logins: &'l [Login],
    machine: &Machine,
) -> Vec<(&'l Login, Vec<Change>)> {
    let mut progress = Progress::new("accounts compared");
    let mut comparison = Comparison::new(both, machine);
    let mut known = HashMap::new();
    let mut differing = Vec::new();
    for (nth, account) in logins.iter().enumerate() {
        progress.tell(nth, logins.len());
        let differs = comparison.of(account);
        let changes = changes(both, account, machine, &differs, &mut known);
        if !changes.is_empty() {
            differing.push((account, changes));
        }
    }
    differing
}

/// What changes for an account, services with the same changes together.
fn changes(
    both: [&Policy; 2],
    account: &Login,
    machine: &Machine,
    differs: &[(&str, [Case; 2])],
    known: &mut Known,
) -> Vec<Change> {
    let mut groups: Vec<Change> = Vec::new();
    for (service, cases) in differs {
        let service = (*service).to_owned();
        let lines = known
            .entry((service.clone(), *cases))
            .or_insert_with(|| lines(both, account, machine, &service))
            .clone();
        match groups.iter_mut().find(|(_, other)| *other == lines) {
            Some((services, _)) => services.push(service),
            None => groups.push((vec![service], lines)),
        }
    }
    groups
}

/// A line for each value that changes.
fn lines(both: [&Policy; 2], account: &Login, machine: &Machine, service: &str) -> Rc<[String]> {
    let mut login = account.clone();
    login.set_service(service);
    let [old, new] = both.map(|policy| values(policy, &login, machine));
    let mut lines = Vec::new();
    for (key, value) in &old {
        let other = new.iter().find(|(other, _)| other == key);
        match other {
            Some((_, other)) if other == value => {}
            Some((_, other)) => lines.push(format!("{key}: {value} -> {other}")),
            None => lines.push(format!("{key}: {value} -> unset")),
        }
    }
    for (key, value) in &new {
        if !old.iter().any(|(other, _)| other == key) {
            lines.push(format!("{key}: unset -> {value}"));
        }
    }
    lines.into()
}

/// All that a policy says of a login, by key.
fn values(policy: &Policy, login: &Login, machine: &Machine) -> Vec<(String, String)> {
    let explanation = match policy.explain(login, machine) {
        Ok(explanation) => explanation,
        Err(error) => return vec![("error".into(), error.to_string())],
    };
    let decision = &explanation.decision;
    let action = match &decision.outcome {
        Outcome::Exempt => "exempt".to_owned(),
        Outcome::Deny { message: None } => "deny".to_owned(),
        Outcome::Deny {
            message: Some(message),
        } => format!("deny: {message}"),
        Outcome::Berth(berth) => format!("profile {}", berth.profile),
    };
    let mut values = vec![("outcome".into(), action)];
    if let Some(pool) = &decision.pool {
        values.push(("pool".into(), pool.clone()));
    }
    match (decision.not_set, &decision.penalty) {
        (Some(why), _) => values.push(("not set".into(), format!("caps of the user, by {why}"))),
        (None, Some(penalty)) => values.push(("penalty".into(), penalty_text(penalty))),
        (None, None) => {}
    }
    if matches!(&decision.outcome, Outcome::Berth(berth) if berth.namespaces.any()) {
        values.push(("joined".into(), decision.joins(&login.service).to_string()));
    }
    let sections = [
        ("user.", &explanation.user_caps),
        ("pool.", &explanation.pool_caps),
        ("everyone.", &explanation.everyone_caps),
        ("", &explanation.login),
    ];
    for (prefix, lines) in sections {
        for line in lines {
            let key = format!("{prefix}{}", line.key);
            // Namespaces may be set in several places: one value of them all.
            match values.iter_mut().find(|(known, _)| *known == key) {
                Some((_, value)) => *value = format!("{value} {}", line.value),
                None => values.push((key, line.value.clone())),
            }
        }
    }
    values
}

/// `hog: cpu above 200%, over 10min; steps 80% 50% of 30min; forgotten after 3h`.
fn penalty_text(penalty: &Penalty) -> String {
    let cpu = |time| format!("cpu above {}, ", Percent::what_of(time, 1_000_000));
    let memory = |bytes| format!("memory above {}, ", bytes_text(bytes));
    let steps = penalty.steps.iter().map(|step| format!("{step} "));
    let except = penalty.except.iter().map(|one| format!("; not {one}"));
    format!(
        "{}: {}{}over {}; steps {}of {}; forgotten after {}{}",
        penalty.name,
        penalty.cpu_above.map(cpu).unwrap_or_default(),
        penalty.memory_above.map(memory).unwrap_or_default(),
        duration_text(penalty.window),
        steps.collect::<String>(),
        duration_text(penalty.step_time),
        duration_text(penalty.forget),
        except.collect::<String>(),
    )
}
