//! `berth freeze` and `berth thaw`: all that a session, a user or a pool runs stops, and goes on where it was.

use berth_config::counted;
use berth_session::{Error, Group, Manager, Record, Tree};
use serde_json::json;

use crate::exit::{Exit, not_so};
use crate::live::{self, Sessions};
use crate::object::Object;
use crate::{admin_log, caller, json};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit status: 0 done; 1 there is no such session, or it has no cgroup, or this command runs in
it; 4 only root may do this; 5 something does not stop, or go on, and is named.

OBJECT is a session, as in 12, a user, as in alice or user:alice, a pool, as in pool:cs101,
or a profile, as in profile:student: its sessions. What is frozen uses no CPU, keeps its
memory and its files, and goes on where it was when it is thawed. While a user or their pool
is frozen, new logins are refused, or wait frozen, as the policy says.")]
pub struct Arguments {
    /// A session, a user, a pool or a profile
    object: Object,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    Freeze,
    Thaw,
}

impl Change {
    fn word(self) -> &'static str {
        match self {
            Change::Freeze => "freeze",
            Change::Thaw => "thaw",
        }
    }

    fn done(self) -> &'static str {
        match self {
            Change::Freeze => "frozen",
            Change::Thaw => "thawed",
        }
    }

    fn to(self, tree: &Tree, groups: &[Group]) -> Vec<Error> {
        match self {
            Change::Freeze => tree.freeze(groups),
            Change::Thaw => tree.thaw_all(groups),
        }
    }
}

pub fn run(change: Change, arguments: &Arguments) -> Result<Exit, Exit> {
    caller::only_root(&format!("{} sessions", change.word()))?;
    let object = &arguments.object;
    let tree = Tree::find().map_err(live::failed)?;
    let records = Sessions::tell()?.of(object);
    if records.is_empty() {
        return Err(live::none(object));
    }
    let groups = groups(&tree, object, &records).map_err(live::failed)?;
    if groups.is_empty() {
        return Err(not_so(format!(
            "{object} has no cgroup of its own (cgroup = \"keep\"), and cannot be frozen"
        )));
    }
    let is_within = |group: &Group| live::is_within(&tree, group);
    if change == Change::Freeze && groups.iter().any(is_within) {
        return Err(not_so(format!(
            "this command runs in {object} itself, and nobody would be left to thaw it"
        )));
    }
    let mut failed: Vec<String> = change
        .to(&tree, &groups)
        .iter()
        .map(ToString::to_string)
        .collect();
    let (records, kept): (Vec<Record>, Vec<Record>) = records
        .into_iter()
        .partition(|record| record.cgroup.is_some());
    if change == Change::Freeze {
        failed.extend(kept.iter().map(|record| {
            let id = record.id;
            format!("session {id} has no cgroup of its own (cgroup = \"keep\"), and goes on")
        }));
    }
    let result = failed.first().map_or("ok", |_| "error");
    admin_log::log(change.word(), Some(object), &[("result", result.into())]);
    for why in &failed {
        eprintln!("berth: {why}");
    }
    tell(change, arguments, &tree, &records, &failed)?;
    Ok(match failed.is_empty() {
        true => Exit::Done,
        false => Exit::Partly,
    })
}

fn tell(
    change: Change,
    arguments: &Arguments,
    tree: &Tree,
    records: &[Record],
    failed: &[String],
) -> Result<(), Exit> {
    // A session that was frozen by itself, or with its pool, stays so.
    let still = records.iter().filter(|record| still_frozen(tree, record));
    let still: Vec<_> = still
        .map(|record| record.id)
        .filter(|_| change == Change::Thaw)
        .collect();
    if arguments.json {
        json::print(json!({
            "now": json::now(),
            change.done(): records.iter().map(|record| record.id).filter(|id| !still.contains(id)).collect::<Vec<_>>(),
            "frozen_otherwise": still,
            "failed": failed,
        }))?;
    } else if failed.is_empty() {
        println!(
            "{} {}: {}",
            change.done(),
            arguments.object,
            counted(records.len(), "session")
        );
        for id in still {
            println!("session {id} is still frozen: see berth show {id}");
        }
    }
    Ok(())
}

/// The cgroups of an object, whose sessions these are.
fn groups(tree: &Tree, object: &Object, all: &[Record]) -> berth_session::Result<Vec<Group>> {
    let groups = match object {
        Object::User(_) => {
            let mut groups = Vec::new();
            for uid in live::by_user(all).into_keys() {
                groups.extend(tree.existing_user(uid)?);
                // Under systemd a user of a pool has one outside, too, which their service manager is in.
                let outside = tree.user_in(None, uid);
                if tree.manager() == Manager::Systemd && !groups.contains(&outside) {
                    groups.push(outside);
                }
            }
            groups
        }
        Object::Pool(name) => vec![tree.pool(name)],
        // A profile has no cgroup: its users may have sessions of other profiles.
        Object::Session(_) | Object::Profile(_) => {
            let groups = all
                .iter()
                .filter_map(|record| live::group(Some(tree), record));
            groups.collect()
        }
    };
    Ok(groups.into_iter().filter(Group::exists).collect())
}

fn still_frozen(tree: &Tree, record: &Record) -> bool {
    live::group(Some(tree), record).is_some_and(|group| tree.frozen(&group).is_some())
}
