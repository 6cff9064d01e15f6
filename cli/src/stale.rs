//! Which sessions are not what they would be if they were opened now: those of another policy, and those that a window
//! of time has since given other namespaces or another pool.

use std::collections::{BTreeMap, HashSet};
use std::time::UNIX_EPOCH;

use berth_config::outcome::{Namespaces, Outcome};
use berth_config::{Loaded, LocalTime, Login, Machine, Policy};
use berth_session::{Record, SessionId};

use crate::place;

/// The sessions that are.
#[derive(Debug, Default)]
pub struct Stale(HashSet<SessionId>);

impl Stale {
    /// Finds them; `None` where no policy is loaded, and so none is older.
    pub fn find<'a>(records: impl IntoIterator<Item = &'a Record>) -> Option<Stale> {
        let policy = Policy::load_system().ok()?;
        let loaded = policy.loaded()?;
        let (older, rest): (Vec<_>, Vec<_>) = records
            .into_iter()
            .partition(|record| is_older(record, loaded));
        let mut stale: HashSet<SessionId> = older.into_iter().map(|record| record.id).collect();
        // Who a user is takes a look into a directory, for each.
        if policy.has_windows() {
            if let Ok(machine) = place::machine() {
                stale.extend(moved(&policy, &machine, &rest));
            }
        }
        Some(Stale(stale))
    }

    /// Whether a session is.
    pub fn has(&self, record: &Record) -> bool {
        self.0.contains(&record.id)
    }
}

/// Whether a session was opened under another policy. An earlier version's record does not say which; then its time
/// counts, and that of a login by a policy of its own (`berth try`), too.
fn is_older(record: &Record, loaded: &Loaded) -> bool {
    match &record.policy {
        Some(policy) => *policy != loaded.sha256,
        None => loaded
            .at
            .duration_since(UNIX_EPOCH)
            .is_ok_and(|at| record.opened < at.as_secs()),
    }
}

/// Those whose login comes to something else now than when it was, by the same policy.
fn moved(policy: &Policy, machine: &Machine, records: &[&Record]) -> Vec<SessionId> {
    let mut logins: BTreeMap<u32, Option<Login>> = BTreeMap::new();
    let mut moved = Vec::new();
    for record in records {
        let account = logins.entry(record.uid);
        let Some(account) = account.or_insert_with(|| Login::of(&record.user).ok()) else {
            continue;
        };
        let mut login = account.through(record.door());
        let mut at = |time| {
            login.at = time;
            got(policy, &login, machine)
        };
        let then = at(LocalTime::of(record.opened_at()));
        let now = at(LocalTime::now());
        if then.is_some() && now.is_some() && then != now {
            moved.push(record.id);
        }
    }
    moved
}

/// The pool and the namespaces of a login; none of whom the policy lets in no more.
fn got(
    policy: &Policy,
    login: &Login,
    machine: &Machine,
) -> Option<(Option<String>, Option<Namespaces>)> {
    let decision = policy.decide(login, machine).ok()?;
    match decision.outcome {
        Outcome::Berth(berth) => Some((decision.pool, Some(berth.namespaces))),
        Outcome::Exempt => Some((None, None)),
        Outcome::Deny { .. } => None,
    }
}
