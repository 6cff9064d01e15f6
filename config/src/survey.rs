//! What a policy comes to for all accounts together: how many get what, and which rules are for nobody.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use crate::compare::services;
use crate::decide::matching::Facts;
use crate::decide::rules::{Ruling, ruling};
use crate::decide::{exempt_because, rule_name};
use crate::diagnostic::short_place;
use crate::facts::{Login, Machine};
use crate::outcome::Outcome;
use crate::policy::{Case, Policy};
use crate::tables::{Rule, Tests};

/// What an ssh login of each account gets.
#[derive(Debug, Default, Serialize)]
pub struct Survey {
    /// How many accounts there are.
    pub accounts: usize,
    /// How many land where.
    pub landings: Vec<Landing>,
    /// Whom Berth leaves alone, by why.
    pub exempt: BTreeMap<String, Vec<String>>,
    /// Who is refused, by the rule that does it.
    pub denied: BTreeMap<String, Vec<String>>,
    /// For whom the policy cannot be worked out on this machine, by why.
    pub undecided: BTreeMap<String, Vec<String>>,
    /// Rules that no account gets to.
    pub unmatched: Vec<Unmatched>,
}

/// Where accounts land that get a berth.
#[derive(Debug, Serialize, PartialEq, Eq)]
pub struct Landing {
    /// The profiles, joined by `+`.
    pub profile: String,
    /// The pool.
    pub pool: Option<String>,
    /// How many accounts.
    pub users: usize,
}

/// A rule that no account gets to.
#[derive(Debug, Serialize, PartialEq, Eq)]
pub struct Unmatched {
    /// Its name.
    pub rule: String,
    /// Where it stands.
    pub place: String,
    /// Why.
    pub why: String,
}

/// Where an account lands.
#[derive(Debug, Clone)]
enum Place {
    Berth(String, Option<String>),
    Exempt(String),
    Denied(String),
    Undecided(String),
}

impl Policy {
    /// Decides an ssh login of each account. Whether rules match anybody is looked at for the services of
    /// [`services`] too. `progress` is told how many are decided, and of how many.
    pub fn survey(
        &self,
        accounts: &[Login],
        machine: &Machine,
        mut progress: impl FnMut(usize, usize),
    ) -> Survey {
        let services = services(&[self]);
        let mut survey = Survey {
            accounts: accounts.len(),
            ..Survey::default()
        };
        let mut places: HashMap<Ruling, Place> = HashMap::new();
        let mut berthed: BTreeMap<(String, Option<String>), usize> = BTreeMap::new();
        let mut reach = vec![Reach::Nobody; self.contents.rules.len()];
        for (nth, account) in accounts.iter().enumerate() {
            progress(nth, accounts.len());
            let mut login = account.by_ssh();
            let case = self.case(&login);
            let place = match case {
                Case(None) => {
                    Place::Exempt(exempt_because(&self.exempt, &login).unwrap_or_default())
                }
                Case(Some(ruling)) => places
                    .entry(ruling)
                    .or_insert_with(|| self.place(&login, machine))
                    .clone(),
            };
            let listed = match place {
                Place::Berth(profile, pool) => {
                    *berthed.entry((profile, pool)).or_default() += 1;
                    None
                }
                Place::Exempt(why) => Some(survey.exempt.entry(why)),
                Place::Denied(rule) => Some(survey.denied.entry(rule)),
                Place::Undecided(why) => Some(survey.undecided.entry(why)),
            };
            if let Some(listed) = listed {
                listed.or_default().push(login.user.clone());
            }
            // Who is exempt before all rules gets to none of them.
            let fitting = match case {
                Case(None) => Reach::Exempt,
                Case(Some(_)) => {
                    self.reached(&mut login, &services, &mut reach);
                    Reach::Fits
                }
            };
            let facts = Facts::new(&login, &self.contents);
            for (rule, reach) in self.contents.rules.iter().zip(&mut reach) {
                if *reach < fitting && facts.fits_account(rule) {
                    *reach = fitting;
                }
            }
        }
        survey.landings = berthed
            .into_iter()
            .map(|((profile, pool), users)| Landing {
                profile,
                pool,
                users,
            })
            .collect();
        let rules = self.contents.rules.iter().zip(reach);
        survey.unmatched = rules
            .filter_map(|(rule, reach)| self.unmatched(rule, reach))
            .collect();
        survey
    }

    fn place(&self, login: &Login, machine: &Machine) -> Place {
        let decision = match self.decide(login, machine) {
            Ok(decision) => decision,
            Err(error) => return Place::Undecided(error.to_string()),
        };
        let rule = match decision.rule {
            Some(rule) => format!("rule {rule}"),
            None => "no rule matches: [defaults] no_match decides".into(),
        };
        match decision.outcome {
            Outcome::Berth(berth) => Place::Berth(berth.profile, decision.pool),
            Outcome::Exempt => Place::Exempt(rule),
            Outcome::Deny { .. } => Place::Denied(rule),
        }
    }

    /// Notes the rules that an account gets to, by any of the services.
    fn reached(&self, login: &mut Login, services: &[String], reach: &mut [Reach]) {
        for service in services {
            login.set_service(service);
            let ruling = ruling(&self.contents, &Facts::new(login, &self.contents));
            for index in [ruling.login, ruling.user].into_iter().flatten() {
                if let Some(reach) = reach.get_mut(index) {
                    *reach = Reach::Matched;
                }
            }
        }
    }

    fn unmatched(&self, rule: &Rule, reach: Reach) -> Option<Unmatched> {
        // Services that no rule names are not tried.
        let excepts = |except: &Tests| except.test_more() || except.service.is_some();
        let others = rule.tests.test_more() || rule.except.as_ref().is_some_and(excepts);
        let why = match reach {
            Reach::Matched => return None,
            Reach::Nobody => match Facts::of_account(rule) {
                tests if tests.is_empty() => "no account gets as far as a rule".into(),
                tests => format!("no account is it: {tests}"),
            },
            Reach::Exempt => "all whom it fits are exempt".into(),
            // Whether such a login ever comes is not known here.
            Reach::Fits if others => return None,
            Reach::Fits => "earlier rules match all whom it fits".into(),
        };
        Some(Unmatched {
            rule: rule_name(rule, &self.files),
            place: short_place(&self.files, rule.at),
            why,
        })
    }
}

/// Whether a rule is for anybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
enum Reach {
    /// No account fits.
    Nobody,
    /// None but such as are exempt.
    Exempt,
    /// One fits, if it comes in as the rule says.
    Fits,
    /// It decides for one.
    Matched,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::Group;
    use crate::source::Source;
    use crate::value::IdSet;

    fn policy(text: &str) -> Policy {
        let source = Source::new("policy.toml".into(), text.into());
        let checked = crate::checked::sources_checked(vec![source], None);
        checked.policy.expect("a policy without errors")
    }

    fn account(nth: u32, group: &str) -> Login {
        Login {
            user: format!("u{nth}"),
            uid: 1000 + nth,
            groups: vec![Group {
                gid: 0,
                name: group.into(),
            }],
            ..Login::default()
        }
    }

    #[test]
    fn accounts_are_counted_where_they_land_and_idle_rules_are_named() {
        let policy = policy(
            "version = 1\n[exempt]\ngroups = [\"sudo\"]\nuids = [1006, \"1007-1008\"]\n[profile.p]\n[pool.cs]\n\
             [[rule]]\nname = \"none\"\ngroup = \"nosuch\"\naction = \"deny\"\n\
             [[rule]]\nname = \"jobs\"\nservice = \"batchd\"\nprofile = \"p\"\n\
             [[rule]]\nname = \"glob\"\nservice = \"x*\"\nprofile = \"p\"\n\
             [[rule]]\nname = \"bad\"\ngroup = \"bad\"\naction = \"deny\"\n\
             [[rule]]\nname = \"cs\"\ngroup = \"cs*\"\nprofile = \"p\"\npool = \"cs\"\n\
             [[rule]]\nname = \"cs1\"\ngroup = \"cs1\"\nprofile = \"p\"\n\
             [[rule]]\nname = \"cs1 jobs\"\ngroup = \"cs1\"\nservice = \"batchd2\"\nprofile = \"p\"\n\
             [[rule]]\nname = \"cs1 others\"\ngroup = \"cs1\"\nexcept = { service = \"sshd\" }\nprofile = \"p\"\n\
             [[rule]]\nname = \"but\"\ngroup = \"cs1\"\nexcept = { user = \"x\" }\nprofile = \"p\"\n\
             [[rule]]\nname = \"no group\"\nexcept = { group = \"*\" }\nprofile = \"p\"\n\
             [[rule]]\nname = \"how\"\ngroup = \"nosuch\"\nexcept = { service = \"su\" }\nprofile = \"p\"\n\
             [[rule]]\nname = \"admins\"\ngroup = \"sudo\"\nprofile = \"p\"\n\
             [[rule]]\nname = \"rest\"\nexcept = { group = \"ta\" }\nprofile = \"p\"\n",
        );
        let groups = ["cs1", "cs2", "bad", "sudo", "other", "ta", "one", "range"];
        let accounts: Vec<_> = (0..).zip(groups).map(|(n, g)| account(n, g)).collect();
        let machine = Machine {
            memory: 1 << 36,
            cpus: IdSet::single(0),
            memory_nodes: IdSet::single(0),
            tasks: 1000,
        };
        let survey = policy.survey(&accounts, &machine, |_, _| {});
        assert_eq!(survey.accounts, accounts.len());
        let landings = survey.landings.iter();
        let landings = landings.map(|landing| (landing.pool.as_deref(), landing.users));
        assert_eq!(landings.collect::<Vec<_>>(), [(None, 1), (Some("cs"), 2)]);
        assert_eq!(survey.denied["rule bad"], ["u2"]);
        assert_eq!(survey.exempt["[exempt] lists the group sudo"], ["u3"]);
        assert_eq!(survey.exempt["[exempt] lists UID 1006"], ["u6"]);
        assert_eq!(survey.exempt["[exempt] lists the UIDs 1007-1008"], ["u7"]);
        let no_match = "no rule matches: [defaults] no_match decides";
        assert_eq!(survey.exempt[no_match], ["u5"]);
        let unmatched = survey
            .unmatched
            .iter()
            .map(|rule| (&*rule.rule, &*rule.why));
        assert_eq!(
            unmatched.collect::<Vec<_>>(),
            [
                ("none", "no account is it: group nosuch"),
                ("cs1", "earlier rules match all whom it fits"),
                ("cs1 jobs", "earlier rules match all whom it fits"),
                ("but", "earlier rules match all whom it fits"),
                ("no group", "no account is it: except group *"),
                ("how", "no account is it: group nosuch"),
                ("admins", "all whom it fits are exempt"),
            ]
        );
        let why = |accounts: &[Login]| {
            let survey = policy.survey(accounts, &machine, |_, _| {});
            let mut unmatched = survey.unmatched.into_iter();
            unmatched.find(|one| one.rule == "jobs").unwrap().why
        };
        assert_eq!(why(&[account(3, "sudo")]), "all whom it fits are exempt");
        assert_eq!(why(&[]), "no account gets as far as a rule");
    }
}
