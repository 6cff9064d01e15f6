//! Running all attempts: in the berths of the shipped policies, where they must fail, and without protection, where
//! they must not.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use crate::{Build, Machine};

use super::profiles::{NO_BERTH, PROFILES, Profile, STRICTEST};
use super::stage::Stage;
use super::{Promise, Without, all};

/// Where the attempts are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// In berths.
    Berths,
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
            Mode::Berths => in_berths(&mut stage),
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
    if mode == Mode::WithoutProtection {
        machine.arg("--without-protection");
    }
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

fn in_berths(stage: &mut Stage) -> bool {
    let attempts: Vec<_> = all().collect();
    let mut held_in: BTreeMap<&str, (usize, String)> = BTreeMap::new();
    let mut not_held = BTreeSet::new();
    for profile in &PROFILES {
        let promised = attempts.iter().filter(|(_, one)| profile.promises(one.promise));
        let names: Vec<&str> = promised.map(|(name, _)| name.as_str()).collect();
        for (name, (verdict, why)) in in_the_berth(stage, profile, &names) {
            let Some((known, _)) = attempts.iter().find(|(known, _)| *known == name) else {
                continue;
            };
            if verdict == "HELD" {
                let (count, _) = held_in.get(known.as_str()).cloned().unwrap_or_default();
                held_in.insert(known, (count + 1, why));
            } else {
                println!("{verdict:8}{name:36} in the berth of {}: {why}", profile.name);
                not_held.insert(known.as_str());
            }
        }
    }
    let mut held = 0;
    for (name, _) in &attempts {
        if let Some((count, why)) = held_in.get(name.as_str()).filter(|_| !not_held.contains(&**name)) {
            println!("HELD    {name:36} in {count} of {} berths: {why}", PROFILES.len());
            held += 1;
        }
    }
    println!("{held} held, {} escaped", attempts.len() - held);
    held == attempts.len()
}

fn in_the_berth(stage: &mut Stage, profile: &Profile, names: &[&str]) -> Said {
    stage.log_in(&profile.policy().text());
    let text = stage.try_all(names);
    assert!(stage.was_in_a_berth(), "no berth of {}", profile.name);
    read(&text, names)
}

fn without_protection(stage: &mut Stage) -> bool {
    let attempts: Vec<_> = all().collect();
    let strictest = STRICTEST.policy().text();
    assert!(STRICTEST.promises(Promise::UserNamespace));
    stage.log_in(&strictest);
    let mut said = Said::new();
    for (name, attempt) in &attempts {
        if !matches!(attempt.without, Without::NoBerth | Without::Never(_)) {
            let text = stage.try_without(name, attempt.without, &strictest);
            said.extend(read(&text, &[name]));
        }
    }
    stage.log_in(NO_BERTH);
    let free = attempts.iter().filter(|(_, one)| one.without == Without::NoBerth);
    let names: Vec<&str> = free.map(|(name, _)| name.as_str()).collect();
    let text = stage.try_all(&names);
    assert!(!stage.was_in_a_berth());
    said.extend(read(&text, &names));

    let (mut led_out, mut not) = (0, 0);
    for (name, attempt) in &attempts {
        if let Without::Never(reason) = attempt.without {
            println!("NOT SEEN {name:36} {reason}");
            continue;
        }
        let (verdict, why) = said.get(name).cloned().unwrap_or_default();
        println!("{verdict:9}{name:36} {why}");
        match verdict.as_str() {
            "ESCAPED" => led_out += 1,
            _ => not += 1,
        }
    }
    println!("{led_out} led out without their protection, {not} did not");
    not == 0
}
