//! Step 1 of a login: what the policy says, and what this application and machine allow.

use berth_config::outcome::{
    Accounting, Berth, Caps, FrozenLogin, Logout, Namespaces, OnError, Outcome, Privileges,
    UserManager,
};
use berth_config::{Decision, Layers, Login, Machine, Places, PolicyError, tty_name};
use berth_protocol::{JoinAbility, Request, service};
use berth_session::{Line, Tree};

use crate::basis::{Basis, Source};
use crate::error::Error;
use crate::frozen;
use crate::motd;

/// What is to be done with a login.
#[derive(Debug)]
pub enum Verdict {
    Untouched,
    Refused {
        /// For the user.
        message: Option<String>,
        /// Who was refused, and by what.
        login: Box<Login>,
        /// The rule's name.
        rule: Option<String>,
    },
    Berth(Box<Planned>),
}

/// A login that gets a berth.
#[derive(Debug)]
pub struct Planned {
    /// Who, from where.
    pub login: Login,
    /// The berth, as far as it can be had here.
    pub berth: Berth,
    /// The login rule.
    pub rule: Option<String>,
    /// The user rule.
    pub user_rule: Option<String>,
    /// The user's pool, and its caps.
    pub pool: Option<(String, Caps)>,
    /// The caps of all users together.
    pub everyone_caps: Caps,
    /// What it gets if its user is frozen.
    pub frozen_login: FrozenLogin,
    /// The base of the reserved owner UIDs.
    pub owner_uid_base: u32,
    /// Where it is written what the session has used.
    pub accounting: Accounting,
    /// For the log: what the policy asks for and this login does not get, and why that is right.
    pub notes: Vec<String>,
    /// Which policy that was: its checksum, where it was loaded.
    pub policy: Option<String>,
    /// Where the policy came from, and how things stood then.
    pub by: (Source, Basis),
}

/// What the account phase has found out, which serves the session's request too, a moment later.
#[derive(Debug, Default)]
pub struct Known {
    /// What NSS said.
    account: Option<Login>,
    /// What was asked, and decided.
    decided: Option<(Request, Box<Planned>)>,
}

impl Known {
    pub fn keep(&mut self, asked: Request, planned: Box<Planned>) {
        self.decided = Some((asked, planned));
    }

    /// The decision that was kept, if it was about the same and would be the same now: a reload counts from the next
    /// request on.
    fn still_holds(&mut self, request: &Request, basis: &Basis) -> Option<Box<Planned>> {
        let (mut asked, planned) = self.decided.take()?;
        asked.phase = request.phase;
        (asked == *request && planned.by.1 == *basis).then_some(planned)
    }
}

/// Decides, by what is known already and the policy as it is now. With what it fails by comes what the policy says to do then;
/// where that cannot be read, what the module says.
pub fn decide(
    request: &Request,
    known: &mut Known,
    tree: Option<&Tree>,
) -> Result<Verdict, (OnError, Error)> {
    let source = Source::of(request.policy.as_deref());
    let basis = source.basis();
    if let Some(planned) = known.still_holds(request, &basis) {
        return Ok(Verdict::Berth(planned));
    }
    let no_policy = |error: PolicyError| (request.on_error, Error::policy(error));
    let in_force = source.in_force().map_err(no_policy)?;
    // By local files alone, before NSS is asked: an exempt admin never waits for a dead directory
    // server.
    if in_force.exempt().covers(&request.user) {
        return Ok(Verdict::Untouched);
    }
    let default = in_force.default_on_error();
    let login = login(request, &mut known.account).map_err(|error| (default, error))?;
    let policy = in_force.narrowed(&login).map_err(no_policy)?;
    let root = tree.map(|tree| tree.root().path());
    let machine = Machine::read(root).map_err(|error| (policy.on_error(&login), error.into()))?;
    // A file that cannot be used keeps nobody out: the log names it.
    let layers = Layers::in_force(&Places::system(), &login, &machine, |of, error| {
        let line = Line::new(of).field("uid", login.uid);
        line.field("error", error).error();
    });
    let decision = policy
        .decide_with(&login, &machine, &layers)
        .map_err(|error| (policy.on_error(&login), Error::policy(error)))?;
    let Decision {
        outcome,
        rule,
        user_rule,
        pool,
        service_named,
        not_set: _,
        penalty: _,
        pool_caps,
        everyone_caps,
    } = decision;
    match outcome {
        Outcome::Exempt => Ok(Verdict::Untouched),
        Outcome::Deny { message } => Ok(Verdict::Refused {
            message,
            login: Box::new(login),
            rule,
        }),
        Outcome::Berth(berth) => {
            let mut planned = Planned {
                login,
                berth: *berth,
                rule,
                user_rule,
                pool: pool.map(|pool| (pool, pool_caps)),
                everyone_caps,
                frozen_login: match frozen::can_stand(request, service_named) {
                    true => policy.frozen_login(),
                    false => FrozenLogin::Deny,
                },
                owner_uid_base: policy.owner_uid_base(),
                accounting: policy.accounting(),
                notes: Vec::new(),
                policy: policy.loaded().map(|loaded| loaded.sha256.clone()),
                by: (source, basis),
            };
            let on_error = planned.berth.on_error;
            planned
                .fit_to_application(request.join, service_named)
                .map_err(|error| (on_error, error))?;
            Ok(Verdict::Berth(Box::new(planned)))
        }
    }
}

fn login(request: &Request, account: &mut Option<Login>) -> Result<Login, Error> {
    // A name that is not UTF-8 is none that a rule could test, so nobody is let in by it.
    let user = std::str::from_utf8(&request.user)
        .map_err(|_| Error::Account("the user name is not UTF-8".into()))?;
    let mut login = match account.take() {
        Some(known) if known.user == user => known,
        _ => Login::of(user).map_err(|error| Error::Account(error.to_string()))?,
    };
    *account = Some(login.clone());
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    login.service = text(&request.service);
    login.tty = tty_name(&text(&request.tty)).into();
    login.rhost = text(&request.rhost);
    login.ruser = text(&request.ruser);
    Ok(login)
}

impl Planned {
    /// Leaves out what this application cannot be given.
    fn fit_to_application(&mut self, join: JoinAbility, service_named: bool) -> Result<(), Error> {
        if !self.berth.enforce {
            // Accounted in a cgroup of its own, and nothing else changed. The log has what would be.
            self.notes.extend(motd::unenforced(self));
            self.pool = None;
            self.everyone_caps = Caps::default();
            self.berth.user_caps = Caps::default();
            self.berth.session_caps = Caps::default();
            self.berth.rlimits.clear();
            self.berth.max_sessions = None;
            self.berth.notify = false;
            self.berth.motd = false;
            self.berth.logout = Logout {
                linger: None,
                ..self.berth.logout
            };
        }
        let caps_only = match join {
            _ if !self.berth.enforce => Some("enforce = false"),
            JoinAbility::Yes => None,
            JoinAbility::Manager => {
                // No login of the user's, and not in a cgroup that is one session's.
                self.berth.max_sessions = None;
                self.berth.session_caps = Caps::default();
                // What it starts is under the user's caps, and not in the pool, whose members cannot reach it.
                self.pool = None;
                match self.berth.namespaces.user_manager {
                    UserManager::Isolated => None,
                    _ => Some("the policy does not isolate the user's service manager"),
                }
            }
            JoinAbility::IfNamed if service_named => None,
            JoinAbility::IfNamed => Some("no rule names this service"),
            JoinAbility::Threaded if !self.berth.changes_the_application() => None,
            // Nobody has asked for it to be joined, so that it cannot be is no failure: a display manager.
            JoinAbility::Threaded
                if !service_named && !service::is_joined(self.login.service.as_bytes()) =>
            {
                Some("no rule names this service")
            }
            // An application that execs in place would run in its old PID namespace with a /proc in
            // which it does not exist; sudo is there to get out.
            JoinAbility::Service => Some("this service is never joined"),
            JoinAbility::Threaded if self.berth.on_error == OnError::Allow => {
                Some("the application has more than one thread")
            }
            JoinAbility::Threaded => {
                return Err(Error::CannotJoin(format!(
                    "cannot put the application of service {} into a berth: it has more than one \
                 thread; give this service a rule with a profile that has neither namespaces nor \
                 privileges, or set on_error = \"allow\" for caps only",
                    self.login.service
                )));
            }
        };
        if let Some(why) = caps_only {
            if self.berth.changes_the_application() {
                self.notes.push(format!("caps only: {why}"));
            }
            self.berth.namespaces = Namespaces::none();
            self.berth.privileges = Privileges::all();
        }
        Ok(())
    }

    /// Why there may be no such login now, for the user: theirs are frozen, or as many are on as `max_sessions` says.
    pub fn refusal(
        &self,
        tree: Option<&Tree>,
        logins: impl FnOnce() -> berth_session::Result<usize>,
    ) -> berth_session::Result<Option<String>> {
        if let Some(message) = tree.and_then(|tree| frozen::refusal_at_the_door(tree, self)) {
            return Ok(Some(message));
        }
        let Some(max) = self.berth.max_sessions else {
            return Ok(None);
        };
        let message = || format!("You have {max} sessions already, and no more are allowed.");
        Ok((logins()? >= max as usize).then(message))
    }

    /// The names of the berth's namespaces, as the log has them.
    pub fn namespace_names(&self) -> String {
        self.berth.namespaces.kinds().join(",")
    }

    /// The log line of a login's beginning, up to the result.
    pub fn line(&self, session: impl std::fmt::Display) -> Line {
        let event = Line::new("open").in_journal_if(self.accounting.journal);
        about(event, session, &self.login)
            .field("profile", &self.berth.profile)
            .optional("rule", self.rule.as_deref())
            .optional("user_rule", self.user_rule.as_deref())
            .optional("pool", self.pool.as_ref().map(|(name, _)| name))
            .field("ns", self.namespace_names())
    }
}

/// The fields that every line about a login begins with.
pub fn about(event: Line, session: impl std::fmt::Display, login: &Login) -> Line {
    event
        .field("session", session)
        .field("user", &login.user)
        .field("uid", login.uid)
        .field("service", &login.service)
        .field("tty", &login.tty)
        .field("rhost", &login.rhost)
}

#[cfg(test)]
pub mod tests;
