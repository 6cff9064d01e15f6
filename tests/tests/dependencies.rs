//! Other people's code in what is installed: docs/dependencies.md and deny.toml say of it what is true.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

const PROGRAMS: [(&str, &str); 3] = [
    ("module", "pam-berth"),
    ("helper", "berth-helper"),
    ("CLI", "berth"),
];

/// A crate as cargo has it in one of the programs.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Crate {
    name: String,
    version: String,
    licence: String,
}

fn text(path: &str) -> String {
    std::fs::read_to_string(berth_tests::tree().join(path)).unwrap()
}

/// What a package is made of, but for Berth's own crates.
fn crates_of(package: &str) -> BTreeSet<Crate> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--offline", "--edges", "normal,build"])
        .args(["--target", "x86_64-unknown-linux-gnu", "--prefix", "none"])
        .args(["--format", "{p}|{l}", "--package", package])
        .current_dir(berth_tests::tree())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let lines = String::from_utf8(output.stdout).unwrap();
    let crates = lines.lines().filter(|line| !line.contains(" (/"));
    let crates: BTreeSet<_> = crates
        .filter_map(|line| {
            let (package, licence) = line.split_once('|')?;
            let (name, version) = package.split_once(" v")?;
            let licence = licence.trim_end_matches(" (*)").into();
            let (name, version) = (name.into(), version.split(' ').next()?.into());
            Some(Crate {
                name,
                version,
                licence,
            })
        })
        .collect();
    assert!(crates.iter().any(|one| one.name == "libc"), "{lines}");
    crates
}

fn all() -> BTreeSet<Crate> {
    let crates = PROGRAMS.map(|(_, package)| crates_of(package));
    crates.into_iter().flatten().collect()
}

/// The strings of a list in deny.toml.
fn listed(policy: &str, list: &str) -> Vec<String> {
    let (_, behind) = policy.split_once(&format!("\n{list} = [")).unwrap();
    let (inside, _) = behind.split_once(']').unwrap();
    let strings = inside
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'));
    let strings: Vec<_> = strings
        .flat_map(|line| line.split('"').skip(1).step_by(2))
        .collect();
    strings.into_iter().map(String::from).collect()
}

#[test]
fn each_crate_in_what_is_installed_has_a_reason_and_no_other_has() {
    let mut there: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (program, package) in PROGRAMS {
        let names: BTreeSet<_> = crates_of(package).into_iter().map(|one| one.name).collect();
        for name in names {
            there.entry(name).or_default().push(program);
        }
    }
    let mut told: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    let document = text("docs/dependencies.md");
    for row in document.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        assert!(cells[3].len() > 10, "a reason: {row}");
        for name in cells[1].split(", ").map(|name| name.trim_matches('`')) {
            let twice = told.insert(name.into(), cells[2].split(", ").collect());
            assert_eq!(twice, None, "{name} stands twice");
        }
    }
    let (there, told) = (lines(&there), lines(&told));
    let new: Vec<_> = there.difference(&told).collect();
    let old: Vec<_> = told.difference(&there).collect();
    assert!(
        new.is_empty() && old.is_empty(),
        "docs/dependencies.md lacks {new:?}, and has {old:?}"
    );
}

fn lines(crates: &BTreeMap<String, Vec<&str>>) -> BTreeSet<String> {
    let line = |(name, programs): (&String, &Vec<&str>)| format!("{name}: {}", programs.join(", "));
    crates.iter().map(line).collect()
}

#[test]
fn each_crate_may_be_given_on_under_a_licence_that_is_allowed() {
    let allowed = listed(&text("deny.toml"), "allow");
    assert!(allowed.contains(&"MIT".into()), "{allowed:?}");
    for one in all() {
        // `A/B` is how `A OR B` was written once.
        let expression = one.licence.replace('/', " OR ");
        let each = |part: &str| {
            let part = part.trim_matches(['(', ')', ' ']);
            part.split(" OR ")
                .any(|licence| allowed.contains(&licence.trim().to_owned()))
        };
        assert!(
            !expression.is_empty() && expression.split(" AND ").all(each),
            "{one:?}"
        );
    }
}

#[test]
fn no_crate_is_there_twice_without_a_reason() {
    let skipped = listed(&text("deny.toml"), "skip");
    let mut versions: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for one in all() {
        versions.entry(one.name).or_default().push(one.version);
    }
    let mut excused = BTreeSet::new();
    for (name, mut versions) in versions {
        versions.retain(|version| {
            let skip = skipped.iter().find(|skip| {
                let (of, begin) = skip.split_once('@').unwrap();
                of == name && version.starts_with(&format!("{begin}."))
            });
            excused.extend(skip);
            skip.is_none()
        });
        assert!(versions.len() <= 1, "{name}: {versions:?}");
    }
    assert_eq!(
        excused.len(),
        skipped.len(),
        "excused for nothing: {skipped:?}"
    );
}

#[test]
fn all_crates_come_from_the_registry_and_have_a_checksum() {
    let lock = text("Cargo.lock");
    let mut sources = BTreeSet::new();
    for package in lock.split("[[package]]").skip(1) {
        if let Some((_, source)) = package.split_once("source = ") {
            sources.insert(source.lines().next().unwrap_or_default().to_owned());
            assert!(package.contains("\nchecksum = \""), "{package}");
        }
    }
    let [source] = Vec::from_iter(sources).try_into().unwrap();
    assert!(source.starts_with("\"registry+"), "{source}");
}
