//! `berth kill`: ends sessions, or signals what runs in them.

use std::path::Path;
use std::time::{Duration, Instant};

use berth_config::value::Span;
use berth_config::{LocalTime, counted};
use berth_session::{Record, Role, STATE, SessionId, Tree, sweep};
use nix::errno::Errno;
use nix::sys::signal::Signal;
use serde_json::json;

use super::show::{none, way_in};
use crate::exit::Exit;
use crate::live::{self, Object, Sessions};
use crate::stale::Stale;
use crate::{ask, deed, figures, json, sys};

/// How long a keeper may take to remove what is left of a session that has no process any more.
const CLEAN_UP: Duration = Duration::from_secs(10);

/// How often a wait looks.
const LOOK: Duration = Duration::from_millis(20);

/// The arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit status: 0 ended, or signalled; 1 there is no such session, or the answer was no; 4
only root may do this; 5 something is left, and is named.

OBJECT is a session, as in 12, or a user, as in alice or user:alice: all of the user's
sessions; or pool:NAME or profile:NAME. What runs in a session gets SIGTERM, the time of
--grace, and then SIGKILL, all of it at once; the session's keeper removes the rest. What is
frozen could not handle SIGTERM, and is killed at once. A session whose keeper is dead is
removed here. --stale: of these, or of all, only sessions that were opened before the policy
in force was loaded.")]
pub struct Arguments {
    /// A session, a user, a pool or a profile; with --stale, by default everybody
    #[arg(required_unless_present = "stale")]
    object: Option<Object>,
    /// Only sessions that were opened under an older policy than the one in force
    #[arg(long)]
    stale: bool,
    /// Only send this signal, as in HUP, and end nothing
    #[arg(long, value_name = "SIGNAL", value_parser = signal)]
    signal: Option<Signal>,
    /// The time between SIGTERM and SIGKILL
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = grace)]
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

fn grace(text: &str) -> Result<Duration, String> {
    Span::parse(text)
        .map(Span::duration)
        .map_err(|_| "write a number and one of s, min, h, as in 30s".into())
}

/// Does it.
pub fn run(arguments: &Arguments) -> Exit {
    match kill(arguments) {
        Ok(exit) | Err(exit) => exit,
    }
}

fn kill(arguments: &Arguments) -> Result<Exit, Exit> {
    live::only_root("end sessions")?;
    let all = Sessions::tell()?;
    // An init that others live under too is not one session's to end.
    let everybody = all.records.clone();
    let chosen = chosen(all, arguments)?;
    confirm(arguments, &chosen)?;
    let tree = Tree::find().ok();
    let targets: Vec<Target> = chosen
        .iter()
        .map(|record| Target::new(record, &chosen, &everybody, tree.as_ref()))
        .collect();
    let signal = arguments.signal.unwrap_or(Signal::SIGTERM);
    // First: what is killed may be this command's own session.
    let only_stale = arguments.stale.then(|| ("stale", "true".into()));
    let fields: Vec<_> = only_stale
        .into_iter()
        .chain([("signal", signal.to_string())])
        .collect();
    deed::log("kill", arguments.object.as_ref(), &fields);
    Ok(match arguments.signal {
        Some(signal) => send(&targets, signal, arguments.json),
        None => end(&targets, tree.as_ref(), arguments),
    })
}

/// The sessions that are meant.
fn chosen(all: Sessions, arguments: &Arguments) -> Result<Vec<Record>, Exit> {
    let mut chosen = match &arguments.object {
        Some(object) => all.of(object),
        None => all.records,
    };
    if let (true, Some(object)) = (chosen.is_empty(), &arguments.object) {
        return Err(none(object));
    }
    if arguments.stale {
        let Some(stale) = Stale::find(&chosen) else {
            eprintln!("berth: no policy is in force, so no session is older than it");
            return Err(Exit::NotSo);
        };
        chosen.retain(|record| stale.has(record));
        if chosen.is_empty() {
            eprintln!("berth: all of these sessions were opened under the policy in force");
            return Err(Exit::NotSo);
        }
    }
    Ok(chosen)
}

fn confirm(arguments: &Arguments, sessions: &[Record]) -> Result<(), Exit> {
    let what = match arguments.signal {
        Some(signal) => format!("Send {signal} to"),
        None => "End".into(),
    };
    ask::confirm(arguments.yes, || {
        for record in sessions {
            eprintln!("{}, {}", named(record), figures::span(live::age(record)));
        }
        format!("{what} {}?", counted(sessions.len(), "session"))
    })
}

/// `session 12 of alice (sshd from 10.1.4.22)`
fn named(record: &Record) -> String {
    let user = figures::harmless(&record.user);
    format!("session {} of {user} ({})", record.id, way_in(record))
}

/// A session, and what of it can be signalled.
struct Target<'a> {
    record: &'a Record,
    group: Option<berth_session::Group>,
    /// Without a cgroup: the login, and the init if no other session lives under it.
    roles: Vec<Role>,
    /// The sessions that stay, and live in the same berth.
    sharers: Vec<SessionId>,
    dead: bool,
}

impl<'a> Target<'a> {
    fn new(
        record: &'a Record,
        chosen: &[Record],
        everybody: &[Record],
        tree: Option<&Tree>,
    ) -> Target<'a> {
        let stays = |other: &&Record| chosen.iter().all(|chosen| chosen.id != other.id);
        let shares = |other: &&Record| other.init.is_some() && other.init == record.init;
        let sharers = everybody.iter().filter(stays).filter(shares);
        let sharers: Vec<_> = sharers.map(|other| other.id).collect();
        let init = record.init.filter(|_| sharers.is_empty());
        Target {
            record,
            group: live::group(tree, record).filter(berth_session::Group::exists),
            // With one, an application that has left it goes on outside the session.
            roles: match record.cgroup {
                Some(_) => Vec::new(),
                None => init.into_iter().chain([record.leader]).collect(),
            },
            sharers,
            dead: live::is_dead(record),
        }
    }

    /// Sends a signal to all that runs in the session; says to how many processes.
    fn signal(&self, signal: Signal, tree: Option<&Tree>) -> Result<usize, String> {
        let mut sent = 0;
        let Some(group) = &self.group else {
            for role in &self.roles {
                sent += usize::from(to(role.pid, signal, || role.is_alive())?);
            }
            return Ok(sent);
        };
        for pid in group.processes().map_err(|error| error.to_string())? {
            // The PID may be another's by now; the descriptor, once looked at, cannot.
            let still_there = || tree.and_then(|tree| tree.of_process(pid)).as_ref() == Some(group);
            sent += usize::from(to(pid, signal, still_there)?);
        }
        Ok(sent)
    }

    /// Whether anything runs in it.
    fn runs(&self) -> bool {
        match &self.group {
            Some(group) => group.is_populated(),
            None => self.roles.iter().any(Role::is_alive),
        }
    }

    /// Whether what runs in it is stopped: a signal waits there until it is thawed, but for SIGKILL.
    fn is_frozen(&self) -> bool {
        self.group
            .as_ref()
            .is_some_and(berth_session::Group::is_frozen)
    }

    /// Kills all that runs in it.
    fn kill(&self, tree: Option<&Tree>) -> Result<(), String> {
        match (&self.group, tree) {
            (Some(group), Some(tree)) if group.exists() => {
                tree.kill(group).map_err(|error| error.to_string())
            }
            (Some(_), _) => Ok(()),
            (None, _) => self.signal(Signal::SIGKILL, None).map(drop),
        }
    }

    fn is_gone(&self) -> bool {
        !Record::path(self.record.id).exists()
    }

    /// Whether nothing runs in it, and its keeper stays only for others: it is the one that made the
    /// berth that they share, and holds it until the last of them ends.
    fn is_held(&self) -> bool {
        !self.sharers.is_empty() && is_holder(self.record) && !self.runs()
    }
}

/// Whether a session made a berth that its user's logins share (`scope = "user"`).
fn is_holder(record: &Record) -> bool {
    let folder = Path::new(STATE).join("users").join(record.uid.to_string());
    folder.join(format!("berth-{}", record.id)).exists()
}

/// Sends a signal to a process, if it is still the one that is meant.
fn to(pid: i32, signal: Signal, is_meant: impl Fn() -> bool) -> Result<bool, String> {
    let sent = match sys::pidfd_open(pid) {
        Ok(process) if is_meant() => sys::pidfd_send_signal(&process, signal),
        Ok(_) => Err(Errno::ESRCH),
        Err(errno) => Err(errno),
    };
    match sent {
        Ok(()) => Ok(true),
        Err(Errno::ESRCH) => Ok(false), // It has ended.
        Err(errno) => Err(format!("cannot send {signal} to process {pid}: {errno}")),
    }
}

fn send(targets: &[Target], signal: Signal, as_json: bool) -> Exit {
    let tree = Tree::find().ok();
    let mut sent = Vec::new();
    let mut failed = Vec::new();
    for target in targets {
        match target.signal(signal, tree.as_ref()) {
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
    if as_json {
        json::print(&json!({
            "version": json::VERSION,
            "signal": signal.as_str(),
            "sent": sent,
            "failed": left(&failed),
        }));
    }
    report(&failed)
}

fn counted_processes(count: usize) -> String {
    match count {
        1 => "1 process".into(),
        _ => format!("{count} processes"),
    }
}

fn end(targets: &[Target], tree: Option<&Tree>, arguments: &Arguments) -> Exit {
    let mut failed: Vec<(&Target, String)> = Vec::new();
    let mut asked = Vec::new();
    for target in targets {
        match target.signal(Signal::SIGTERM, tree) {
            Ok(_) => asked.push(target),
            // The kill may do what a signal did not.
            Err(why) => {
                eprintln!("berth: {}: {why}", named(target.record));
                asked.push(target);
            }
        }
    }
    wait(arguments.grace, || {
        !asked
            .iter()
            .any(|target| target.runs() && !target.is_frozen())
    });
    for target in asked {
        if target.runs() {
            if let Err(why) = target.kill(tree) {
                failed.push((target, why));
                continue;
            }
        }
        if target.dead {
            let removed = sweep(tree, target.record.uid, target.record.id);
            if let Err(error) = removed {
                failed.push((target, error.to_string()));
            }
        }
    }
    let unfinished = |target: &&Target| !target.is_gone() && !target.is_held();
    wait(CLEAN_UP, || {
        !targets.iter().any(|target| unfinished(&target))
    });
    for target in targets.iter().filter(unfinished) {
        if failed
            .iter()
            .all(|(other, _)| other.record.id != target.record.id)
        {
            let keeper = target.record.keeper.pid;
            let why = format!("its keeper, process {keeper}, has not removed it yet");
            failed.push((target, why));
        }
    }
    let (ended, rest): (Vec<&Target>, Vec<&Target>) =
        targets.iter().partition(|target| target.is_gone());
    let held: Vec<&Target> = rest.into_iter().filter(|one| one.is_held()).collect();
    if arguments.json {
        json::print(&json!({
            "version": json::VERSION,
            "now": LocalTime::rfc3339(std::time::SystemTime::now()),
            "ended": ended.iter().map(|target| target.record.id).collect::<Vec<_>>(),
            "held": held
                .iter()
                .map(|target| json!({ "session": target.record.id, "for": target.sharers }))
                .collect::<Vec<_>>(),
            "failed": left(&failed),
        }));
    } else {
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
    }
    report(&failed)
}

fn left(failed: &[(&Target, String)]) -> Vec<serde_json::Value> {
    let objects = failed.iter();
    objects
        .map(|(target, why)| json!({ "session": target.record.id, "reason": why }))
        .collect()
}

fn report(failed: &[(&Target, String)]) -> Exit {
    for (target, why) in failed {
        eprintln!("berth: {}: {why}", named(target.record));
    }
    match failed.is_empty() {
        true => Exit::Done,
        false => Exit::Partly,
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
