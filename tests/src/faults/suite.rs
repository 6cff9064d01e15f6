//! Which points are tried, on how many machines at once, and what is printed of them.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::iter;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, mpsc};

use super::host::{Host, UnderSystemd};
use super::point::{Fault, Point, Setting, Way};
use super::trying::{self, Stage};
use crate::guest::{self, Guest, Suite};
use crate::{Build, Machine};

/// Where logins are made to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Site {
    /// On the tests' own machines.
    Here,
    /// On an emulated one that has the controllers.
    WithControllers,
    /// In a container that systemd runs.
    UnderSystemd,
}

impl Site {
    /// What it is asked for by.
    fn flag(self) -> &'static str {
        match self {
            Site::Here => "",
            Site::WithControllers => "--with-controllers",
            Site::UnderSystemd => "--under-systemd",
        }
    }

    /// Which it is, by the first of some arguments.
    pub fn of(argument: &str) -> Option<Site> {
        let all = [Site::WithControllers, Site::UnderSystemd];
        all.into_iter().find(|one| one.flag() == argument)
    }

    /// How many points one machine is given: what is booted is given half an hour.
    fn most(self) -> usize {
        match self {
            Site::Here | Site::UnderSystemd => 800,
            Site::WithControllers => 150,
        }
    }

    /// How many there are at once: one more than there are CPUs, since each waits a good part of the time.
    fn machines(self) -> usize {
        match self {
            Site::Here | Site::UnderSystemd => {
                std::thread::available_parallelism().map_or(1, usize::from) + 1
            }
            Site::WithControllers => 1, // it has two CPUs itself
        }
    }
}

/// What is asked for.
#[derive(Debug)]
pub enum Wanted {
    /// Every point.
    All,
    /// Some of all kinds.
    Short,
    /// So many, after each of which something else fails.
    Twice(usize),
    /// These.
    These(Vec<String>),
    /// Those whose line in the list has all words of one of these.
    About(Vec<String>),
    /// The steps of the same, left out as if a program took no notice of their failure.
    LeftOut(Vec<String>),
}

/// The parts of a line that a machine prints, between them.
const TAB: char = '\t';

/// Whether the machine is the one on which this runs already, which is a guest that systemd runs.
fn is_under_systemd() -> bool {
    let me = std::env::current_exe().unwrap_or_default();
    me.starts_with("/host") && Path::new("/run/systemd/private").exists()
}

/// Does something on a machine.
fn on_this(action: impl FnOnce(&mut dyn Host)) {
    match is_under_systemd() {
        true => action(&mut UnderSystemd::prepare()),
        false => Machine::run_named("", |machine| action(machine)),
    }
}

/// Starts this program on a machine of its own.
fn on_a_machine(site: Site, arguments: &[&str]) -> Child {
    let me = std::env::current_exe().expect("this program's path");
    let build = Build::find();
    let mut machine = match site {
        Site::Here if is_under_systemd() => Command::new(&me),
        Site::Here => {
            let mut machine = Command::new(build.tools.join("login-machine"));
            machine.args(build.programs(&me)).arg("--");
            machine
        }
        _ => {
            let mut machine = Command::new(&me);
            machine.args(["boot", site.flag()]);
            machine
        }
    };
    let machine = machine.args(arguments).stdout(Stdio::piped()).spawn();
    machine.expect("a machine")
}

/// Boots a machine, does something on it, and prints what its console showed.
pub fn boot(site: Site, arguments: &[String]) {
    let guest = match site {
        Site::UnderSystemd => Guest::Container(Suite::Bookworm),
        Site::WithControllers | Site::Here => Guest::Qemu,
    };
    let me = std::env::current_exe().expect("this program's path");
    let there = [&["booted".to_owned()], arguments].concat();
    print!("{}", guest::run(guest, &me, &there));
}

/// On a machine that was booted: does it there.
pub fn booted(arguments: &[String]) {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut machine = on_a_machine(Site::Here, &arguments);
    lines_of(&mut machine).for_each(|line| println!("{line}"));
    machine.wait().expect("the machine's end");
}

/// What a machine prints, line by line.
fn lines_of(machine: &mut Child) -> impl Iterator<Item = String> + use<> {
    let said = machine.stdout.take().expect("its output");
    BufReader::new(said).lines().map_while(Result::ok)
}

/// All points, with what is shown of each.
pub fn list(site: Site) -> Vec<(Point, String)> {
    let mut machine = on_a_machine(site, &["points"]);
    let said: Vec<String> = lines_of(&mut machine).collect();
    let points = said.iter().filter_map(|line| {
        let (name, shown) = line.split_once(TAB)?;
        Some((name.parse().expect("a point"), shown.to_owned()))
    });
    let points: Vec<(Point, String)> = points.collect();
    let ended = machine.wait().expect("the machine's end");
    assert!(
        ended.success() && !points.is_empty(),
        "the good login could not be written down: {said:#?}"
    );
    points
}

/// On a machine: prints all points.
pub fn print_points() {
    on_this(|machine| {
        for (point, shown) in trying::list(machine) {
            println!("{point}{TAB}{}", shown.escape_debug());
        }
    });
}

/// On a machine: tries these, and says what came of each.
pub fn try_these(names: &[String]) {
    let points = names.iter().map(|name| name.parse().expect("a point"));
    let mut points: Vec<Point> = points.collect();
    // Each setting is made once.
    points.sort_by_key(|point| point.setting);
    on_this(|machine| {
        let mut stage = Stage::set(machine, Setting::Deny);
        for point in &points {
            let mut notes = Vec::new();
            let mut tried = stage.try_point(point);
            if let Err(wrong) = &tried.verdict {
                // On a machine that is busy with others a deadline may have passed.
                let first = format!("good only when tried again: {point}: {wrong}");
                tried = stage.try_point(point);
                if tried.verdict.is_ok() {
                    println!("{}", first.escape_debug());
                    notes.push("good only when tried again".to_owned());
                }
            }
            let (word, wrong) = match &tried.verdict {
                Ok(verdict) => (format!("{verdict:?}"), ""),
                Err(wrong) => (WRONG.into(), wrong.as_str()),
            };
            notes.extend(tried.missed.map(str::to_owned));
            notes.extend(tried.cleared_by.map(|by| format!("cleared by {by}")));
            let notes = notes.join(", ");
            println!(
                "{word}{TAB}{point}{TAB}{}{TAB}{notes}{TAB}{}",
                tried.took.as_millis(),
                wrong.escape_debug()
            );
        }
    });
}

fn is_about(line: &str, texts: &[String]) -> bool {
    let mut texts = texts.iter().map(|text| text.split(' '));
    texts.any(|mut words| words.all(|word| line.contains(word)))
}

/// A number that says nothing of a name (FNV).
fn scattered(name: &str) -> u32 {
    let bytes = name.bytes().map(u32::from);
    bytes.fold(2_166_136_261, |sum, byte| {
        (sum ^ byte).wrapping_mul(16_777_619)
    })
}

/// One of each kind of call in each place, in one of the settings, in one of its ways to fail.
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

/// So many points in which a second call fails, or a second process is killed: soon after the first mostly, as then something
/// is being rolled back.
fn twice(mut points: Vec<String>, number: usize) -> Vec<String> {
    points.sort_by_key(|name| scattered(name));
    let points = points.into_iter().cycle().take(number).enumerate();
    let add = |(turn, name): (usize, String)| {
        let chance = scattered(&format!("{turn} {name}"));
        let after = 1 + (chance >> 8) % (2 << (chance >> 4) % 8);
        let way = [Way::Error, Way::Kill][chance as usize % 2];
        format!("{name}+{after}.{way:?}")
    };
    points.map(add).collect()
}

/// Tries what is wanted, and prints what came of it. Says whether all is as it must be.
pub fn run(site: Site, wanted: Wanted) -> bool {
    let shown: HashMap<String, String>;
    let mut unmatched = 0;
    let names = match wanted {
        Wanted::These(names) => {
            shown = HashMap::new();
            names
        }
        wanted => {
            let mut all = list(site);
            if let Wanted::About(texts) | Wanted::LeftOut(texts) = &wanted {
                // What no step matches any more would be tried by nobody.
                for text in texts {
                    let text = std::slice::from_ref(text);
                    let is_one = |(point, shown): &(Point, String)| {
                        is_about(&format!("{point} {shown}"), text)
                    };
                    if !all.iter().any(is_one) {
                        println!("WRONG  no step is {:?}", text[0]);
                        unmatched += 1;
                    }
                }
                all.retain(|(point, shown)| is_about(&format!("{point} {shown}"), texts));
            }
            if let Wanted::LeftOut(_) = &wanted {
                all.retain(|(point, _)| point.fault == Fault::Kill); // each step has one
                all.iter_mut()
                    .for_each(|(point, _)| point.fault = Fault::Ignored);
            }
            let names = all.iter().map(|(point, _)| point.to_string());
            let mut names = match wanted {
                Wanted::Short => short(&all),
                Wanted::Twice(number) => twice(names.collect(), number),
                _ => names.collect(),
            };
            match wanted {
                // So that one that is stopped has seen something of everything.
                Wanted::All => names.sort_by_key(|name| scattered(name)),
                // By their settings: a machine takes some logins to prepare for each.
                _ => names.sort(),
            }
            let all = all.into_iter();
            shown = all
                .map(|(point, shown)| (point.to_string(), shown))
                .collect();
            names
        }
    };
    let share = names.len().div_ceil(site.machines());
    let shares = Mutex::new(names.chunks(share.clamp(1, site.most())));
    let (say, said) = mpsc::channel();
    let counts = std::thread::scope(|scope| {
        for _ in 0..site.machines() {
            let (say, shares) = (say.clone(), &shares);
            scope.spawn(move || {
                let next = || shares.lock().expect("the shares").next();
                while let Some(names) = next() {
                    let names = names.iter().map(String::as_str);
                    let arguments: Vec<&str> = iter::once("try").chain(names).collect();
                    let mut machine = on_a_machine(site, &arguments);
                    for line in lines_of(&mut machine) {
                        say.send(line).expect("the one who counts");
                    }
                    machine.wait().expect("the machine's end");
                }
            });
        }
        drop(say);
        report(said, &shown)
    });
    let count = |word: &str| counts.get(word).copied().unwrap_or(0);
    // Where a machine has ended early, these were not tried.
    let missing = names.len() - counts.values().sum::<usize>();
    if missing > 0 {
        println!("WRONG  {missing} points were not tried: a machine ended");
    }
    let wrong = count(WRONG) + missing + unmatched;
    println!(
        "{} points: {} let in whole, {} refused, {} let in without a berth, {} with caps only, {} ended early, {wrong} wrong",
        grouped(names.len()),
        grouped(count("Whole")),
        grouped(count("Refused")),
        grouped(count("WithoutBerth")),
        grouped(count("CapsOnly")),
        grouped(count("Ended")),
    );
    wrong == 0
}

/// What a machine says of a point that is not as it must be.
const WRONG: &str = "WRONG";

/// Prints what is worth it, writes down all, and counts.
fn report(
    said: mpsc::Receiver<String>,
    shown: &HashMap<String, String>,
) -> BTreeMap<String, usize> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    // Whatever else is true of it: not reached, or cleared by somebody later.
    let mut notes: BTreeMap<String, usize> = BTreeMap::new();
    let mut longest: Option<(u128, String)> = None;
    let results = Build::find().target.join("faults");
    let mut results = fs::File::create(results).expect("the results' file");
    for line in said {
        let mut parts = line.splitn(5, TAB);
        let [word, name, took, note] = [(); 4].map(|()| parts.next());
        let (Some(word), Some(name), Some(took), Some(note)) = (word, name, took, note) else {
            println!("{line}");
            continue;
        };
        let took: u128 = took.parse().expect("milliseconds");
        if longest.as_ref().is_none_or(|(most, _)| took > *most) {
            longest = Some((took, name.to_owned()));
        }
        let wrong = parts.next().unwrap_or_default();
        let of = shown.get(name).map(String::as_str).unwrap_or_default();
        *counts.entry(word.into()).or_default() += 1;
        if !note.is_empty() {
            *notes.entry(note.into()).or_default() += 1;
        }
        if word == WRONG {
            println!("WRONG  {name} ({of}): {wrong}");
        }
        writeln!(results, "{word:12} {name} ({of}) {note} {wrong}").expect("write the results");
    }
    for (note, count) in notes {
        println!("{count:>6} {note}");
    }
    if let Some((took, name)) = longest {
        println!("the longest login took {took} ms: {name}");
    }
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
