//! Profiles laid over one another: a list of them, and what each inherits.

use std::collections::BTreeSet;

use crate::contents::Contents;
use crate::read::table::value;
use crate::setting::Ref;
use crate::tables::{Profile, Rule};
use crate::value::Name;

impl Contents {
    /// The profiles that a rule gives, as one.
    pub(crate) fn profile_of(&self, rule: &Rule) -> Profile {
        self.merged(rule.profiles().iter().map(|profile| &profile.name))
    }

    /// The profiles as one: left to right, the later wins, key by key. A profile's own keys win
    /// over what it inherits.
    pub(crate) fn merged<'n, N>(&self, names: N) -> Profile
    where
        N: IntoIterator<Item = &'n Name>,
        N::IntoIter: DoubleEndedIterator,
    {
        let mut merged = Profile::default();
        for (_, profile) in self.with_inherited(names).into_iter().rev() {
            merged.overlay(profile);
        }
        merged
    }

    /// The profiles and all that they inherit, from the one that wins down. One that comes again would be laid under
    /// itself: so each is there once, in however many ways it is inherited, and a cycle, an error of the check's, ends.
    pub(crate) fn with_inherited<'n, N>(&self, names: N) -> Vec<(&Name, &Profile)>
    where
        N: IntoIterator<Item = &'n Name>,
        N::IntoIter: DoubleEndedIterator,
    {
        let mut line = Vec::new();
        let mut reached = BTreeSet::new();
        for name in names.into_iter().rev() {
            let mut next = Vec::from_iter(self.profiles.get_key_value(name));
            while let Some((name, profile)) = next.pop() {
                if reached.insert(name) {
                    line.push((name, &profile.table));
                    let inherited = profile.table.inherits().iter();
                    next.extend(inherited.filter_map(|one| self.profiles.get_key_value(&one.name)));
                }
            }
        }
        line
    }
}

impl Rule {
    /// The profiles that the rule gives.
    pub(crate) fn profiles(&self) -> &[Ref] {
        value(&self.keys.profile).map_or(&[], |profiles| &profiles.0)
    }

    /// The pool that the rule gives, its own or that of its profiles.
    pub(crate) fn pool<'r>(&'r self, merged: &'r Profile) -> Option<&'r Ref> {
        value(&self.keys.pool).or_else(|| value(&merged.keys.pool))
    }

    /// Those of its tests that depend on how a login came in, by name.
    pub(crate) fn login_tests(&self) -> Vec<&'static str> {
        let mut tests = self.tests.login_tests();
        tests.extend(self.except.iter().flat_map(|tests| tests.login_tests()));
        tests.dedup();
        tests
    }

    /// Whether it depends on how a login came in. Then it never decides what the user may have.
    pub(crate) fn is_login_rule(&self) -> bool {
        self.tests.of_login() || self.except.as_ref().is_some_and(|tests| tests.of_login())
    }
}

impl crate::tables::Tests {
    fn of_login(&self) -> bool {
        self.service.is_some() || self.tty.is_some() || self.rhost.is_some() || self.ruser.is_some()
    }

    fn login_tests(&self) -> Vec<&'static str> {
        [
            ("service", self.service.is_some()),
            ("tty", self.tty.is_some()),
            ("rhost", self.rhost.is_some()),
            ("ruser", self.ruser.is_some()),
        ]
        .into_iter()
        .filter_map(|(name, there)| there.then_some(name))
        .collect()
    }
}
