//! `berth set`: a cap that a user has for a while instead of the policy's.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use berth_config::outcome::Outcome;
use berth_config::{Exception, Exceptions, Login, Machine, Policy, parse_exception};

use crate::exceptions::{self, Changing};
use crate::exit::{Exit, not_so};
use crate::{applied, caller, due, helper, place, when};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit status: 0 set; 1 there is no such user; 2 a value is wrong; 4 only root may do this; 5
set, and a cap of the user, who is logged in, could not be changed yet.

KEY is a cap of [profile.P.user], and VALUE as the policy has it: memory_max=8G,
cpu_quota=800%, tasks_max=512. It counts at once, for all that the user does, and ends by
itself, also if the machine was off then. `berth explain` shows it.")]
pub struct Arguments {
    /// The account
    user: String,
    /// Which caps, and what they are to be
    #[arg(value_name = "KEY=VALUE", required = true, value_parser = parse_exception)]
    caps: Vec<(String, String)>,
    /// For how long, as in 2h or 1d 12h
    #[arg(long = "for", value_name = "TIME", value_parser = span)]
    time: Duration,
    /// What for
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    helper: helper::Helper,
}

fn span(text: &str) -> Result<Duration, String> {
    match when::span(text)? {
        Duration::ZERO => Err("it would end at once".into()),
        time => Ok(time),
    }
}

pub fn run(arguments: &Arguments) -> Result<Exit, Exit> {
    caller::only_root("make exceptions")?;
    let login = Login::of(&arguments.user).map_err(not_so)?;
    let by = caller::doer();
    let new = new(arguments, &login.user, &by)?;
    let machine = place::machine().map_err(not_so)?;
    let usage = |error: String| Exit::Usage.because(error);
    let checked = Exceptions::of(new.clone()).map_err(usage)?;
    checked.bearable().map_err(usage)?;
    checked.check(&machine).map_err(usage)?;

    let changing = Changing::begin()?;
    let file = changing.of(login.uid);
    let mut all = file.read().map_err(not_so)?;
    all.retain(|one| new.iter().all(|new| new.key != one.key));
    all.extend(new.iter().cloned());
    file.write(&all).map_err(not_so)?;
    exceptions::log("set", login.uid, &by, &new);
    drop(changing);
    due::start_the_timer();

    let user = (login.user.as_str(), login.uid);
    let applied = helper::or_left(exceptions::bring(&arguments.helper, login.uid, &by), user);
    let changes = applied.iter().any(|one| !one.changes.is_empty());
    let in_vain = in_vain(&login, &machine).filter(|_| !changes);
    if let Some(why) = &in_vain {
        eprintln!(
            "berth: {} {why}, so this has no effect until that changes",
            login.user
        );
    }
    if arguments.json {
        exceptions::print_json(user, &all, &applied)?;
        return Ok(applied::exit(&applied));
    }
    for one in &new {
        println!("{}: {one}", login.user);
    }
    if !applied.is_empty() {
        return Ok(applied::print(&applied, false));
    }
    if in_vain.is_none() {
        println!(
            "{} is not logged in: it counts from the next login on",
            login.user
        );
    }
    Ok(Exit::Done)
}

/// `is exempt ([exempt] lists the user)`, or denied, or without caps. Without a policy that can be used nobody knows.
fn in_vain(login: &Login, machine: &Machine) -> Option<String> {
    let by_ssh = login.by_ssh();
    let policy = Policy::load_system().ok()?;
    let explained = policy.explain(&by_ssh, machine).ok()?;
    if let Some(why) = explained.exempt {
        return Some(format!("is exempt ({why})"));
    }
    let decision = explained.decision;
    let what = match decision.outcome {
        Outcome::Exempt => "is exempt".into(),
        Outcome::Deny { .. } => "is denied".into(),
        Outcome::Berth(berth) => {
            let trial = (!berth.enforce).then_some("enforce = false");
            format!("has {}", decision.not_set.or(trial)?)
        }
    };
    Some(match decision.rule {
        Some(rule) => format!("{what} at a login by ssh (rule {rule})"),
        None => format!("{what} at a login by ssh (no rule matches)"),
    })
}

fn new(arguments: &Arguments, user: &str, by: &str) -> Result<Vec<Exception>, Exit> {
    let end = SystemTime::now().checked_add(arguments.time);
    let until = end.and_then(|end| end.duration_since(UNIX_EPOCH).ok());
    let Some(until) = until else {
        return Err(Exit::Usage.because("--for: that is longer than this machine can count"));
    };
    let mut new: Vec<Exception> = Vec::new();
    for (key, value) in &arguments.caps {
        if new.iter().any(|one| one.key == *key) {
            return Err(Exit::Usage.because(format!("{key} is given twice")));
        }
        new.push(Exception {
            user: Some(user.into()),
            key: key.clone(),
            value: value.clone(),
            until: until.as_secs(),
            by: by.into(),
            reason: arguments.reason.clone(),
            is_taken_back: false,
        });
    }
    Ok(new)
}
