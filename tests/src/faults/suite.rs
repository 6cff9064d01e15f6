//! Which points are tried, on how many machines at once, and what is printed of them.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;

use super::point::{OnError, Point};
use super::trying::{self, Stage};
use crate::{Build, Machine};

/// What is asked for.
#[derive(Debug)]
pub enum Wanted {
    /// Every point.
    All,
    /// Some of all kinds.
    Short,
    /// These.
    These(Vec<String>),
}

/// The parts of a line that a machine prints, between them.
const TAB: char = '\t';

/// Starts this program on a machine of its own.
fn on_a_machine(arguments: &[&str]) -> Child {
    let me = std::env::current_exe().expect("this program's path");
    let build = Build::find();
    let mut machine = Command::new(build.tools.join("login-machine"));
    machine.args(build.programs(&me)).arg("--").args(arguments);
    let machine = machine.stdout(Stdio::piped()).spawn();
    machine.expect("login-machine")
}

/// What a machine prints, line by line.
fn lines_of(machine: &mut Child) -> impl Iterator<Item = String> + use<> {
    let said = machine.stdout.take().expect("its output");
    BufReader::new(said).lines().map_while(Result::ok)
}

/// All points, with what is shown of each.
pub fn list() -> Vec<(Point, String)> {
    let mut machine = on_a_machine(&["points"]);
    let points = lines_of(&mut machine).filter_map(|line| {
        let (name, shown) = line.split_once(TAB)?;
        Some((name.parse().ok()?, shown.to_owned()))
    });
    let points: Vec<(Point, String)> = points.collect();
    let ended = machine.wait().expect("login-machine");
    assert!(ended.success(), "the good login could not be written down");
    points
}

/// On a machine: prints all points.
pub fn print_points() {
    Machine::run_named("", |machine| {
        for (point, shown) in trying::list(machine) {
            println!("{point}{TAB}{}", shown.escape_debug());
        }
    });
}

/// On a machine: tries these, and says what came of each.
pub fn try_these(names: &[String]) {
    let points = names.iter().map(|name| name.parse().expect("a point"));
    let points: Vec<Point> = points.collect();
    Machine::run_named("", |machine| {
        let mut stage = Stage::set(machine, OnError::Deny);
        for point in &points {
            let tried = stage.try_point(point);
            let (word, mut text) = match &tried.verdict {
                Ok(verdict) => (format!("{verdict:?}"), String::new()),
                Err(wrong) => ("WRONG".into(), wrong.clone()),
            };
            if let Some(by) = tried.cleared_by {
                text += &format!("cleared by {by}");
            }
            if !tried.was_reached {
                text += "not reached";
            }
            println!("{word}{TAB}{point}{TAB}{}", text.escape_debug());
        }
    });
}

/// One of each kind of call in each place, under one of the two policies, in one of its ways to fail.
fn short(points: &[(Point, String)]) -> Vec<String> {
    let mut kinds: BTreeMap<(super::point::Place, &str), Vec<&Point>> = BTreeMap::new();
    for (point, _) in points {
        let step = &point.step;
        kinds
            .entry((step.place, step.call))
            .or_default()
            .push(point);
    }
    // Not the first of each: they differ in what comes before, and so do all that are chosen.
    let chosen = kinds.values().enumerate();
    let chosen = chosen.map(|(number, all)| all[number * 7 % all.len()].to_string());
    chosen.collect()
}

/// Tries what is wanted, and prints what came of it. Says whether all is as it must be.
pub fn run(wanted: Wanted, machines: usize) -> bool {
    let shown: HashMap<String, String>;
    let names = match wanted {
        Wanted::These(names) => {
            shown = HashMap::new();
            names
        }
        Wanted::All | Wanted::Short => {
            let all = list();
            let names = all.iter().map(|(point, _)| point.to_string());
            let names = match wanted {
                Wanted::Short => short(&all),
                _ => names.collect(),
            };
            let all = all.into_iter();
            shown = all
                .map(|(point, shown)| (point.to_string(), shown))
                .collect();
            names
        }
    };
    let machines = machines.min(names.len()).max(1);
    let (say, said) = mpsc::channel();
    let tried = std::thread::scope(|scope| {
        for share in 0..machines {
            let say = say.clone();
            let names = names.iter().skip(share).step_by(machines);
            let arguments = ["try"].into_iter().chain(names.map(String::as_str));
            let arguments: Vec<&str> = arguments.collect();
            scope.spawn(move || {
                let mut machine = on_a_machine(&arguments);
                for line in lines_of(&mut machine) {
                    say.send(line).expect("the one who counts");
                }
                machine.wait().expect("login-machine").success()
            });
        }
        drop(say);
        report(said, &shown)
    });
    let count = |word: &str| tried.get(word).copied().unwrap_or(0);
    let missing = names.len()
        - tried
            .iter()
            .filter(|(word, _)| word.len() > 1)
            .map(|(_, n)| n)
            .sum::<usize>();
    let _ = missing;
    let wrong = count("WRONG");
    println!(
        "{} points: {} let in whole, {} refused, {} let in without a berth, {} ended early, {wrong} wrong",
        grouped(names.len()),
        grouped(count("Whole")),
        grouped(count("Refused")),
        grouped(count("WithoutBerth")),
        grouped(count("Ended")),
    );
    wrong == 0
}

/// Prints what is worth it, and counts.
fn report(
    said: mpsc::Receiver<String>,
    shown: &HashMap<String, String>,
) -> BTreeMap<String, usize> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let results = Build::find().target.join("faults");
    let mut all = String::new();
    for line in said {
        let mut parts = line.splitn(3, TAB);
        let (Some(word), Some(name)) = (parts.next(), parts.next()) else {
            println!("{line}");
            continue;
        };
        let text = parts.next().unwrap_or_default();
        let of = shown.get(name).map(String::as_str).unwrap_or_default();
        *counts.entry(word.into()).or_default() += 1;
        if word == "WRONG" {
            println!("WRONG  {name} ({of}): {text}");
        }
        all += &format!("{word:12} {name} ({of}) {text}\n");
    }
    fs::write(results, all).expect("write the results");
    counts
}

/// A number as people read it.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
