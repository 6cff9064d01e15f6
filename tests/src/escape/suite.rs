//! Running all attempts: in the berths of the shipped policies, where they must fail, and without protection, where
//! they must not.

use std::collections::BTreeMap;
use std::process::Command;

use crate::{Build, Machine, Process};

use super::cgroups::of_v1;
use super::profiles::{self, NO_BERTH, Profile};
use super::stage::Stage;
use super::{Attempt, Promise, Without, all};

/// Where the attempts are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// In berths.
    Berths,
    /// In one berth of each kind.
    OneOfEach,
    /// Where they lead out, if they are what they say.
    WithoutProtection,
}

/// Runs all of them, says what came of each, and ends the program: with 1 if anything is not as it must be.
pub fn run(mode: Mode) -> ! {
    if !Machine::is_here() {
        std::process::exit(on_a_machine(mode));
    }
    let mut good = false;
    Machine::run_named("", |machine| {
        let mut stage = Stage::set(machine);
        good = match mode {
            Mode::Berths => in_berths(&mut stage, &profiles::all()),
            Mode::OneOfEach => in_berths(&mut stage, &profiles::one_of_each()),
            Mode::WithoutProtection => without_protection(&mut stage),
        };
    });
    std::process::exit(i32::from(!good));
}

/// Starts this program again on a machine of its own.
fn on_a_machine(mode: Mode) -> i32 {
    let me = std::env::current_exe().expect("this program's path");
    let build = Build::find();
    let mut machine = Command::new(build.tools.join("login-machine"));
    machine.args(build.programs(&me)).arg("--");
    machine.args(match mode {
        Mode::Berths => None,
        Mode::OneOfEach => Some("--short"),
        Mode::WithoutProtection => Some("--without-protection"),
    });
    let ended = machine.status().expect("login-machine");
    ended.code().unwrap_or(1)
}

/// What is said of an attempt: `ESCAPED`, `HELD` or `STUCK`, and why.
type Said = BTreeMap<String, (String, String)>;

/// Reads what `berth-escape try` prints. Of whom it does not speak, something is wrong.
fn read(text: &str, names: &[&str]) -> Said {
    let lines = text.lines().filter_map(|line| {
        let mut fields = line.splitn(3, '\t');
        let (name, verdict, why) = (fields.next()?, fields.next()?, fields.next()?);
        Some((name.to_owned(), (verdict.to_owned(), why.to_owned())))
    });
    let mut said: Said = lines.collect();
    for name in names {
        let nothing = || ("STUCK".into(), text.trim().replace('\n', " "));
        said.entry((*name).to_owned()).or_insert_with(nothing);
    }
    said
}

/// What came of one attempt, in all the berths that it was made in.
#[derive(Debug, Default)]
struct Outcome {
    /// In whose berths it was held, by what.
    held: BTreeMap<String, Vec<String>>,
    /// In whose berths it led out.
    escaped: Vec<String>,
    /// In whose berths it could not be tried, or was stopped by what nobody had thought of.
    stuck: Vec<String>,
}

fn in_berths(stage: &mut Stage, profiles: &[Profile]) -> bool {
    let attempts: Vec<_> = all().collect();
    let mut outcomes: BTreeMap<String, Outcome> = BTreeMap::new();
    for profile in profiles {
        println!("in the berth of {}", profile.name);
        let made = attempts.iter().filter(|(_, one)| {
            matches!(one.promise, Promise::Nothing(_)) || profile.promises(one.promise)
        });
        let made: BTreeMap<&str, &Attempt> =
            made.map(|(name, one)| (name.as_str(), *one)).collect();
        let names: Vec<&str> = made.keys().copied().collect();
        let nested_userns = !profile.promises(Promise::NoNestedUserns);
        for (name, (verdict, why)) in in_the_berth(stage, profile, &names) {
            let Some(attempt) = made.get(name.as_str()) else {
                continue;
            };
            let outcome = outcomes.entry(name).or_default();
            let here = profile.name.clone();
            match verdict.as_str() {
                "ESCAPED" => outcome.escaped.push(format!("in {here}: {why}")),
                "HELD" if attempt.is_stopped_by(&why, nested_userns) => {
                    outcome.held.entry(why).or_default().push(here);
                }
                "HELD" => outcome.stuck.push(format!("in {here}, by {why}")),
                _ => outcome.stuck.push(format!("in {here}: {why}")),
            }
        }
    }
    let (mut held, mut escaped, mut known, mut wrong) = (0, 0, 0, 0);
    for (name, attempt) in &attempts {
        let outcome = outcomes.remove(name).unwrap_or_default();
        let is_held = !outcome.held.is_empty();
        if !outcome.stuck.is_empty() {
            wrong += 1;
            println!("STUCK   {name:36} {}", outcome.stuck.join("; "));
        }
        match attempt.promise {
            Promise::Nothing(reason) if !is_held && !outcome.escaped.is_empty() => {
                known += 1;
                println!("KNOWN   {name:36} {reason}");
            }
            // Then the threat model says what is not so.
            Promise::Nothing(_) => {
                wrong += 1;
                println!("CLOSED  {name:36} {}", by(&outcome.held, profiles.len()));
            }
            _ if !outcome.escaped.is_empty() => {
                escaped += 1;
                println!("ESCAPED {name:36} {}", outcome.escaped.join("; "));
            }
            _ if is_held && outcome.stuck.is_empty() => {
                held += 1;
                println!("HELD    {name:36} {}", by(&outcome.held, profiles.len()));
            }
            _ if outcome.stuck.is_empty() => {
                wrong += 1;
                println!("STUCK   {name:36} in no berth");
            }
            _ => {}
        }
    }
    println!("{known} more are known to lead out of every berth (docs/threat-model.md)");
    println!("{wrong} did not go as they must: STUCK, or CLOSED though they are known to lead out");
    println!("{held} held, {escaped} escaped");
    escaped + wrong == 0
}

/// By what it was held, and in which berths where that is not the same in all.
fn by(held: &BTreeMap<String, Vec<String>>, profiles: usize) -> String {
    let count: usize = held.values().map(Vec::len).sum();
    let reasons = held.iter().map(|(why, berths)| match held.len() {
        1 => why.clone(),
        _ => format!("{why} ({})", berths.join(", ")),
    });
    let reasons: Vec<String> = reasons.collect();
    format!("in {count} of {profiles} berths: {}", reasons.join("; "))
}

fn in_the_berth(stage: &mut Stage, profile: &Profile, names: &[&str]) -> Said {
    stage.log_in(&profile.policy());
    let text = stage.try_all(names);
    assert!(stage.was_in_a_berth(), "no berth of {}", profile.name);
    read(&text, names)
}

fn without_protection(stage: &mut Stage) -> bool {
    let attempts: Vec<_> = all().collect();
    let strictest = profiles::strictest().policy();
    stage.log_in(&strictest);
    let mut said = Said::new();
    for (name, attempt) in &attempts {
        if attempt.without != Without::NoBerth {
            let mut text = stage.try_without(name, attempt.without, &strictest);
            if !text.contains("\tESCAPED\t") {
                // The attempt before may have killed the init, which was only then about to go.
                text = stage.try_without(name, attempt.without, &strictest);
            }
            said.extend(read(&text, &[name]));
        }
    }
    stage.log_in(NO_BERTH);
    let free = attempts
        .iter()
        .filter(|(_, one)| one.without == Without::NoBerth);
    let names: Vec<&str> = free.map(|(name, _)| name.as_str()).collect();
    let text = stage.try_all(&names);
    assert!(!stage.was_in_a_berth());
    said.extend(read(&text, &names));
    // The same user tries the others, too: what is refused then is refused to everybody who is not root.
    let others = attempts
        .iter()
        .filter(|(_, one)| !matches!(one.without, Without::NoBerth | Without::Victim));
    let others: Vec<&str> = others.map(|(name, _)| name.as_str()).collect();
    let text = stage.try_all(&others);
    let refused = read(&text, &others).into_values();
    let refused = refused.filter(|(verdict, _)| verdict == "HELD").count();

    let (mut led_out, mut not, mut unseen) = (0, 0, 0);
    for (name, attempt) in &attempts {
        let is_missing = match attempt.without {
            Without::ResourceRoot => !has_resource_capability(),
            Without::RootWithV1 => of_v1().is_empty(),
            _ => false,
        };
        if is_missing {
            println!("NOT SEEN {name:36} this machine has not what it needs");
            unseen += 1;
            continue;
        }
        let (verdict, why) = said.get(name).cloned().unwrap_or_default();
        println!("{verdict:9}{name:36} {why}");
        match verdict.as_str() {
            "ESCAPED" => led_out += 1,
            _ => not += 1,
        }
    }
    println!("{refused} are refused to an ordinary user without a berth, too");
    println!(
        "{led_out} led out without their protection, {unseen} cannot be seen on this machine, {not} did not"
    );
    not == 0
}

/// Whether root may raise limits here.
pub fn has_resource_capability() -> bool {
    const CAP_SYS_RESOURCE: u64 = 1 << 24;
    let held = Process::own().status("CapEff").unwrap_or_default();
    u64::from_str_radix(&held, 16).is_ok_and(|held| held & CAP_SYS_RESOURCE != 0)
}
