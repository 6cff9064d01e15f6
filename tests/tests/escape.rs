//! No known way out of a berth leads out; and each would, were it not for what stops it.

use std::process::Command;

use berth_tests::escape::{self, Promise, profiles, table};

const THREATS: &str = include_str!("../../docs/threat-model.md");

const DECISIONS: &str = include_str!("../../docs/decisions.md");

/// Runs the suite, and gives back its last line.
fn suite(arguments: &[&str]) -> String {
    let ran = Command::new(env!("CARGO_BIN_EXE_berth-escape"))
        .args(arguments)
        .output();
    let ran = ran.expect("berth-escape");
    let (said, complaints) = (
        String::from_utf8_lossy(&ran.stdout),
        String::from_utf8_lossy(&ran.stderr),
    );
    assert!(ran.status.success(), "{said}{complaints}");
    said.lines().last().unwrap_or_default().to_owned()
}

#[test]
fn no_way_out_of_the_examples_berths_leads_out() {
    let said = suite(&["--short"]);
    let promised = escape::all().filter(|(_, one)| !matches!(one.promise, Promise::Nothing(_)));
    assert_eq!(said, format!("{} held, 0 escaped", promised.count()));
}

#[test]
fn every_way_out_leads_out_where_nothing_protects() {
    let said = suite(&["--without-protection"]);
    assert!(said.ends_with(", 0 did not"), "{said}");
}

/// Whose profiles the suite finds by itself.
#[test]
fn every_shipped_policy_is_tried() {
    let packaging = berth_tests::tree().join("packaging");
    let examples = std::fs::read_dir(packaging.join("examples")).unwrap();
    let mut paths: Vec<_> = examples.map(|entry| entry.unwrap().path()).collect();
    paths.push(packaging.join("policy.toml"));
    assert_eq!(paths.len(), profiles::POLICIES.len(), "{paths:?}");
    for path in paths {
        let text = std::fs::read_to_string(&path).unwrap();
        let mut tried = profiles::POLICIES.iter();
        assert!(tried.any(|(_, of_file)| *of_file == text), "{path:?}");
    }
}

#[test]
fn the_threat_models_table_is_the_suites() {
    let table = table::text();
    assert!(
        THREATS.contains(&table),
        "docs/threat-model.md should have:\n{table}"
    );
}

/// Whether a file has such a test, and not one that is passed over.
fn is_test(text: &str, name: &str) -> bool {
    let Some((before, _)) = text.split_once(&format!("fn {name}(")) else {
        return false;
    };
    let mut attributes = before.trim_end().lines().rev();
    let attributes: Vec<&str> = attributes
        .by_ref()
        .map(str::trim)
        .take_while(|line| line.starts_with("#["))
        .collect();
    attributes.contains(&"#[test]") && !attributes.iter().any(|one| one.starts_with("#[ignore"))
}

/// They stand as `file::name`, with the file's folder where that is not this one.
#[test]
fn every_test_that_the_documents_name_is_there() {
    for document in [THREATS, DECISIONS] {
        let words = document.split('`').skip(1).step_by(2);
        let mut found = 0;
        for word in words.filter(|word| word.contains("::")) {
            let (file, name) = word.rsplit_once("::").expect("file::name");
            let folder = if file.contains('/') {
                ""
            } else {
                "tests/tests/"
            };
            let path = berth_tests::tree().join(format!("{folder}{file}.rs"));
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            // Those on booted machines stand in a list, of which each has to be a case there.
            let is_listed = file.starts_with("system")
                && text
                    .split(|c: char| !c.is_alphanumeric() && c != '_')
                    .any(|word| word == name);
            let is_there = is_listed || is_test(&text, name);
            assert!(is_there, "{word} is not in {path:?}");
            found += 1;
        }
        assert!(found > 50, "{found} tests");
    }
}

/// Attempts stand there as `class/name`.
#[test]
fn every_published_escape_is_tried_or_cannot_apply() {
    let attempts: Vec<String> = escape::all().map(|(name, _)| name).collect();
    let (_, section) = THREATS.split_once("\n## Published escapes\n").expect("it");
    let (section, _) = section.split_once("\n## ").expect("its end");
    let lines = section.lines().filter(|line| line.starts_with("| "));
    let mut rows = 0;
    for line in lines.skip(1) {
        let (_, tried_by) = line
            .trim_end_matches(" |")
            .rsplit_once(" | ")
            .expect("columns");
        let plain: String = tried_by.split('`').step_by(2).collect();
        let ends = |letter: char| letter == ',' || letter == '.' || letter == ' ';
        let mut named = plain
            .split(ends)
            .filter(|word| word.contains('/'))
            .peekable();
        let is_tried = named.peek().is_some() || tried_by.contains("::");
        assert!(is_tried != tried_by.starts_with("cannot apply: "), "{line}");
        for word in named {
            assert!(
                attempts.iter().any(|attempt| attempt == word),
                "no {word}: {line}"
            );
        }
        rows += 1;
    }
    assert!(rows > 25, "{rows} rows");
}
