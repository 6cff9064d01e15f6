//! `berth apply`: the policy in force onto everyone who is logged in.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use berth_config::{LocalTime, Policy};
use berth_session::Applied;
use serde_json::json;

use crate::exit::Exit;
use crate::{caps, due, exceptions, json, live, penalties, place, repeated};

/// The arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit status: 0 all caps are as the policy says; 1 nothing could be done; 3 the policy has an
error; 4 only root may do this; 5 some caps stay as they were, and are named.

Caps of users, their sessions, pools and everyone are worked out anew and written where
they differ. A memory_max is not lowered below what is in use without --force: then the
kernel kills what does not fit. Namespaces and pools of sessions that are open do not
change; they come with the next login.")]
pub struct Arguments {
    /// Only show what would change
    #[arg(long)]
    dry_run: bool,
    /// Lower memory_max also below what is in use
    #[arg(long)]
    force: bool,
    /// Only what time brings: exceptions that are over, windows of time, penalties; what the timer does each minute
    #[arg(long, conflicts_with_all = ["dry_run", "force"])]
    due: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Another berth-helper
    #[arg(long, value_name = "FILE", default_value = caps::HELPER)]
    helper: PathBuf,
}

/// Does it.
pub fn run(arguments: &Arguments) -> Exit {
    if let Err(exit) = live::only_root("change caps") {
        return exit;
    }
    if arguments.due && arguments.json {
        return due(arguments);
    }
    if arguments.due {
        return repeated::once(|| due(arguments));
    }
    let mut words = vec![format!("--by={}", crate::deed::doer())];
    words.extend(arguments.dry_run.then(|| "--dry-run".into()));
    words.extend(arguments.force.then(|| "--force".into()));
    let all = match caps::bring(&arguments.helper, &words) {
        Ok(all) => all,
        Err(exit) => return exit,
    };
    if !arguments.json {
        return caps::print(&all, arguments.dry_run);
    }
    print_json(&all, arguments.dry_run)
}

/// Says nothing where there is nothing to do: cron would send it by mail.
fn due(arguments: &Arguments) -> Exit {
    let helper = &arguments.helper;
    let mut all = Vec::new();
    // One that cannot be done keeps nobody from the others.
    let mut failed = exceptions::end_those_that_are_over(helper, &mut all).err();
    let mut part = |done: Result<Vec<Applied>, Exit>| match done {
        Ok(done) => all.extend(done),
        Err(exit) => failed = Some(exit),
    };
    match Policy::load_system() {
        Ok(policy) => {
            if policy.has_windows() {
                part(by_time(helper));
            }
            part(penalties::round(&policy, helper));
        }
        Err(error) => part(Err(place::policy_error(&error))),
    }
    part(due::let_go_of_who_is_held(helper));
    if let Err(exit) = due::take_caps_back() {
        failed = Some(exit);
    }
    let exit = match arguments.json {
        true => print_json(&all, false),
        false if all.iter().all(|one| one.changes.is_empty()) => caps::print_left(&all),
        false => caps::print(&all, false),
    };
    failed.unwrap_or(exit)
}

/// The caps as the policy has them at this time; who is told of.
fn by_time(helper: &Path) -> Result<Vec<Applied>, Exit> {
    let mut now = caps::bring(helper, &["--by=time".into()])?;
    now.retain(|one| !one.changes.is_empty() || !one.left.is_empty());
    Ok(now)
}

fn print_json(all: &[Applied], dry_run: bool) -> Exit {
    json::print(&json!({
        "version": json::VERSION,
        "now": LocalTime::rfc3339(SystemTime::now()),
        "dry_run": dry_run,
        "applied": caps::objects(all),
    }));
    caps::exit(all)
}
