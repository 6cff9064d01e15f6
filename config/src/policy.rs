//! A whole policy: what the helper and the commands ask.

use std::path::{Path, PathBuf};
use std::time::Duration;

pub use berth_protocol::exempt::Exempt;

use crate::checked::{self, Checked};
use crate::contents::Contents;
use crate::decide::matching::Facts;
use crate::decide::rules::{Ruling, ruling, rulings};
use crate::decide::{self, DecideError, Decision, rule_name};
use crate::diagnostic::{Diagnostic, Severity, short_place};
use crate::facts::{Login, Machine};
use crate::layers::Layers;
use crate::loaded::{self, Loaded, Stamp};
use crate::outcome::{Accounting, Caps, FrozenLogin, OnError};
use crate::places::Places;
use crate::setting::{Setting, value};
use crate::source::{SourceError, Trust};
use crate::tables::{Profile, Tests, UidBase};
use crate::value::{Name, UidRange};

/// The UIDs that `[exempt]` covers where it does not say: system accounts and what systemd allots.
const EXEMPT_UIDS: [(u32, u32); 3] = [(1, 999), (61_184, 65_519), (65_534, 65_534)];

/// How large an accounting file becomes, and how long it is kept, where `[accounting]` does not say.
const MAX_SIZE: u64 = 1 << 30;
const KEEP: Duration = Duration::from_secs(400 * 86_400);

/// A whole policy, without errors.
#[derive(Debug, Clone)]
pub struct Policy {
    pub(crate) contents: Contents,
    /// The names of profiles, by the numbers that settings carry.
    pub(crate) names: Vec<String>,
    pub(crate) files: Vec<PathBuf>,
    /// The same, with the checksums of what was read.
    pub(crate) sources: Vec<Stamp>,
    pub(crate) exempt: Exempt,
    /// When it was put in force, if it is a loaded copy.
    pub(crate) loaded: Option<Loaded>,
}

/// All of a login that a decision is made of, but for its service: of two logins in one case and by one service
/// a policy says the same. They are few, however many the accounts are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Case(pub(crate) Option<Ruling>);

/// Why there is no policy to decide by.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// A file could not be used.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The policy has errors. The message is the first of them, in one line; all are in here.
    #[error("{}", first_of(.0))]
    Invalid(Vec<Diagnostic>),
}

fn first_of(diagnostics: &[Diagnostic]) -> String {
    let mut errors = diagnostics
        .iter()
        .filter(|diagnostic| diagnostic.severity == Severity::Error);
    let Some(first) = errors.next() else {
        return "the policy has an error".into();
    };
    let place = match &first.place {
        Some(place) => format!(":{}:{}", place.line, place.column),
        None => String::new(),
    };
    let more = match errors.count() {
        0 => String::new(),
        more => format!(" (and {more} more)"),
    };
    format!("{}{place}: {}{more}", first.path.display(), first.message)
}

impl Policy {
    /// The policy in force: the loaded copy, or else the files under /etc/berth.
    pub fn load_system() -> Result<Policy, PolicyError> {
        Policy::load_in(&Places::system())
    }

    /// The policy in force of an installation.
    pub fn load_in(places: &Places) -> Result<Policy, PolicyError> {
        // A copy that is missing, of another format or damaged is passed over; one that
        // somebody else could have written is an error.
        match loaded::load(&places.loaded)? {
            Some(policy) => Ok(policy),
            None => Policy::edited_in(places),
        }
    }

    /// The policy of the files under /etc/berth, whatever is in force.
    pub(crate) fn edited_in(places: &Places) -> Result<Policy, PolicyError> {
        into_policy(checked::edited(places, Trust::Root, None, None)?)
    }

    /// The policy of one file alone (the module argument `policy=`).
    pub fn load_file(path: &Path) -> Result<Policy, PolicyError> {
        into_policy(checked::files(&[path.to_owned()], Trust::Root, None)?)
    }

    /// Whom Berth never touches. Root is exempt always, listed or not.
    pub fn exempt(&self) -> &Exempt {
        &self.exempt
    }

    /// Whether rules test the time.
    pub fn has_windows(&self) -> bool {
        self.some_rule(|tests| value(&tests.time).is_some())
    }

    /// Whether rules test where a login comes from.
    pub fn tests_rhost(&self) -> bool {
        self.some_rule(|tests| value(&tests.rhost).is_some())
    }

    /// Whether rules test more of a login than who comes by which service.
    pub(crate) fn tests_more(&self) -> bool {
        self.some_rule(Tests::test_more)
    }

    /// Whether it holds for what some rule asks, or excepts.
    fn some_rule(&self, holds: impl Fn(&Tests) -> bool) -> bool {
        let mut rules = self.contents.rules.iter();
        rules.any(|rule| holds(&rule.tests) || rule.except.as_ref().is_some_and(&holds))
    }

    /// Whether a profile names a penalty.
    pub fn has_penalties(&self) -> bool {
        let mut profiles = self.contents.profiles.values();
        profiles.any(|profile| value(&profile.table.keys.penalty).is_some())
    }

    /// Whether there is something to look at each minute.
    pub fn is_due_each_minute(&self) -> bool {
        self.has_windows() || self.has_penalties()
    }

    /// What a failure does before it is known which profile decides.
    pub fn default_on_error(&self) -> OnError {
        decide::on_error(&self.contents, &Profile::default())
    }

    /// What a failure does to a login: as the profile of its rule says, also where the decision is what fails.
    pub fn on_error(&self, login: &Login) -> OnError {
        let rule = self.ruling(login).login;
        let rule = rule.and_then(|index| self.contents.rules.get(index));
        let profile = rule.map(|rule| self.contents.profile_of(rule));
        decide::on_error(&self.contents, &profile.unwrap_or_default())
    }

    /// What becomes of logins whose helper gives no answer, so that nobody knows whose profile it would have been. They go
    /// on if no profile says otherwise: who is in a strict one may be able to make the helper fail.
    pub fn unanswered(&self) -> OnError {
        let rules = self.contents.rules.iter();
        let berths = rules.filter(|rule| rule.keys.action.is_none());
        let profiles = berths.map(|rule| self.contents.profile_of(rule));
        let mut words = profiles.map(|profile| decide::on_error(&self.contents, &profile));
        match self.default_on_error() == OnError::Deny || words.any(|word| word == OnError::Deny) {
            true => OnError::Deny,
            false => OnError::Allow,
        }
    }

    /// What a login gets of a user who is frozen.
    pub fn frozen_login(&self) -> FrozenLogin {
        let frozen_login = value(&self.contents.defaults.frozen_login).copied();
        frozen_login.unwrap_or(FrozenLogin::Deny)
    }

    /// A berth's user namespace is owned by this plus the user's UID.
    pub fn owner_uid_base(&self) -> u32 {
        value(&self.contents.defaults.owner_uid_base).map_or(UidBase::DEFAULT, |base| base.0)
    }

    /// Where it is written what sessions have used.
    pub fn accounting(&self) -> Accounting {
        let table = &self.contents.accounting;
        Accounting {
            file: value(&table.file).map(|file| file.as_str().into()),
            max_size: value(&table.max_size).map_or(MAX_SIZE, |size| size.0),
            keep: value(&table.keep).map_or(KEEP, |keep| keep.duration()),
            journal: value(&table.journal).copied().unwrap_or(true),
        }
    }

    /// Gives the machine other roles than `[host]` does, to see what another one's logins get.
    pub fn play(&mut self, roles: Vec<Name>) {
        let setting = self.contents.host.roles.take();
        self.contents.host.roles = Some(Setting {
            value: Some(roles),
            at: setting.map(|setting| setting.at).unwrap_or_default(),
            profile: None,
        });
    }

    /// What is to be done with a login on a machine.
    pub fn decide(&self, login: &Login, machine: &Machine) -> Result<Decision, DecideError> {
        self.decide_with(login, machine, &Layers::default())
    }

    /// The same for a user over whose caps something lies.
    pub fn decide_with(
        &self,
        login: &Login,
        machine: &Machine,
        layers: &Layers,
    ) -> Result<Decision, DecideError> {
        if decide::exempt_because(&self.exempt, login).is_some() {
            return Ok(Decision::exempt());
        }
        let ruling = self.ruling(login);
        let ruling = (&ruling, login.service.as_str());
        let (contents, files) = (&self.contents, &self.files);
        decide::decide(contents, files, ruling, machine, layers).map(|(decision, _)| decision)
    }

    /// What is to be done with logins like this one, by each rule that one of them could match, whoever's it is: for users
    /// whom nobody can list.
    pub fn decide_for_anybody(&self, login: &Login, machine: &Machine) -> Vec<Decision> {
        let (contents, files) = (&self.contents, &self.files);
        let rulings = rulings(contents, &Facts::new(login, contents));
        let decisions = rulings.iter().filter_map(|ruling| {
            let ruling = (ruling, login.service.as_str());
            decide::decide(contents, files, ruling, machine, &Layers::default()).ok()
        });
        decisions.map(|(decision, _)| decision).collect()
    }

    /// The caps of all users together, and those of a pool where there is such a one.
    pub fn caps_of_many(
        &self,
        pool: Option<&str>,
        machine: &Machine,
    ) -> Result<Option<Caps>, DecideError> {
        decide::caps_of_many(&self.contents, &self.files, pool, machine)
    }

    /// What decides a login: see [`Case`].
    pub fn case(&self, login: &Login) -> Case {
        match decide::exempt_because(&self.exempt, login) {
            Some(_) => Case(None),
            None => Case(Some(self.ruling(login))),
        }
    }

    pub(crate) fn ruling(&self, login: &Login) -> Ruling {
        ruling(&self.contents, &Facts::new(login, &self.contents))
    }

    /// When the policy was put in force; `None` where it was read from its files.
    pub fn loaded(&self) -> Option<&Loaded> {
        self.loaded.as_ref()
    }

    /// Where a rule stands, as `explain` has it: `policy.toml:93`.
    pub fn place_of_rule(&self, name: &str) -> Option<String> {
        let mut rules = self.contents.rules.iter();
        let rule = rules.find(|rule| rule_name(rule, &self.files) == name)?;
        Some(short_place(&self.files, rule.at))
    }

    /// The files that it was made from, the last of which wins.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// How many rules and profiles it has.
    pub fn size(&self) -> (usize, usize) {
        (self.contents.rules.len(), self.contents.profiles.len())
    }

    pub(crate) fn new(contents: Contents, names: Vec<String>, sources: Vec<Stamp>) -> Policy {
        Policy {
            exempt: exempt_list(&contents),
            contents,
            names,
            files: sources.iter().map(|stamp| stamp.path.clone()).collect(),
            sources,
            loaded: None,
        }
    }
}

fn into_policy(checked: Checked) -> Result<Policy, PolicyError> {
    checked
        .policy
        .ok_or(PolicyError::Invalid(checked.diagnostics))
}

/// Whom `[exempt]` lists.
fn exempt_list(contents: &Contents) -> Exempt {
    let table = &contents.exempt;
    let names = |names: Option<&Vec<crate::value::AccountName>>| {
        names
            .into_iter()
            .flatten()
            .map(|name| name.as_str().to_owned())
            .collect()
    };
    Exempt {
        users: names(value(&table.users)),
        groups: names(value(&table.groups)),
        uids: match value(&table.uids) {
            Some(ranges) => ranges.iter().map(UidRange::range).collect(),
            None => EXEMPT_UIDS
                .iter()
                .map(|(first, last)| *first..=*last)
                .collect(),
        },
    }
}
