//! What is exported, and under what names.

use std::time::{SystemTime, UNIX_EPOCH};

use berth_config::Policy;
use berth_session::{
    BOUNDS, Cause, Counters, Group, Limits, LoginResult, Pressure, Record, Tree, Usage,
    memory_in_use,
};

use super::exposition::{Exposition, Family, Kind, Label};
use crate::live::{self, Sessions};

/// From this share of their memory cap on a user is at it: the kernel reclaims before it is reached.
const AT_CAP: f64 = 0.95;

fn family<'a>(kind: Kind, name: &'a str, help: &'a str) -> Family<'a> {
    let since = None;
    Family {
        name,
        kind,
        help,
        since,
    }
}

fn gauge<'a>(name: &'a str, help: &'a str) -> Family<'a> {
    family(Kind::Gauge, name, help)
}

fn counter<'a>(name: &'a str, help: &'a str) -> Family<'a> {
    family(Kind::Counter, name, help)
}

fn one<V>(value: V) -> [(Vec<Label<'static>>, Option<V>); 1] {
    [(Vec::new(), Some(value))]
}

/// Which Berth this is.
pub fn program(to: &mut Exposition) {
    let version = vec![("version", env!("CARGO_PKG_VERSION"))];
    let family = gauge("berth_build_info", "The version of Berth; always 1.");
    to.family(family, [(version, Some(1))]);
}

/// What the helper has counted.
pub fn logins(to: &mut Exposition, counters: &Counters, booted: Option<SystemTime>) {
    let since = counters.created().or(booted);
    let since = |family| Family { since, ..family };
    let help = "Logins that the helper was asked about, by what became of them.";
    let outcomes = LoginResult::WORDS.map(|(outcome, word)| {
        let labels = vec![("outcome", word)];
        (labels, Some(counters.outcome(outcome)))
    });
    to.family(since(counter("berth_logins", help)), outcomes);
    let help = "Logins that failed, or were rolled back, by the kind of error.";
    let causes = Cause::WORDS.map(|(cause, word)| {
        let labels = vec![("cause", word)];
        (labels, Some(counters.cause(cause)))
    });
    to.family(since(counter("berth_login_failures", help)), causes);
    let help = "From the session's request to the module's word that the login is in its session.";
    to.histogram(
        since(family(Kind::Histogram, "berth_setup_seconds", help)),
        BOUNDS.iter().map(|us| *us as f64 / 1e6),
        counters.times(),
        counters.time().as_secs_f64(),
    );
}

/// The policy in force.
pub fn policy(to: &mut Exposition, policy: Option<&Policy>) {
    let help = "1 if logins can be decided; 0 if the policy in force has an error, and logins follow on_error.";
    to.family(
        gauge("berth_policy_usable", help),
        one(u8::from(policy.is_some())),
    );
    let loaded = policy.and_then(Policy::loaded);
    let help = "1 if `berth reload` has put a policy in force; 0 if each login reads the files.";
    to.family(
        gauge("berth_policy_loaded", help),
        one(u8::from(loaded.is_some())),
    );
    let at = loaded.and_then(|loaded| loaded.at.duration_since(UNIX_EPOCH).ok());
    let help = "When the policy was put in force, in seconds since 1970.";
    let family = gauge("berth_policy_loaded_timestamp_seconds", help);
    to.family(family, [(vec![], at.map(|at| at.as_secs()))]);
}

/// The live sessions, and what their users and pools use.
pub fn sessions(to: &mut Exposition, sessions: &Sessions, tree: Option<&Tree>, top: usize) {
    let records = &sessions.records;
    let mut states = live::STATES.map(|state| (state, 0_u64));
    for record in records {
        let state = live::state(record, tree);
        for (_, count) in states.iter_mut().filter(|(name, _)| *name == state) {
            *count += 1;
        }
    }
    let states = states.map(|(state, count)| (vec![("state", state)], Some(count)));
    to.family(gauge("berth_sessions", "Live sessions, by state."), states);
    let help = "Records of sessions that could not be read.";
    to.family(
        gauge("berth_records_unread", help),
        one(sessions.unread.len()),
    );

    let users = users(records, tree);
    let help = "Users who have a session.";
    to.family(gauge("berth_users", help), one(users.len()));
    let at_cap = users.iter().filter(|user| user.is_at_memory_cap()).count();
    let help = "Users who need 95 % of their memory cap or more; what the kernel can drop at once does not count.";
    to.family(gauge("berth_users_at_memory_cap", help), one(at_cap));

    let (named, others) = users.split_at(top.min(users.len()));
    let named: Vec<Measured> = named
        .iter()
        .map(|user| {
            let labels = vec![("user", user.name.clone()), ("uid", user.uid.to_string())];
            let mut measured = Measured::of(labels, user.sessions, user.group.as_ref());
            if let (Some(tree), Some(group)) = (tree, &user.group) {
                measured.limits = Limits::of_user(tree, group);
            }
            measured
        })
        .collect();
    let others = (!others.is_empty()).then(|| Measured::together(others));
    write(to, "user", &[named, others.into_iter().collect()].concat());
    write(to, "pool", &pools(records, tree));
    let all = tree.map(|tree| Measured::of(vec![], records.len(), Some(&tree.everyone())));
    write(to, "everyone", all.as_slice());
}

/// A user who is logged in.
struct User {
    name: String,
    uid: u32,
    sessions: usize,
    group: Option<Group>,
    memory: Option<u64>,
}

/// The users, those with the most memory first.
fn users(records: &[Record], tree: Option<&Tree>) -> Vec<User> {
    let mut users: Vec<User> = live::by_user(records)
        .into_iter()
        .filter_map(|(uid, records)| {
            let group = live::user_group(tree, &records);
            Some(User {
                name: records.first()?.user.clone(),
                uid,
                sessions: records.len(),
                memory: group
                    .as_ref()
                    .and_then(|group| group.number("memory.current")),
                group,
            })
        })
        .collect();
    users.sort_by_key(|user| (std::cmp::Reverse(user.memory), user.uid));
    users
}

impl User {
    fn is_at_memory_cap(&self) -> bool {
        let at_cap = || {
            let group = self.group.as_ref()?;
            let bound = group.number::<u64>("memory.max")? as f64 * AT_CAP;
            self.memory.filter(|memory| *memory as f64 >= bound)?;
            Some(memory_in_use(group).ok()? as f64 >= bound)
        };
        at_cap() == Some(true)
    }
}

/// The pools that somebody is in.
fn pools(records: &[Record], tree: Option<&Tree>) -> Vec<Measured> {
    let pools = live::by_pool(records).into_iter().map(|(pool, records)| {
        let group = tree.map(|tree| tree.pool(&pool));
        Measured::of(vec![("pool", pool)], records.len(), group.as_ref())
    });
    pools.collect()
}

/// What somebody uses and may use.
#[derive(Debug, Clone, Default)]
struct Measured {
    labels: Vec<(&'static str, String)>,
    sessions: usize,
    usage: Usage,
    limits: Limits,
    /// For how long some process had to wait, in microseconds, by what it waited for.
    waited_us: [(&'static str, Option<u64>); 3],
}

impl Measured {
    fn of(labels: Vec<(&'static str, String)>, sessions: usize, group: Option<&Group>) -> Measured {
        let Some(group) = group else {
            return Measured {
                labels,
                sessions,
                ..Measured::default()
            };
        };
        Measured {
            labels,
            sessions,
            usage: Usage::of(group),
            limits: Limits::of(group),
            waited_us: Pressure::waited_us(group),
        }
    }

    /// Of many in one. What adds up is left out: a counter that users leave and come back to would fall, and Prometheus
    /// takes that for a restart. It is in the figures of everyone.
    fn together(users: &[User]) -> Measured {
        let memory = users.iter().filter_map(|user| user.memory);
        let groups = users.iter().filter_map(|user| user.group.as_ref());
        let tasks = groups.filter_map(|group| group.number("pids.current"));
        Measured {
            labels: vec![("user", "other".into()), ("uid", String::new())],
            sessions: users.iter().map(|user| user.sessions).sum(),
            usage: Usage {
                memory: memory.reduce(u64::saturating_add),
                tasks: tasks.reduce(u64::saturating_add),
                ..Usage::default()
            },
            ..Measured::default()
        }
    }

    fn labels(&self) -> Vec<Label<'_>> {
        let labels = self.labels.iter();
        labels
            .map(|(name, value)| (*name, value.as_str()))
            .collect()
    }
}

type Figure = fn(&Measured) -> Option<f64>;

/// The families of users, of pools and of everyone: the name of each, what it is, and its figure.
const FIGURES: [(Kind, &str, &str, Figure); 13] = [
    (Kind::Gauge, "sessions", "Live sessions.", |one| {
        Some(one.sessions as f64)
    }),
    (Kind::Gauge, "tasks", "Processes and threads.", |one| {
        number(one.usage.tasks)
    }),
    (
        Kind::Gauge,
        "tasks_max",
        "The cap on them, if there is one.",
        |one| number(one.limits.tasks),
    ),
    (Kind::Gauge, "memory_bytes", "Memory in use.", |one| {
        number(one.usage.memory)
    }),
    (
        Kind::Gauge,
        "memory_peak_bytes",
        "The most memory since the first login.",
        |one| number(one.usage.memory_peak),
    ),
    (
        Kind::Gauge,
        "memory_max_bytes",
        "The cap on memory, if there is one.",
        |one| number(one.limits.memory),
    ),
    (
        Kind::Gauge,
        "cpu_max_cpus",
        "The CPU quota, if there is one, in CPUs.",
        |one| Some(one.limits.cpu_percent? / 100.0),
    ),
    (
        Kind::Counter,
        "tasks_refused",
        "Forks that the cap refused.",
        |one| number(one.usage.tasks_refused),
    ),
    (
        Kind::Counter,
        "oom_kills",
        "Processes that the OOM killer ended.",
        |one| number(one.usage.oom_kills),
    ),
    (Kind::Counter, "io_read_bytes", "Read from disks.", |one| {
        number(one.usage.io_read)
    }),
    (
        Kind::Counter,
        "io_written_bytes",
        "Written to disks.",
        |one| number(one.usage.io_write),
    ),
    (Kind::Counter, "cpu_seconds", "CPU time used.", |one| {
        one.usage.cpu_us.map(seconds)
    }),
    (
        Kind::Counter,
        "cpu_throttled_seconds",
        "Time for which the CPU quota held it back.",
        |one| one.usage.throttled_us.map(seconds),
    ),
];

fn number(figure: Option<u64>) -> Option<f64> {
    figure.map(|figure| figure as f64)
}

/// Writes the families of users, of pools or of everyone.
fn write(to: &mut Exposition, of: &str, all: &[Measured]) {
    for (kind, name, help, figure) in FIGURES {
        let name = format!("berth_{of}_{name}");
        let samples = all.iter().map(|one| (one.labels(), figure(one)));
        to.family(family(kind, &name, help), samples);
    }
    let name = format!("berth_{of}_pressure_waiting_seconds");
    let help = "Time for which some process had to wait for a resource.";
    let samples = all.iter().flat_map(|one| {
        one.waited_us.into_iter().map(|(resource, us)| {
            let mut labels = one.labels();
            labels.push(("resource", resource));
            (labels, us.map(seconds))
        })
    });
    to.family(counter(&name, help), samples);
}

fn seconds(us: u64) -> f64 {
    us as f64 / 1e6
}
