//! Whether a rule's tests hold for a login, and why or why not.

use crate::contents::Contents;
use crate::facts::Login;
use crate::setting::{OneOf, Ref, Setting, value};
use crate::tables::{Rule, Tests, TimeTable};
use crate::value::{Glob, Name, Window};

/// A login and the policy that it is tested by.
pub(crate) struct Facts<'f> {
    pub(crate) login: &'f Login,
    pub(crate) roles: &'f [Name],
    pub(crate) contents: &'f Contents,
}

/// What a rule can test, in the order it is told in, which is that of [`Tests`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fact {
    User,
    Uid,
    Group,
    PrimaryGroup,
    Host,
    Role,
    Time,
    Service,
    Tty,
    Rhost,
    Ruser,
}

const FACTS: [Fact; 11] = [
    Fact::User,
    Fact::Uid,
    Fact::Group,
    Fact::PrimaryGroup,
    Fact::Host,
    Fact::Role,
    Fact::Time,
    Fact::Service,
    Fact::Tty,
    Fact::Rhost,
    Fact::Ruser,
];

/// Those of the account and of the machine.
const OF_ACCOUNT: [Fact; 6] = [
    Fact::User,
    Fact::Uid,
    Fact::Group,
    Fact::PrimaryGroup,
    Fact::Host,
    Fact::Role,
];

/// Those of the account.
const WHOSE: [Fact; 4] = [Fact::User, Fact::Uid, Fact::Group, Fact::PrimaryGroup];

impl Fact {
    /// What is wanted of it, or nothing where it is not tested. A time is told by its window.
    fn wanted(self, tests: &Tests) -> String {
        match self {
            Fact::User => joined(value(&tests.user)),
            Fact::Uid => joined(value(&tests.uid)),
            Fact::Group => joined(value(&tests.group)),
            Fact::PrimaryGroup => joined(value(&tests.primary_group)),
            Fact::Host => joined(value(&tests.host)),
            Fact::Role => joined(value(&tests.role)),
            Fact::Time => String::new(),
            Fact::Service => joined(value(&tests.service)),
            Fact::Tty => joined(value(&tests.tty)),
            Fact::Rhost => joined(value(&tests.rhost)),
            Fact::Ruser => joined(value(&tests.ruser)),
        }
    }

    fn key(self) -> &'static str {
        Tests::KEYS.get(self as usize).copied().unwrap_or_default()
    }
}

impl<'f> Facts<'f> {
    pub(crate) fn new(login: &'f Login, contents: &'f Contents) -> Facts<'f> {
        Facts {
            login,
            roles: value(&contents.host.roles).map_or(&[], |roles| roles),
            contents,
        }
    }

    /// Whether all of a rule's tests hold and no exception does.
    pub(crate) fn match_rule(&self, rule: &Rule) -> bool {
        let holds = FACTS
            .iter()
            .all(|fact| self.test(*fact, &rule.tests).unwrap_or(true));
        holds && !self.excepted(rule)
    }

    /// Whether any of a rule's exceptions holds.
    fn excepted(&self, rule: &Rule) -> bool {
        let Some(except) = &rule.except else {
            return false;
        };
        FACTS
            .iter()
            .any(|fact| self.test(*fact, except) == Some(true))
    }

    /// Whether a rule is for this account, however and whenever it logs in.
    pub(crate) fn fits_account(&self, rule: &Rule) -> bool {
        let holds = |fact: &Fact| self.test(*fact, &rule.tests);
        let excepted = |except: &Tests| {
            OF_ACCOUNT
                .iter()
                .any(|fact| self.test(*fact, except) == Some(true))
        };
        OF_ACCOUNT.iter().all(|fact| holds(fact).unwrap_or(true))
            && !rule.except.as_ref().is_some_and(excepted)
    }

    /// Whether a rule may match a login like this one, if not this user's then another's.
    pub(crate) fn fits_somebody(&self, rule: &Rule) -> bool {
        let holds = |tests: &Tests, fact: &Fact| self.test(*fact, tests);
        let mut others = FACTS.iter().filter(|fact| !WHOSE.contains(fact));
        others.all(|fact| {
            let except = rule.except.as_ref();
            holds(&rule.tests, fact).unwrap_or(true)
                && except.and_then(|except| holds(except, fact)) != Some(true)
        })
    }

    /// Whether it matches each login like this one, whoever's it is.
    pub(crate) fn fits_everybody(&self, rule: &Rule) -> bool {
        let tests_whose =
            |tests: &Tests| WHOSE.iter().any(|fact| self.test(*fact, tests).is_some());
        self.fits_somebody(rule)
            && !tests_whose(&rule.tests)
            && !rule.except.as_ref().is_some_and(tests_whose)
    }

    /// What a rule tests of accounts and the machine, as it is written.
    pub(crate) fn of_account(rule: &Rule) -> String {
        let told = |tests: &Tests| {
            let each = OF_ACCOUNT.iter().filter_map(|fact| {
                let wanted = fact.wanted(tests);
                (!wanted.is_empty()).then(|| format!("{} {wanted}", fact.key()))
            });
            each.collect::<Vec<_>>().join(", ")
        };
        let mut all = vec![told(&rule.tests)];
        all.extend(
            rule.except
                .as_ref()
                .map(|except| format!("except {}", told(except))),
        );
        all.retain(|told| !told.is_empty() && told != "except ");
        all.join(", ")
    }

    /// One test; `None` where it is not made.
    fn test(&self, fact: Fact, tests: &Tests) -> Option<bool> {
        let login = self.login;
        let names = |setting: &Option<Setting<OneOf<Glob>>>, name: &str| {
            Some(value(setting)?.0.iter().any(|glob| glob.matches(name)))
        };
        match fact {
            Fact::User => names(&tests.user, &login.user),
            Fact::Uid => Some(
                value(&tests.uid)?
                    .0
                    .iter()
                    .any(|range| range.holds(login.uid)),
            ),
            Fact::Group => {
                let globs = value(&tests.group)?;
                Some(self.group_of(globs).is_some())
            }
            Fact::PrimaryGroup => names(&tests.primary_group, login.primary_group()),
            Fact::Host => names(&tests.host, &login.host),
            Fact::Role => {
                let globs = value(&tests.role)?;
                Some(self.role_of(globs).is_some())
            }
            Fact::Time => Some(
                value(&tests.time)?
                    .0
                    .iter()
                    .any(|window| self.is_within(window)),
            ),
            Fact::Service => names(&tests.service, &login.service),
            Fact::Tty => names(&tests.tty, &login.tty),
            Fact::Rhost => Some(
                value(&tests.rhost)?
                    .0
                    .iter()
                    .any(|remote| remote.matches(&login.rhost)),
            ),
            Fact::Ruser => names(&tests.ruser, &login.ruser),
        }
    }

    fn group_of(&self, globs: &OneOf<Glob>) -> Option<&str> {
        globs.0.iter().find_map(|glob| {
            let mut groups = self.login.groups.iter();
            groups
                .find(|group| glob.matches(&group.name))
                .map(|group| group.name.as_str())
        })
    }

    fn role_of(&self, globs: &OneOf<Glob>) -> Option<&str> {
        globs.0.iter().find_map(|glob| {
            let mut roles = self.roles.iter();
            roles
                .find(|role| glob.matches(role.as_str()))
                .map(|role| role.as_str())
        })
    }

    fn window(&self, window: &Ref) -> Option<Window> {
        self.contents
            .times
            .get(&window.name)
            .map(|named| named.table.window())
    }

    fn is_within(&self, window: &Ref) -> bool {
        let at = self.login.at.as_ref();
        at.zip(self.window(window))
            .is_some_and(|(at, window)| window.holds(at))
    }

    /// Why a rule matches (`group students, service cron`), or why it does not.
    pub(crate) fn why(&self, rule: &Rule) -> Result<String, String> {
        for fact in FACTS {
            if self.test(fact, &rule.tests) == Some(false) {
                return Err(self.miss(fact, &rule.tests));
            }
        }
        if let Some(except) = &rule.except {
            for fact in FACTS {
                if self.test(fact, except) == Some(true) {
                    return Err(format!("except: {}", self.hit(fact, except)));
                }
            }
        }
        let hits: Vec<String> = FACTS
            .iter()
            .filter(|fact| self.test(**fact, &rule.tests) == Some(true))
            .map(|fact| self.hit(*fact, &rule.tests))
            .collect();
        Ok(match hits.is_empty() {
            true => "tests nothing".into(),
            false => hits.join(", "),
        })
    }

    fn hit(&self, fact: Fact, tests: &Tests) -> String {
        let login = self.login;
        let what = match fact {
            Fact::User => login.user.clone(),
            Fact::Uid => login.uid.to_string(),
            Fact::Group => value(&tests.group)
                .and_then(|globs| self.group_of(globs))
                .unwrap_or_default()
                .into(),
            Fact::PrimaryGroup => login.primary_group().into(),
            Fact::Host => login.host.clone(),
            Fact::Role => value(&tests.role)
                .and_then(|globs| self.role_of(globs))
                .unwrap_or_default()
                .into(),
            Fact::Time => value(&tests.time)
                .and_then(|windows| windows.0.iter().find(|window| self.is_within(window)))
                .map(|window| window.name.to_string())
                .unwrap_or_default(),
            Fact::Service => login.service.clone(),
            Fact::Tty => login.tty.clone(),
            Fact::Rhost => login.rhost.clone(),
            Fact::Ruser => login.ruser.clone(),
        };
        format!("{} {what}", fact.key())
    }

    fn miss(&self, fact: Fact, tests: &Tests) -> String {
        let login = self.login;
        let wanted = fact.wanted(tests);
        let not_among = |found: &str| match found {
            "" => format!("none, not {wanted}"),
            found => format!("{found} is not {wanted}"),
        };
        let why = match fact {
            Fact::User | Fact::Role => format!("not {wanted}"),
            Fact::Uid => format!("{} is not in {wanted}", login.uid),
            Fact::Group => format!("not in {wanted}"),
            Fact::PrimaryGroup => not_among(login.primary_group()),
            Fact::Host => not_among(&login.host),
            Fact::Time => {
                let windows = value(&tests.time).map_or(&[][..], |windows| &windows.0);
                let year = login.at.map_or(0, |at| at.year);
                let told: Vec<String> = windows
                    .iter()
                    .map(|window| match self.window(window) {
                        Some(when) => format!("{} is {}", window.name, when.text(year)),
                        None => window.name.to_string(),
                    })
                    .collect();
                told.join(", ")
            }
            Fact::Service => not_among(&login.service),
            Fact::Tty => not_among(&login.tty),
            Fact::Rhost => not_among(&login.rhost),
            Fact::Ruser => not_among(&login.ruser),
        };
        format!("{}: {why}", fact.key())
    }
}

fn joined<T: std::fmt::Display>(values: Option<&OneOf<T>>) -> String {
    let texts: Vec<String> = values
        .map(|values| values.0.iter().map(T::to_string).collect())
        .unwrap_or_default();
    texts.join(", ")
}

impl TimeTable {
    pub(crate) fn window(&self) -> Window {
        Window {
            from: value(&self.from).copied(),
            until: value(&self.until).copied(),
            days: value(&self.days).map(|days| days.0.clone()),
            hours: value(&self.hours).copied(),
        }
    }
}
