//! Which sessions are not what they would be if they were opened now: those of another policy, and those that a window
//! of time has since given other namespaces or another pool.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::Builder;
use std::time::{Duration, Instant, UNIX_EPOCH};

use berth_config::outcome::{Namespaces, Outcome};
use berth_config::{Loaded, LocalTime, Login, Machine, Policy};
use berth_session::{Record, SessionId};

use crate::exit::{Exit, not_so};
use crate::place;

/// How long a directory of users may take: for all these users where there is something else to show, which is not its to
/// hold up; and for each of them where it all depends on them.
const PATIENCE: Duration = Duration::from_secs(2);

/// What [`PATIENCE`] is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wait {
    ForAll,
    ForEach,
}

/// The sessions that are.
#[derive(Debug, Default)]
pub struct Stale {
    ids: HashSet<SessionId>,
    /// Some may be that are not among them: the directory did not say in time who their users are.
    is_part: bool,
}

impl Stale {
    /// Finds them. None is older where no policy is loaded.
    pub fn find<'a>(records: impl IntoIterator<Item = &'a Record>) -> Stale {
        let policy = Policy::load_system().ok();
        let loaded = policy
            .as_ref()
            .and_then(|policy| Some((policy, policy.loaded()?)));
        loaded.map_or_else(Stale::default, |(policy, loaded)| {
            Stale::by(policy, loaded, records, Wait::ForAll)
        })
    }

    /// The same where it all depends on them: why it is not known which they are is said.
    pub fn all<'a>(records: impl IntoIterator<Item = &'a Record>) -> Result<Stale, Exit> {
        let policy = Policy::load_system().map_err(place::policy_error)?;
        let Some(loaded) = policy.loaded() else {
            return Err(not_so(
                "no policy is loaded, so no session is older than it",
            ));
        };
        let stale = Stale::by(&policy, loaded, records, Wait::ForEach);
        match stale.tell() {
            Exit::Done => Ok(stale),
            _ => Err(Exit::NotSo),
        }
    }

    fn by<'a>(
        policy: &Policy,
        loaded: &Loaded,
        records: impl IntoIterator<Item = &'a Record>,
        wait: Wait,
    ) -> Stale {
        let (older, rest): (Vec<_>, Vec<_>) = records
            .into_iter()
            .partition(|record| is_older(record, loaded));
        let mut stale = Stale {
            ids: older.into_iter().map(|record| record.id).collect(),
            is_part: false,
        };
        if policy.has_windows() {
            if let Ok(machine) = place::machine() {
                let (logins, is_part) = logins(&rest, wait);
                stale.ids.extend(moved(policy, &machine, &rest, &logins));
                stale.is_part = is_part;
            }
        }
        stale
    }

    /// Says so if these are not all.
    pub fn tell(&self) -> Exit {
        match self.is_part {
            true => Exit::Partly.because(
                "NSS did not answer in time: there may be more stale sessions than are known",
            ),
            false => Exit::Done,
        }
    }

    /// Whether a session is.
    pub fn has(&self, record: &Record) -> bool {
        self.ids.contains(&record.id)
    }
}

/// Who the users are, by their UIDs, as far as NSS says it in time; and whether that is a part only.
fn logins(records: &[&Record], wait: Wait) -> (BTreeMap<u32, Login>, bool) {
    /// There is a thread that asks.
    static ASKS: AtomicBool = AtomicBool::new(false);
    let users = records
        .iter()
        .map(|record| (record.uid, record.user.clone()));
    let users: BTreeMap<u32, String> = users.collect();
    let mut logins = BTreeMap::new();
    if ASKS.swap(true, Ordering::AcqRel) {
        return (logins, true);
    }
    let (sender, answers) = mpsc::channel();
    // A call of NSS cannot be ended. So the thread lives on in one that hangs, alone, until that or the command ends.
    let asking = Builder::new().spawn(move || {
        for (uid, user) in users {
            if sender.send((uid, Login::of(&user).ok())).is_err() {
                break; // It took too long.
            }
        }
        ASKS.store(false, Ordering::Release);
    });
    if asking.is_err() {
        ASKS.store(false, Ordering::Release);
    }
    let mut end = Instant::now() + PATIENCE;
    loop {
        match answers.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok((uid, login)) => {
                logins.extend(login.map(|login| (uid, login)));
                if wait == Wait::ForEach {
                    end = Instant::now() + PATIENCE;
                }
            }
            Err(RecvTimeoutError::Disconnected) => return (logins, asking.is_err()),
            Err(RecvTimeoutError::Timeout) => return (logins, true),
        }
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
fn moved(
    policy: &Policy,
    machine: &Machine,
    records: &[&Record],
    logins: &BTreeMap<u32, Login>,
) -> Vec<SessionId> {
    let mut moved = Vec::new();
    for record in records {
        let Some(account) = logins.get(&record.uid) else {
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
    let pool = decision.pool_entered().map(str::to_owned);
    match decision.outcome {
        Outcome::Berth(berth) => Some((pool, Some(berth.namespaces))),
        Outcome::Exempt => Some((None, None)),
        Outcome::Deny { .. } => None,
    }
}
