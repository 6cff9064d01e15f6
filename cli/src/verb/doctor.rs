//! `berth doctor`: what on this machine keeps Berth from doing what the policy says.

mod accounts;
pub mod cgroup;
mod drop_ins;
mod finding;
mod kerberos;
pub mod kernel;
mod managers;
mod order;
mod owners;
mod pam;
mod policy;
mod privileged;
mod programs;
mod rounds;
mod services;
mod sessions;
mod setuid;
mod world;

use berth_config::counted;
use serde_json::json;

use crate::exit::Exit;
use crate::{json, live, pager, paint};
use finding::{Finding, Level};
use world::World;

/// The arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit status: 0 no failure; 1 a failure; 4 only root may look.

FAIL: logins do not get what the policy says. WARN: they may not, or users may be surprised.
Without --fix nothing is changed.")]
pub struct Arguments {
    /// Remove what sessions left that nobody looks after
    #[arg(long)]
    fix: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Does it.
pub fn run(arguments: &Arguments) -> Result<Exit, Exit> {
    live::only_root("look at all that there is to check")?;
    // First, so that the checks find it gone.
    let mut findings = match arguments.fix {
        true => sessions::fix(),
        false => Vec::new(),
    };
    let world = World::here();
    let checks: [fn(&World) -> Vec<Finding>; 15] = [
        kernel::check,
        cgroup::check,
        drop_ins::check,
        policy::check,
        owners::check,
        accounts::check,
        programs::check,
        pam::check,
        kerberos::check,
        privileged::check,
        setuid::check,
        managers::check,
        rounds::check,
        services::check,
        sessions::check,
    ];
    findings.extend(checks.iter().flat_map(|check| check(&world)));
    let count = |level| findings.iter().filter(|one| one.level == level).count();
    let (failures, warnings) = (count(Level::Fail), count(Level::Warn));
    if arguments.json {
        json::print(json!({
            "now": json::now(),
            "ok": failures == 0,
            "failures": failures,
            "warnings": warnings,
            "findings": findings.iter().map(Finding::object).collect::<Vec<_>>(),
        }))?;
    } else {
        let told = findings.iter().map(|one| paint::level(&one.to_string()));
        let (failed, warned) = (counted(failures, "failure"), counted(warnings, "warning"));
        pager::print(&format!("{}{failed}, {warned}\n", told.collect::<String>()));
    }
    Ok(match failures {
        0 => Exit::Done,
        _ => Exit::NotSo,
    })
}
