//! `berth apply`: the policy in force onto everyone who is logged in.

use crate::exit::Exit;
use crate::{applied, caller, due, helper};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit status: 0 all caps are as the policy says; 1 nothing could be done; 3 the policy has an
error; 4 only root may do this; 5 some caps stay as they were, and are named.

Caps of users, their sessions, pools and everyone are worked out anew and written where
they differ. A memory_max is not lowered below what is in use without --force: then the
kernel kills what does not fit. A memory_high waits as long as the kernel is at it. Namespaces
and pools of sessions that are open do not change; they come with the next login.")]
pub struct Arguments {
    /// Only show what would change
    #[arg(long)]
    dry_run: bool,
    /// Lower memory_max also below what is in use, and memory_high at once
    #[arg(long)]
    force: bool,
    /// Only what time brings: exceptions that are over, windows of time, penalties; what the timer does each minute
    #[arg(long, conflicts_with_all = ["dry_run", "force"])]
    due: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    helper: helper::Helper,
}

pub fn run(arguments: &Arguments) -> Result<Exit, Exit> {
    caller::only_root("change caps")?;
    if arguments.due {
        return due::round(&arguments.helper, arguments.json);
    }
    let mut words = vec![format!("--by={}", caller::doer())];
    words.extend(arguments.dry_run.then(|| "--dry-run".into()));
    words.extend(arguments.force.then(|| "--force".into()));
    let all = arguments.helper.bring(&words)?;
    match arguments.json {
        true => applied::print_json(&all, arguments.dry_run),
        false => Ok(applied::print(&all, arguments.dry_run)),
    }
}
