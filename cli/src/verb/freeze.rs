//! `berth freeze` and `berth thaw`: all that a session, a user or a pool runs stops, and goes on where it was.

use berth_config::counted;
use berth_session::{Backend, Error, Group, Record, SessionId, State, Tree};
use serde_json::json;

use crate::exit::{Exit, not_so};
use crate::live::{self, Sessions};
use crate::object::Object;
use crate::progress::meanwhile;
use crate::{admin_log, caller, json};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit status: 0 done; 1 there is no such session, or it has no cgroup, or this command runs in
it; 4 only root may do this; 5 something does not stop, or go on, or a session's record could
not be read, and is named.

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
    let (mut records, exit) = Sessions::tell()?.of(object)?;
    let groups = groups(&tree, object, &records).map_err(live::failed)?;
    if groups.is_empty() {
        return Err(not_so(format!(
            "{object} has no cgroup of its own (cgroup = \"keep\", or in a unit of a service manager), and \
             cannot be frozen"
        )));
    }
    let is_within = |group: &Group| live::is_within(&tree, group);
    if change == Change::Freeze && groups.iter().any(is_within) {
        return Err(not_so(format!(
            "this command runs in {object} itself, and nobody would be left to thaw it"
        )));
    }
    let so_many = || {
        let is_done = |group: &&Group| group.is_frozen() == (change == Change::Freeze);
        let done = groups.iter().filter(is_done).count();
        let all = counted(groups.len(), "cgroup");
        format!("{done} of {all} {}", change.done())
    };
    let failed = meanwhile(so_many, || change.to(&tree, &groups));
    let mut failed: Vec<String> = failed.iter().map(ToString::to_string).collect();
    // Some may have ended meanwhile.
    records.retain(|record| Record::path(record.id).exists());
    let sessions = Sorted::of(change, object, &records, &groups, &tree);
    if change == Change::Freeze {
        let outside = sessions.outside.iter();
        failed.extend(
            outside.map(|id| format!("session {id} is in no cgroup that was frozen, and goes on")),
        );
    }
    let result = failed.first().map_or("ok", |_| "error");
    admin_log::log(change.word(), Some(object), &[("result", result.into())]);
    for why in &failed {
        eprintln!("berth: {why}");
    }
    tell(change, arguments, &sessions, &failed)?;
    Ok(match failed.is_empty() {
        true => exit,
        false => Exit::Partly,
    })
}

fn tell(
    change: Change,
    arguments: &Arguments,
    sessions: &Sorted,
    failed: &[String],
) -> Result<(), Exit> {
    let Sorted { stand, go_on, .. } = sessions;
    // A session that was frozen by itself, or with its pool, stays so.
    let (done, still): (_, &[SessionId]) = match change {
        Change::Freeze => (stand, &[]),
        Change::Thaw => (go_on, stand),
    };
    if arguments.json {
        json::print(json!({
            change.done(): done,
            "frozen_otherwise": still,
            "failed": failed,
        }))?;
    } else if failed.is_empty() {
        println!(
            "{} {}: {}",
            change.done(),
            arguments.object,
            counted(done.len(), "session")
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
                if tree.backend() == Backend::Systemd && !groups.contains(&outside) {
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

/// An object's sessions, by what has become of them.
#[derive(Debug, Default, PartialEq, Eq)]
struct Sorted {
    /// These are stopped.
    stand: Vec<SessionId>,
    /// These are not.
    go_on: Vec<SessionId>,
    /// These are in none of the object's cgroups.
    outside: Vec<SessionId>,
}

impl Sorted {
    fn of(
        change: Change,
        object: &Object,
        records: &[Record],
        groups: &[Group],
        tree: &Tree,
    ) -> Sorted {
        let stands = |place: &Group| match change {
            Change::Freeze => place.is_frozen(),
            // What is thawed takes a moment.
            Change::Thaw => tree.frozen(place).is_some(),
        };
        let mut sorted = Sorted::default();
        for record in records {
            let sessions = match live::place(Some(tree), record) {
                Some(place) if is_below(&place, groups) => match stands(&place) {
                    true => &mut sorted.stand,
                    false => &mut sorted.go_on,
                },
                // It ends just now, or it will be moved to where its user is frozen.
                _ if record.cgroup.is_some() || is_on_its_way(object, record) => continue,
                _ => &mut sorted.outside,
            };
            sessions.push(record.id);
        }
        sorted
    }
}

fn is_below(place: &Group, groups: &[Group]) -> bool {
    let mut groups = groups.iter();
    groups.any(|group| place.is_within(group))
}

/// Whether a session will be where its user is frozen.
fn is_on_its_way(object: &Object, record: &Record) -> bool {
    matches!(object, Object::User(_)) && record.state == State::Opening
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::tests::record;
    use crate::own_folder::Folder;

    #[test]
    fn what_did_not_stop_is_not_called_frozen_and_what_is_not_in_it_goes_on() {
        let root = Folder::new();
        let tree = Tree::at(root.to_path_buf(), Backend::Cgroupfs);
        for (session, frozen, told) in [(1, 1, 1), (2, 0, 1), (3, 1, 0)] {
            let group = format!("alice/{session}");
            root.write(
                format!("{group}/cgroup.events"),
                format!("frozen {frozen}\n"),
            );
            root.write(format!("{group}/cgroup.freeze"), format!("{told}\n"));
        }
        let records = [
            record(1, "active", Some("alice/1")),
            record(2, "active", Some("alice/2")),
            record(3, "active", Some("alice/3")),
            record(4, "active", Some("elsewhere/4")),
            record(5, "active", None),
            record(6, "opening", None),
        ];
        let groups = [tree.group("alice".as_ref())];
        let outcome = |change, object: &str| {
            let object = object.parse().unwrap();
            let outcome = Sorted::of(change, &object, &records, &groups, &tree);
            let all = [outcome.stand, outcome.go_on, outcome.outside].into_iter();
            all.map(|ids| ids.iter().map(ToString::to_string).collect::<String>())
                .collect::<Vec<_>>()
        };
        assert_eq!(outcome(Change::Freeze, "alice"), ["13", "2", "5"]);
        assert_eq!(outcome(Change::Freeze, "profile:x"), ["13", "2", "56"]);
        // What was told to go on takes a moment for it.
        assert_eq!(outcome(Change::Thaw, "alice"), ["12", "3", "5"]);
    }
}
