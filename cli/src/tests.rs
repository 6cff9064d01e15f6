//! Every verb and option of `berth` is in docs/commands.md, of which its manual page is made, and no other.

use std::collections::BTreeSet;

use clap::{Command, CommandFactory};

const DOCUMENT: &str = include_str!("../../docs/commands.md");

/// Each section about a verb: the verb, and the text with its heading.
fn sections() -> Vec<(&'static str, &'static str)> {
    let sections = DOCUMENT.split("\n## `berth ").skip(1);
    sections
        .map(|text| {
            let end = text.find([' ', '`']).unwrap_or(text.len());
            (&text[..end], text)
        })
        .collect()
}

/// The long options that a text names.
fn named(text: &str) -> BTreeSet<String> {
    let starts = text.split("--").skip(1);
    let names = starts.map(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_lowercase() && c != '-');
        rest[..end.unwrap_or(rest.len())].to_owned()
    });
    names.filter(|name| name.len() > 1).collect()
}

/// The long options of a verb and of what is below it.
fn options(verb: &Command) -> BTreeSet<String> {
    let own = verb
        .get_arguments()
        .filter_map(|argument| argument.get_long());
    let below = verb.get_subcommands().flat_map(options);
    own.map(String::from).chain(below).collect()
}

#[test]
fn every_verb_and_no_other_has_its_section() {
    let known: BTreeSet<String> = super::Arguments::command()
        .get_subcommands()
        // What systemd types, and no admin.
        .filter(|verb| !verb.is_hide_set())
        .map(|verb| verb.get_name().to_owned())
        .collect();
    let written: BTreeSet<String> = sections().iter().map(|(verb, _)| (*verb).into()).collect();
    assert_eq!(written, known);
}

#[test]
fn every_option_is_named_in_the_section_of_its_verb() {
    // These stand once for all, outside the sections.
    let elsewhere = ["json", "root"];
    let mut missing = Vec::new();
    for verb in super::Arguments::command().get_subcommands() {
        let section = sections()
            .into_iter()
            .find(|(name, _)| *name == verb.get_name());
        let written = named(section.map_or("", |(_, text)| text));
        for option in options(verb) {
            if !written.contains(&option) && !elsewhere.contains(&option.as_str()) {
                missing.push(format!("{} --{option}", verb.get_name()));
            }
        }
    }
    assert_eq!(missing, [""; 0]);
    for option in elsewhere {
        assert!(named(DOCUMENT).contains(option), "--{option}");
    }
}

#[test]
fn no_option_is_named_that_there_is_not() {
    let mut known = options(&super::Arguments::command());
    known.insert("now".into()); // systemctl's
    let unknown: Vec<String> = named(DOCUMENT).difference(&known).cloned().collect();
    assert_eq!(unknown, [""; 0]);
}
