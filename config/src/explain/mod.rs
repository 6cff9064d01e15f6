//! Why a login gets what it gets: the rules that were tried, and where each value was set.

mod caps;
mod rest;

use caps::tell_penalty;
use serde::Serialize;
use serde_json::Value;

use crate::decide::matching::Facts;
use crate::decide::rules::Ruling;
use crate::decide::{self, DecideError, Decision, rule_name};
use crate::diagnostic::short_place;
use crate::facts::{Login, Machine};
use crate::layers::Layers;
use crate::outcome::Outcome;
use crate::policy::Policy;
use crate::setting::{Mark, joined, mark};

/// A decision and all that it was made of.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// What was decided.
    pub decision: Decision,
    /// Why the account is exempt, before any rule; the rest is then empty.
    pub exempt: Option<String>,
    /// The rules that were tried, in order.
    pub rules: Vec<Tried>,
    /// How many rules come after those that decided.
    pub not_reached: usize,
    /// The profiles of the user rule, joined by `+`.
    pub user_profile: String,
    /// The caps of the user.
    pub user_caps: Vec<Shown>,
    /// Where the user's penalty is set, by name.
    pub penalty: Option<Shown>,
    /// The caps of the user's pool.
    pub pool_caps: Vec<Shown>,
    /// The caps of all users together.
    pub everyone_caps: Vec<Shown>,
    /// What is of this login alone.
    pub login: Vec<Shown>,
}

/// A rule that was tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Tried {
    /// What came of it.
    pub verdict: Verdict,
    /// The rule's name.
    pub name: String,
    /// Where it stands.
    pub place: String,
    /// Why.
    pub why: String,
}

/// What came of trying a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It does not match, or it is passed over for the user's caps.
    Missed,
    /// It decides the login.
    Login,
    /// It decides the user's caps.
    User,
    /// It decides both.
    Both,
}

/// A value and where it was set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shown {
    /// The key.
    pub key: String,
    /// What it is, and for a percentage what that comes to.
    pub value: String,
    /// A cap for programs: bytes, tasks, weights and percent of one CPU are numbers; null is no limit, or no cap.
    pub amount: Value,
    /// Where it was set.
    pub place: String,
    /// The profile it was set in.
    pub profile: Option<String>,
    /// Why it is so, where no file says it.
    pub because: Option<String>,
    /// What it would be without the exception or the penalty.
    pub was: Option<Box<Shown>>,
}

impl Policy {
    /// What is to be done with a login on a machine, and why.
    pub fn explain(&self, login: &Login, machine: &Machine) -> Result<Explanation, DecideError> {
        self.explain_with(login, machine, &Layers::default())
    }

    /// The same for a user over whose caps something lies.
    pub fn explain_with(
        &self,
        login: &Login,
        machine: &Machine,
        layers: &Layers,
    ) -> Result<Explanation, DecideError> {
        let mut explanation = Explanation {
            decision: Decision::exempt(),
            exempt: decide::exempt_because(&self.exempt, login),
            rules: Vec::new(),
            not_reached: 0,
            user_profile: String::new(),
            user_caps: Vec::new(),
            penalty: None,
            pool_caps: Vec::new(),
            everyone_caps: Vec::new(),
            login: Vec::new(),
        };
        if explanation.exempt.is_some() {
            return Ok(explanation);
        }
        let ruling = self.ruling(login);
        let service = login.service.as_str();
        let (contents, files) = (&self.contents, &self.files);
        let decide = |layers| decide::decide(contents, files, (&ruling, service), machine, layers);
        let (decision, deciding) = decide(layers)?;
        self.tell_rules(login, &ruling, &mut explanation);
        if let Some(rule) = ruling.user.and_then(|index| self.contents.rules.get(index)) {
            explanation.user_profile = joined(rule.profiles());
        }

        if let Outcome::Berth(berth) = &decision.outcome {
            if let Some(everyone) = deciding.everyone {
                explanation.everyone_caps =
                    self.tell_caps(everyone, &decision.everyone_caps, machine);
            }
            if let Some(pool) = deciding.pool {
                explanation.pool_caps = self.tell_caps(pool, &decision.pool_caps, machine);
            }
            if decision.not_set.is_none() {
                let user = &berth.user_caps;
                let (without, _) = decide(&Layers::default())?;
                let without = match &without.outcome {
                    Outcome::Berth(berth) => &berth.user_caps,
                    Outcome::Exempt | Outcome::Deny { .. } => user,
                };
                explanation.user_caps = self.tell_caps(&deciding.user.user, without, machine);
                let over = &layers.exceptions;
                self.tell_exceptions(over, user, machine, &mut explanation.user_caps);
                if let Some(standing) = layers.step_of(decision.penalty.as_ref()) {
                    tell_penalty(standing, user, machine, &mut explanation.user_caps);
                }
                if let (Some(penalty), Some(mark)) =
                    (&decision.penalty, mark(&deciding.user.keys.penalty))
                {
                    explanation.penalty = Some(self.shown("penalty", &penalty.name, mark));
                }
            }
            explanation.login = self.tell_login(&deciding.login, berth, machine);
        }
        explanation.decision = decision;
        Ok(explanation)
    }

    /// Says of each rule up to the last that decides whether it does, and why.
    fn tell_rules(&self, login: &Login, ruling: &Ruling, explanation: &mut Explanation) {
        let facts = Facts::new(login, &self.contents);
        let rules = &self.contents.rules;
        // Without a user rule all were tried for one.
        let reached = ruling.user.map_or(rules.len(), |last| last + 1);
        for (index, rule) in rules.iter().enumerate().take(reached) {
            let verdict = match (ruling.login == Some(index), ruling.user == Some(index)) {
                (true, true) => Verdict::Both,
                (true, false) => Verdict::Login,
                (false, true) => Verdict::User,
                (false, false) => Verdict::Missed,
            };
            let login_found = ruling.login.is_some_and(|login| login < index);
            let why = match facts.why(rule) {
                _ if login_found && rule.is_login_rule() => {
                    format!("passed over: tests {}", rule.login_tests().join(", "))
                }
                Ok(why) | Err(why) => why,
            };
            explanation.rules.push(Tried {
                verdict,
                name: rule_name(rule, &self.files),
                place: short_place(&self.files, rule.at),
                why,
            });
        }
        explanation.not_reached = rules.len() - reached;
    }

    fn shown(&self, key: impl Into<String>, value: impl Into<String>, mark: Mark) -> Shown {
        Shown {
            key: key.into(),
            value: value.into(),
            place: short_place(&self.files, mark.at),
            profile: mark
                .profile
                .and_then(|index| self.names.get(usize::from(index)).cloned()),
            ..Shown::default()
        }
    }
}
