//! What is wrong between the parts of a policy: one file per subject.

mod above; // caps that other caps make useless
mod accounting; // the accounting file
mod bases; // a part of a cap that there is none of
mod exempt; // `[exempt]`, and who has to be in it
mod hardware; // CPUs, nodes and disks that are not here
mod hidden; // rules behind wider ones
mod idle; // what nothing refers to, or refers to twice
mod isolation; // namespaces and privileges that do not fit together
mod little; // limits with which nobody can work
mod names; // groups and services that are not here
mod never; // users' caps that login rules alone give
mod outcome; // a rule or an expectation says one thing
mod penalty; // penalties
mod references; // names that refer to nothing, and circles
mod site; // the machine that warnings are about
mod tty; // terminals that no login has
mod uncapped; // login rules whose users may have no caps
mod window; // windows of time

use std::collections::HashMap;
use std::path::PathBuf;

use crate::contents::Contents;
use crate::diagnostic::{At, Finding, short_place};
use crate::policy::Policy;
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
    if whole {
        isolation::check(&mut checker, systemd);
        bases::check(&mut checker);
        window::always(&mut checker);
    }
    checker.findings
}

/// Warnings, on a policy without errors.
pub(crate) fn warnings(policy: &Policy, site: &dyn Site) -> Vec<Finding> {
    let mut checker = Checker::new(&policy.contents, &policy.files);
    idle::check(&mut checker);
    outcome::namesakes(&mut checker);
    tty::check(&mut checker);
    window::never(&mut checker);
    hidden::check(&mut checker);
    uncapped::check(&mut checker);
    uncapped::parts(&mut checker);
    isolation::check_site(&mut checker, site);
    exempt::check(&mut checker, policy, site);
    names::check(&mut checker, site);
    above::check(&mut checker, site);
    hardware::check(&mut checker, site);
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

    pub(crate) fn warn(&mut self, at: At, message: impl Into<String>, label: impl Into<String>) {
        self.findings.push(Finding::warning(at, message, label));
    }

    pub(crate) fn place(&self, at: At) -> String {
        short_place(self.files, at)
    }
}
