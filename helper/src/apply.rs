//! `berth-helper apply`: the caps of all who are logged in, brought to what the policy says now.
//!
//! Started by `berth apply`, `berth set` and the timer, and in part by a login that was overtaken by one of them.
//! The code that sets caps stands once so, and whoever sets them has few capabilities ([`crate::privilege`]).

mod sessions;
mod work;

use std::time::Duration;

use berth_session::{Applied, Backend, Line, Tree, UserFolder, Whose, systemd};

use crate::basis::{Basis, Source};
use crate::error::Result;
use crate::privilege;
use crate::terminals::Speaker;
use work::Work;

/// How long a user's terminals may take to be written on.
const LISTENING: Duration = Duration::from_secs(1);

/// How often the policy may change under way.
const TRIES: usize = 8;

#[derive(Debug, Default)]
struct Arguments {
    dry_run: bool,
    force: bool,
    /// These users only, and no pool.
    uids: Vec<u32>,
    /// Who asks, for the log.
    by: String,
    /// What to tell these users, on their terminals.
    say: Option<String>,
}

impl Arguments {
    fn of(words: impl Iterator<Item = String>) -> std::result::Result<Arguments, String> {
        let mut arguments = Arguments::default();
        for word in words {
            match word.split_once('=') {
                None if word == "--dry-run" => arguments.dry_run = true,
                None if word == "--force" => arguments.force = true,
                Some(("--by", who)) => arguments.by = who.into(),
                Some(("--say", text)) => arguments.say = Some(text.into()),
                Some(("--uid", uid)) => {
                    let uid = uid.parse().map_err(|_| format!("{uid:?} is no UID"))?;
                    arguments.uids.push(uid);
                }
                _ => return Err(format!("{word:?} is not understood: berth apply starts it")),
            }
        }
        Ok(arguments)
    }
}

/// Does it, and prints a JSON list of what came of it.
pub fn run(words: impl Iterator<Item = String>) -> std::result::Result<(), String> {
    let arguments = Arguments::of(words)?;
    privilege::for_setup().map_err(|error| error.to_string())?;
    let all = everything(&arguments).map_err(|error| error.to_string())?;
    if !arguments.dry_run {
        all.iter().for_each(|one| log(one, &arguments.by));
        if let Some(text) = &arguments.say {
            say(text, &arguments.uids);
        }
    }
    let text = serde_json::to_string(&all).map_err(|error| error.to_string())?;
    println!("{text}");
    Ok(())
}

fn everything(arguments: &Arguments) -> Result<Vec<Applied>> {
    let tree = Tree::find()?;
    let source = Source::default();
    let round = || Work::new(&tree, &source, arguments)?.all(&arguments.uids);
    if arguments.dry_run {
        return round();
    }
    let one_at_a_time = UserFolder::lock_applying()?;
    let mut done = rounds(|| source.basis(), round);
    if tree.backend() == Backend::Systemd {
        // The last logout may have come before everyone's caps were set, or have seen a user's folder that was made here.
        let taken_back = systemd::take_back_everyones(&tree);
        // Where the round has failed already, that is what is told.
        if let (Ok(told), Err(error)) = (&mut done, taken_back) {
            told.push(Applied::to(Whose::Everyone).failed(error));
        }
    }
    one_at_a_time.remove_if_empty()?;
    done
}

/// Once, and again as long as what it went by changes under way. What one round has changed is told although the policy
/// cannot be used in a later one.
fn rounds<B: PartialEq>(
    basis: impl Fn() -> B,
    round: impl Fn() -> Result<Vec<Applied>>,
) -> Result<Vec<Applied>> {
    let mut told: Vec<Applied> = Vec::new();
    let mut failed = None;
    for _ in 0..TRIES {
        let before = basis();
        failed = round().map(|now| merge(&mut told, now)).err();
        if basis() == before {
            break;
        }
    }
    match failed {
        Some(error) if told.iter().all(|one| one.changes.is_empty()) => return Err(error),
        Some(error) => told.push(Applied::to(Whose::Everyone).failed(error)),
        None => {}
    }
    Ok(told)
}

/// A second round tells what is different from the first.
fn merge(told: &mut Vec<Applied>, now: Vec<Applied>) {
    for mut one in now {
        match told.iter_mut().find(|known| known.whose == one.whose) {
            Some(known) => {
                known.changes.append(&mut one.changes);
                (known.left, known.notes) = (one.left, one.notes);
            }
            None => told.push(one),
        }
    }
}

/// Brings a login's caps up to date, where the policy or the user's exceptions changed between its decision and
/// now. It is through by then and never fails for this: what cannot be had now, the log says.
pub fn if_overtaken(tree: &Tree, (source, basis): &(Source, Basis), uid: u32) {
    let mut basis = basis.clone();
    for _ in 0..TRIES {
        let now = source.basis();
        if now == basis {
            return;
        }
        basis = now;
        let work = Work::new(tree, source, &Arguments::default());
        match work.and_then(|work| work.around(uid)) {
            Ok(all) => all.iter().for_each(|one| log(one, "login")),
            Err(error) => Line::new("apply")
                .field("uid", uid)
                .field("error", error)
                .error(),
        }
    }
}

/// Tells users something, in all their sessions.
fn say(text: &str, uids: &[u32]) {
    let Ok(tree) = Tree::find() else { return };
    for uid in uids {
        let groups = UserFolder::records_of(*uid).into_iter();
        let groups = groups.filter_map(|record| Some(tree.group(record.cgroup.as_ref()?)));
        let mut speaker = Speaker::among_keepers(&tree);
        speaker.say(&groups.collect::<Vec<_>>(), *uid, &[text.to_owned()]);
        speaker.wait(LISTENING);
    }
}

fn log(told: &Applied, by: &str) {
    // What is left each minute `berth apply --due` tells of, once.
    let is_round = matches!(by, "time" | "expired" | "penalty");
    if told.changes.is_empty() && (told.left.is_empty() || is_round) {
        return;
    }
    let line = match &told.whose {
        Whose::User { name, uid } => Line::new("apply").field("user", name).field("uid", uid),
        Whose::Session { id, user } => Line::new("apply").field("session", id).field("user", user),
        Whose::Pool(pool) => Line::new("apply").field("pool", pool),
        Whose::Everyone => Line::new("apply").field("everyone", "yes"),
    };
    let changes = told.changes.iter();
    let changes: Vec<_> = changes
        .map(|one| format!("{} {} -> {}", one.file, one.from, one.to))
        .collect();
    let left = told.left.iter();
    let left: Vec<_> = left.map(|one| one.reason.as_str()).collect();
    let line = line.field("by", by).field("changed", changes.join("; "));
    match left.is_empty() {
        true => line.notice(),
        false => line.field("left", left.join("; ")).warning(),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::error::Error;

    #[test]
    fn what_a_round_has_changed_is_told_although_the_policy_breaks_before_the_next() {
        let broken = || Error::Policy("no policy".into());
        let alice = |is_changed| {
            let name = "alice".into();
            let mut told = Applied::to(Whose::User { name, uid: 1001 });
            if is_changed {
                told.changed("tasks_max", "pids.max", "64", "32");
            }
            told
        };
        let rounds = |is_changed| {
            let looks = Cell::new(0);
            let basis = || looks.replace(looks.get() + 1).min(1);
            rounds(basis, || match looks.get() {
                1 => Ok(vec![alice(is_changed)]),
                _ => Err(broken()),
            })
        };
        let left = Applied::to(Whose::Everyone).failed(broken());
        assert_eq!(rounds(true).unwrap(), [alice(true), left]);
        assert!(matches!(rounds(false), Err(Error::Policy(_))));
    }
}
