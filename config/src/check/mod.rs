//! What is wrong between the parts of a policy: one file per subject.

mod above;
mod accounting;
mod bases;
mod exempt;
mod here;
mod hidden;
mod idle;
mod isolation;
mod lacks;
mod little;
mod never;
mod outcome;
mod penalty;
mod references;
mod site;
mod tty;
mod uncapped;
mod window;

use std::collections::HashMap;
use std::path::PathBuf;

use crate::contents::Contents;
use crate::diagnostic::{At, Finding, short_place};
use crate::tables::{Profile, Rule};
use crate::value::Name;

pub(crate) use little::caps as too_little;
use site::SUDO_GROUPS;
pub(crate) use site::booted_with_systemd;
pub use site::{PamStack, Site, ThisMachine};

/// A policy's contents with what a check of them needs.
pub(crate) struct Checker<'c> {
    pub(crate) contents: &'c Contents,
    pub(crate) files: &'c [PathBuf],
    /// Each profile with what it inherits.
    profiles: HashMap<&'c Name, Profile>,
    pub(crate) findings: Vec<Finding>,
}

/// Errors between the parts. `whole` says that every value could be read: otherwise what is missing
/// may be missing only because it was wrong.
pub(crate) fn errors(
    contents: &Contents,
    files: &[PathBuf],
    systemd: bool,
    whole: bool,
) -> Vec<Finding> {
    let mut checker = Checker::new(contents, files);
    references::check(&mut checker);
    accounting::check(&mut checker);
    penalty::check(&mut checker, whole);
    outcome::check(&mut checker);
    never::check(&mut checker);
    isolation::check(&mut checker, systemd);
    if whole {
        bases::check(&mut checker);
        window::always(&mut checker);
    }
    checker.findings
}

/// Warnings, on a policy without errors.
pub(crate) fn warnings(contents: &Contents, files: &[PathBuf], site: &dyn Site) -> Vec<Finding> {
    let mut checker = Checker::new(contents, files);
    idle::check(&mut checker);
    outcome::namesakes(&mut checker);
    tty::check(&mut checker);
    window::never(&mut checker);
    hidden::check(&mut checker);
    uncapped::check(&mut checker);
    isolation::check_site(&mut checker, site);
    exempt::check(&mut checker, site);
    here::check(&mut checker, site);
    above::check(&mut checker, site);
    lacks::check(&mut checker, site);
    little::check(&mut checker, site);
    accounting::check_site(&mut checker, site);
    penalty::check_site(&mut checker, site);
    checker.findings
}

impl<'c> Checker<'c> {
    fn new(contents: &'c Contents, files: &'c [PathBuf]) -> Checker<'c> {
        Checker {
            contents,
            files,
            profiles: contents.resolved(),
            findings: Vec::new(),
        }
    }

    /// The profiles that a rule gives, as one.
    fn profile_of(&self, rule: &Rule) -> Profile {
        let mut merged = Profile::default();
        let given = rule.profiles().iter();
        let given = given.filter_map(|profile| self.profiles.get(&profile.name));
        given.for_each(|profile| merged.overlay(profile));
        merged
    }

    pub(crate) fn error(&mut self, at: At, message: impl Into<String>, label: impl Into<String>) {
        self.findings.push(Finding::error(at, message, label));
    }

    pub(crate) fn place(&self, at: At) -> String {
        short_place(self.files, at)
    }
}
