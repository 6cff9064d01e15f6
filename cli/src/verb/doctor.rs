//! `berth doctor`: what on this machine keeps Berth from doing what the policy says.

mod accounts;
mod cgroup;
mod confined;
mod drop_ins;
mod finding;
mod kerberos;
mod kernel;
mod managers;
mod owners;
mod pam;
mod policy;
mod privileged;
mod programs;
mod room;
mod rounds;
mod services;
mod sessions;
mod setuid;
mod world;

use std::path::Path;

use berth_config::{Policy, counted};
use serde_json::json;

use crate::exit::{Exit, not_so};
use crate::{caller, json, pager, place};
use finding::{Finding, Level};
use world::World;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit status: 0 no failure; 1 a failure, or this is inside a berth; 4 only root may look.

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

/// What security modules keep from logins. A test login does not meet it: it is confined as who types it is, not as sshd.
pub fn confined() -> String {
    let policy = Policy::load_system().ok();
    let world = World::of(Path::new("/"), place::cgroup_root(), policy, Vec::new());
    let findings = confined::check(&world).into_iter();
    findings.map(|one| one.lines("confined")).collect()
}

/// A look at one thing.
type Check = fn(&World) -> Vec<Finding>;

pub fn run(arguments: &Arguments) -> Result<Exit, Exit> {
    caller::only_root("look at all that there is to check")?;
    if !berth_session::is_outside().unwrap_or(true) {
        return Err(not_so(
            "this is inside a berth, where most of the machine cannot be seen: type it outside",
        ));
    }
    let mut findings: Vec<(&str, Finding)> = Vec::new();
    let mut tell = |topic, found: Vec<Finding>| {
        findings.extend(found.into_iter().map(|one| (topic, one)));
    };
    // First, so that the checks find it gone.
    if arguments.fix {
        tell("sessions", sessions::fix());
    }
    let world = World::here();
    let checks: [(&str, Check); 17] = [
        ("kernel", kernel::check),
        ("confined", confined::check),
        ("cgroup", cgroup::check),
        ("drop-ins", drop_ins::check),
        ("policy", policy::check),
        ("owners", owners::check),
        ("users", accounts::check),
        ("programs", programs::check),
        ("pam", pam::check),
        ("kerberos", kerberos::check),
        ("groups", privileged::check),
        ("setuid", setuid::check),
        ("managers", managers::check),
        ("time", rounds::check),
        ("services", services::check),
        ("room", room::check),
        ("sessions", sessions::check),
    ];
    for (topic, check) in checks {
        tell(topic, check(&world));
    }
    let count = |level| {
        findings
            .iter()
            .filter(|(_, one)| one.level == level)
            .count()
    };
    let (failures, warnings) = (count(Level::Fail), count(Level::Warn));
    if arguments.json {
        json::print(json!({
            "ok": failures == 0,
            "failures": failures,
            "warnings": warnings,
            "findings": findings.iter().map(|(topic, one)| one.object(topic)).collect::<Vec<_>>(),
        }))?;
    } else {
        let told = findings.iter().map(|(topic, one)| one.lines(topic));
        let (failed, warned) = (counted(failures, "failure"), counted(warnings, "warning"));
        pager::print(&format!("{}{failed}, {warned}\n", told.collect::<String>()));
    }
    Ok(match failures {
        0 => Exit::Done,
        _ => Exit::NotSo,
    })
}
