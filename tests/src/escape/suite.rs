//! Running all attempts: in the berths of the shipped policies, where they must fail, and without protection, where
//! they must not.

use std::collections::BTreeMap;
use std::process::Command;

use crate::{Build, Machine, Process};

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

/// What came of one attempt, in all the berths that it was made in.
#[derive(Debug, Default)]
struct Outcome {
    held: usize,
    why: String,
    /// In whose berth it was not held, and how that went.
    not_held: Vec<String>,
}

fn in_berths(stage: &mut Stage) -> bool {
    let attempts: Vec<_> = all().collect();
    let mut outcomes: BTreeMap<String, Outcome> = BTreeMap::new();
    for profile in &PROFILES {
        let made = attempts.iter().filter(|(_, one)| {
            matches!(one.promise, Promise::Nothing(_)) || profile.promises(one.promise)
        });
        let names: Vec<&str> = made.map(|(name, _)| name.as_str()).collect();
        for (name, (verdict, why)) in in_the_berth(stage, profile, &names) {
            let outcome = outcomes.entry(name).or_default();
            if verdict == "HELD" {
                outcome.held += 1;
                // The first berths allow the most, and their reason is not just that nothing is allowed.
                outcome.why = Some(std::mem::take(&mut outcome.why))
                    .filter(|why| !why.is_empty())
                    .unwrap_or(why);
            } else {
                outcome
                    .not_held
                    .push(format!("{verdict} in the berth of {}: {why}", profile.name));
            }
        }
    }
    let (mut held, mut escaped, mut known, mut wrong) = (0, 0, 0, 0);
    for (name, attempt) in &attempts {
        let Outcome {
            held: count,
            why,
            not_held,
        } = outcomes.remove(name).unwrap_or_default();
        match attempt.promise {
            Promise::Nothing(reason) if count == 0 => {
                known += 1;
                println!("KNOWN   {name:36} {reason}");
            }
            // Then the threat model says what is not so.
            Promise::Nothing(_) => {
                wrong += 1;
                println!("CLOSED  {name:36} in {count} berths: {why}");
            }
            _ if not_held.is_empty() && count > 0 => {
                held += 1;
                println!(
                    "HELD    {name:36} in {count} of {} berths: {why}",
                    PROFILES.len()
                );
            }
            _ => {
                escaped += 1;
                println!("ESCAPED {name:36} {}", not_held.join("; "));
            }
        }
    }
    println!(
        "{known} more are known to lead out of every berth (docs/threat-model.md), and {wrong} of these do not"
    );
    println!("{held} held, {escaped} escaped");
    escaped + wrong == 0
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

    let (mut led_out, mut not, mut unseen) = (0, 0, 0);
    for (name, attempt) in &attempts {
        if attempt.without == Without::ResourceRoot && !has_resource_capability() {
            println!("NOT SEEN {name:36} root has no CAP_SYS_RESOURCE here");
            unseen += 1;
            continue;
        }
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
    println!(
        "{led_out} led out without their protection, {unseen} cannot be seen on this machine, {not} did not"
    );
    not == 0
}

fn has_resource_capability() -> bool {
    const CAP_SYS_RESOURCE: u64 = 1 << 24;
    let held = Process::own().status("CapEff").unwrap_or_default();
    u64::from_str_radix(&held, 16).is_ok_and(|held| held & CAP_SYS_RESOURCE != 0)
}
