//! `berth kill`: ends sessions, or signals what runs in them.

use std::time::{Duration, Instant};

use berth_config::counted;
use berth_session::{Record, SessionId, Tree, sweep};
use nix::sys::signal::Signal;
use serde_json::json;

mod target;

use crate::exit::{Exit, not_so};
use crate::live::{self, Sessions};
use crate::object::Object;
use crate::progress::meanwhile;
use crate::stale::Stale;
use crate::{admin_log, ask, caller, json, readable, sys, when};
use target::{Staying, Target};

/// How long a keeper may take to remove what is left of a session that has no process any more.
const CLEAN_UP: Duration = Duration::from_secs(10);

/// How often a wait looks.
const LOOK: Duration = Duration::from_millis(20);

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit status: 0 ended, or signalled; 1 there is no such session, or the answer was no; 4
only root may do this; 5 something is left, or a session's record could not be read, and is
named.

OBJECT is a session, as in 12, or all sessions of a user, as in alice or user:alice, of a pool
(pool:NAME) or of a profile (profile:NAME). All that runs in a session gets SIGTERM, and after
the time of --grace SIGKILL; the session's keeper removes the rest. What is frozen cannot
handle SIGTERM, and is killed at once. A session whose keeper is dead is removed by this
command. --stale: only the sessions that `berth list --stale` shows.")]
pub struct Arguments {
    /// A session, a user, a pool or a profile; with --stale, by default everybody
    #[arg(required_unless_present = "stale")]
    object: Option<Object>,
    /// Only sessions that are stale, as `berth list --stale` shows them
    #[arg(long)]
    stale: bool,
    /// Only send this signal, as in HUP, and end nothing
    #[arg(long, value_name = "SIGNAL", value_parser = signal)]
    signal: Option<Signal>,
    /// The time between SIGTERM and SIGKILL
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = when::span)]
    grace: Duration,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

fn signal(text: &str) -> Result<Signal, String> {
    let name = text.to_ascii_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    let by_number = || Signal::try_from(text.parse::<i32>().ok()?).ok();
    let signal = format!("SIG{name}").parse().ok().or_else(by_number);
    signal.ok_or_else(|| "name a signal, as in HUP, SIGUSR1 or 15".into())
}

pub fn run(arguments: &Arguments) -> Result<Exit, Exit> {
    caller::only_root("end sessions")?;
    let all = Sessions::tell()?;
    // An init that others live under too is not one session's to end.
    let (everybody, all_read) = (all.records.clone(), all.exit() == Exit::Done);
    let (mut chosen, exit) = chosen(all, arguments)?;
    confirm(arguments, &chosen)?;
    let tree = live::tree()?;
    // The one that this is typed in comes last: with it ends this command.
    chosen.sort_by_cached_key(|record| is_own(tree.as_ref(), record));
    let staying = Staying::of(&everybody, all_read, &chosen);
    let targets: Vec<Target> = chosen
        .iter()
        .map(|record| Target::new(record, &staying, tree.as_ref()))
        .collect();
    let signal = arguments.signal.unwrap_or(Signal::SIGTERM);
    // First, for the same reason.
    let only_stale = arguments.stale.then(|| ("stale", "true".into()));
    let fields: Vec<_> = only_stale
        .into_iter()
        .chain([("signal", signal.to_string())])
        .collect();
    admin_log::log("kill", arguments.object.as_ref(), &fields);
    match arguments.signal {
        Some(signal) => send(&targets, signal, tree.as_ref(), arguments.json)?,
        None => end(&targets, tree.as_ref(), arguments)?,
    }
    Ok(exit)
}

/// The sessions that are meant.
fn chosen(all: Sessions, arguments: &Arguments) -> Result<(Vec<Record>, Exit), Exit> {
    let (mut chosen, exit) = match &arguments.object {
        Some(object) => all.of(object)?,
        None => {
            let exit = all.exit();
            (all.records, exit)
        }
    };
    if arguments.stale {
        let stale = Stale::all(&chosen)?;
        chosen.retain(|record| stale.has(record));
        if chosen.is_empty() {
            return Err(not_so("none of these sessions is stale"));
        }
    }
    Ok((chosen, exit))
}

fn confirm(arguments: &Arguments, sessions: &[Record]) -> Result<(), Exit> {
    let what = match arguments.signal {
        Some(signal) => format!("Send {signal} to"),
        None => "End".into(),
    };
    ask::confirm(arguments.yes, || {
        for record in sessions {
            eprintln!("{}, {}", named(record), readable::span(record.age()));
        }
        format!("{what} {}?", counted(sessions.len(), "session"))
    })
}

/// Whether this command runs in a session, or where its login is.
fn is_own(tree: Option<&Tree>, record: &Record) -> bool {
    let is_own = |tree: &Tree| {
        let place = live::place(Some(tree), record)?;
        // One that is not Berth's may be the root, which has everybody below it.
        let own = || tree.of_process(std::process::id() as i32).ok()?;
        Some(match record.cgroup {
            Some(_) => live::is_within(tree, &place),
            None => own()? == place,
        })
    };
    tree.and_then(is_own).unwrap_or(false)
}

/// `session 12 of alice (sshd from 10.1.4.22)`
fn named(record: &Record) -> String {
    let user = readable::harmless(&record.user);
    format!("session {} of {user} ({})", record.id, live::way_in(record))
}

fn send(
    targets: &[Target],
    signal: Signal,
    tree: Option<&Tree>,
    as_json: bool,
) -> Result<(), Exit> {
    let mut sent = Vec::new();
    let mut failed = Vec::new();
    for target in targets {
        match target.signal(signal, tree) {
            Ok(count) => {
                sent.push(json!({ "session": target.record.id, "processes": count }));
                if !as_json {
                    let to = counted_processes(count);
                    println!("sent {signal} to {to} of {}", named(target.record));
                }
            }
            Err(why) => failed.push((target, why)),
        }
    }
    let printed = match as_json {
        true => json::print(json!({
            "signal": signal.as_str(),
            "sent": sent,
            "failed": left(&failed),
        })),
        false => Ok(()),
    };
    printed.and(report(&failed))
}

fn counted_processes(count: usize) -> String {
    match count {
        1 => "1 process".into(),
        _ => format!("{count} processes"),
    }
}

fn end(targets: &[Target], tree: Option<&Tree>, arguments: &Arguments) -> Result<(), Exit> {
    ask_to_end(targets, tree);
    let so_many = || {
        let ended = targets.iter().filter(|target| target.has_ended()).count();
        format!("{ended} of {} ended", counted(targets.len(), "session"))
    };
    let failed = meanwhile(so_many, || {
        let may_handle_it = |target: &Target| target.runs() && !target.is_frozen();
        wait(arguments.grace, || !targets.iter().any(may_handle_it));
        // The one that this is typed in comes after all else is done.
        let others = targets.partition_point(|target| !is_own(tree, target.record));
        let (others, own) = targets.split_at(others);
        let mut failed = kill_and_sweep(others, tree);
        failed.extend(kill_and_sweep(own, tree));
        await_keepers(targets, &mut failed);
        failed
    });
    tell(targets, &failed, arguments.json).and(report(&failed))
}

fn ask_to_end(targets: &[Target], tree: Option<&Tree>) {
    if targets.last().is_some_and(|last| is_own(tree, last.record)) {
        // It stays for the kill. If this fails it ends itself too early, and nobody else.
        let _ = sys::outlive_the_session();
    }
    for target in targets {
        // The kill may do what a signal did not.
        if let Err(why) = target.signal(Signal::SIGTERM, tree) {
            eprintln!("berth: {}: {why}", named(target.record));
        }
    }
}

/// Kills what is left in sessions, and removes those that nobody else does; says of which it could not.
fn kill_and_sweep<'t, 'a>(
    targets: &'t [Target<'a>],
    tree: Option<&Tree>,
) -> Vec<(&'t Target<'a>, String)> {
    let mut failed = Target::kill_each(targets, tree);
    for target in targets.iter().filter(|target| target.dead) {
        let Record { id, uid, .. } = target.record;
        if has_failed(&failed, *id) {
            continue;
        }
        if let Err(error) = sweep(tree, *uid, *id) {
            failed.push((target, error.to_string()));
        }
    }
    failed
}

fn has_failed(failed: &[(&Target, String)], id: SessionId) -> bool {
    failed.iter().any(|(target, _)| target.record.id == id)
}

/// Waits until the sessions' keepers have removed them; those that have not are added to what failed.
fn await_keepers<'t, 'a>(targets: &'t [Target<'a>], failed: &mut Vec<(&'t Target<'a>, String)>) {
    let awaited = |target: &Target| !target.dead && !target.has_ended();
    wait(CLEAN_UP, || !targets.iter().any(awaited));
    for target in targets.iter().filter(|target| !target.has_ended()) {
        if !has_failed(failed, target.record.id) {
            let keeper = target.record.keeper.pid;
            let why = format!("its keeper, process {keeper}, has not removed it yet");
            failed.push((target, why));
        }
    }
}

fn tell(targets: &[Target], failed: &[(&Target, String)], as_json: bool) -> Result<(), Exit> {
    let (ended, rest): (Vec<&Target>, Vec<&Target>) =
        targets.iter().partition(|target| target.is_gone());
    let held: Vec<&Target> = rest.into_iter().filter(|one| one.is_held()).collect();
    if as_json {
        return json::print(json!({
            "ended": ended.iter().map(|target| target.record.id).collect::<Vec<_>>(),
            "held": held
                .iter()
                .map(|target| json!({ "session": target.record.id, "for": target.sharers }))
                .collect::<Vec<_>>(),
            "failed": left(failed),
        }));
    }
    for target in ended {
        println!("ended {}", named(target.record));
    }
    for target in held {
        let others: Vec<String> = target.sharers.iter().map(ToString::to_string).collect();
        println!(
            "ended what ran in {}; it stays in the list for the sessions that share its berth: {}",
            named(target.record),
            others.join(", ")
        );
    }
    Ok(())
}

fn left(failed: &[(&Target, String)]) -> Vec<serde_json::Value> {
    let objects = failed.iter();
    objects
        .map(|(target, why)| json!({ "session": target.record.id, "reason": why }))
        .collect()
}

fn report(failed: &[(&Target, String)]) -> Result<(), Exit> {
    for (target, why) in failed {
        eprintln!("berth: {}: {why}", named(target.record));
    }
    match failed.is_empty() {
        true => Ok(()),
        false => Err(Exit::Partly),
    }
}

/// Waits until something is so, at most for a time.
fn wait(at_most: Duration, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() && begun.elapsed() < at_most {
        std::thread::sleep(LOOK.min(at_most));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::tests::record;

    #[test]
    fn a_session_without_a_cgroup_is_this_commands_own_where_its_login_is() {
        let tree = Tree::at("/nowhere".into(), berth_session::Backend::Cgroupfs);
        let mut record = record(12, "active", None);
        assert!(!is_own(Some(&tree), &record), "its login has ended");
        record.leader = berth_session::Role::of(std::process::id() as i32).unwrap();
        assert!(is_own(Some(&tree), &record));
    }

    #[test]
    fn signals_have_names_and_numbers() {
        for text in ["HUP", "SIGHUP", "hup", "1"] {
            assert_eq!(signal(text), Ok(Signal::SIGHUP), "{text}");
        }
        for text in ["", "SIG", "HUPP", "0", "-1", "99"] {
            assert!(signal(text).is_err(), "{text}");
        }
    }
}
