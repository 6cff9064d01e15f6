//! What is shown of a user or a session, for people and for programs.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::SystemTime;

use berth_config::{LocalTime, Policy, counted};
use berth_session::{Group, NamespaceIds, Record, Tree};
use serde_json::{Value, json};

use super::lines::figures;
use crate::exit::Exit;
use crate::figures::Figures;
use crate::live;
use crate::readable::{harmless, span};
use crate::stale::Stale;
use crate::verb::log::bites;
use crate::{exceptions, json, pager, penalties};

/// How many of the last events are shown.
const EVENTS: usize = 3;

/// All that is known of a user or a session.
#[derive(Debug, Default)]
pub struct Page {
    /// `alice (1001)  profile student, rule cs101`
    pub title: String,
    /// When the first session was opened.
    pub since: Option<(SystemTime, u64)>,
    /// Lines of a session's own, after the time.
    pub about: Vec<(&'static str, String)>,
    /// The cgroup, below the hierarchy's root.
    pub cgroup: Option<PathBuf>,
    /// What it uses.
    pub figures: Figures,
    /// On which step of a penalty a user is.
    pub penalty: Option<String>,
    /// One line for each of a user's exceptions.
    pub exceptions: Vec<String>,
    /// One line for each of a user's sessions.
    pub sessions: Vec<String>,
    /// What caps did to a user lately, a line each.
    pub events: Vec<String>,
    /// The head of the JSON object; the figures come after.
    pub object: Value,
}

impl Page {
    /// One session.
    pub fn of_session(record: &Record, tree: Option<&Tree>) -> Page {
        let group = live::group(tree, record);
        let figures = Figures::of_one(group);
        let mut about = vec![
            ("State", live::state(record, tree).to_owned()),
            ("Login", live::way_in(record)),
            ("Processes", processes(record)),
        ];
        if let Some(own) = namespaces(&record.namespaces) {
            about.push(("Own", own));
        }
        let stale = Stale::find([record]);
        stale.tell();
        let is_stale = stale.has(record);
        if is_stale {
            about.push((
                "Stale",
                "opened under another policy, or in another window of time".into(),
            ));
        }
        Page {
            title: format!(
                "session {} of {} ({})  {}",
                record.id,
                harmless(&record.user),
                record.uid,
                decided(&[record], is_stale)
            ),
            since: Some((record.opened_at(), record.age())),
            about,
            cgroup: record.cgroup.clone(),
            object: live::object(record, tree, &figures, is_stale),
            figures,
            ..Page::default()
        }
    }

    /// A user, of whose sessions `first` is the first. Of one who has several UIDs the figures are those of all together.
    pub fn of_user(name: &str, first: &Record, records: &[Record], tree: Option<&Tree>) -> Page {
        let stale = Stale::find(records);
        stale.tell();
        let all: Vec<&Record> = records.iter().collect();
        let users = live::by_user(records);
        let uids: Vec<u32> = users.keys().copied().collect();
        let groups = users
            .values()
            .map(|records| live::user_group(tree, records));
        let groups: Vec<_> = groups.collect();
        let sessions = records.iter().map(|record| live::group(tree, record));
        let (of_users, of_sessions) =
            Figures::of_users(tree, &groups, &sessions.collect::<Vec<_>>());
        let figures = match &of_users[..] {
            [one] => one.clone(),
            several => Figures::sum(several),
        };
        let user = groups.into_iter().next().flatten();
        let user = user.filter(|_| uids.len() == 1);
        let oldest = records.iter().max_by_key(|record| record.age());
        let oldest = oldest.unwrap_or(first);
        let sessions = records.iter().zip(&of_sessions);
        let lines = sessions
            .clone()
            .map(|(record, figures)| line(record, figures, tree, stale.has(record)));
        let (exceptions, objects) = exceptions_of(name, &uids);
        let mut penalties = uids.iter().map(|uid| penalties::shown::to_root(name, *uid));
        let (penalty, standing) = penalties
            .find(|(line, _)| line.is_some())
            .unwrap_or_default();
        let (events, events_objects) = bites::lately(name, EVENTS);
        let any_stale = records.iter().any(|record| stale.has(record));
        Page {
            title: format!(
                "{} ({})  {}",
                harmless(name),
                uids.iter()
                    .map(u32::to_string)
                    .collect::<Vec<_>>()
                    .join(", "),
                decided(&all, any_stale)
            ),
            since: Some((oldest.opened_at(), oldest.age())),
            about: Vec::new(),
            cgroup: user
                .filter(Group::exists)
                .zip(tree)
                .map(|(user, tree)| tree.below(&user)),
            penalty,
            exceptions,
            sessions: lines.collect(),
            events,
            object: json!({
                "user": name,
                "uid": first.uid,
                "opened": LocalTime::rfc3339(oldest.opened_at()),
                "age_seconds": oldest.age(),
                "exceptions": objects,
                "penalty": standing,
                "events": events_objects,
                "sessions": sessions
                    .map(|(record, figures)| live::object(record, tree, figures, stale.has(record)))
                    .collect::<Vec<_>>(),
            }),
            figures,
        }
    }

    /// A pool, whose users' sessions these are.
    pub fn of_pool(name: &str, records: &[Record], tree: Option<&Tree>) -> Page {
        let group = tree.map(|tree| tree.pool(name)).filter(Group::exists);
        let figures = Figures::of_one(group.clone());
        let users = users(records);
        Page {
            title: format!("pool {}  {}", harmless(name), counted(users.len(), "user")),
            cgroup: group.zip(tree).map(|(group, tree)| tree.below(&group)),
            sessions: with_users(records),
            object: json!({
                "pool": name,
                "users": users,
                "sessions": live::ids(records),
            }),
            figures,
            ..Page::default()
        }
    }

    /// A profile, which these sessions have. It has no cgroup: the figures are those of the sessions together.
    pub fn of_profile(name: &str, records: &[Record], tree: Option<&Tree>) -> Page {
        let groups: Vec<_> = records
            .iter()
            .map(|record| live::group(tree, record))
            .collect();
        let users = users(records);
        Page {
            title: format!(
                "profile {}  {}",
                harmless(name),
                counted(users.len(), "user")
            ),
            sessions: with_users(records),
            object: json!({ "profile": name, "users": users, "sessions": live::ids(records) }),
            figures: Figures::sum(&Figures::of(&groups)),
            ..Page::default()
        }
    }

    pub fn print(&self, as_json: bool) -> Result<Exit, Exit> {
        if as_json {
            json::print(self.whole_object())?;
            return Ok(Exit::Done);
        }
        let mut out = vec![self.title.clone()];
        let line = |out: &mut Vec<String>, label: &str, text: &str| {
            out.push(format!("{label:>9}: {text}"))
        };
        if let Some((since, age)) = self.since {
            if let Some(time) = LocalTime::of(since) {
                let day = format!("{:?}", time.weekday());
                line(
                    &mut out,
                    "Since",
                    &format!("{day} {time}; {} ago", span(age)),
                );
            }
        }
        for (label, text) in &self.about {
            line(&mut out, label, text);
        }
        if let Some(cgroup) = &self.cgroup {
            line(&mut out, "Cgroup", &live::path(cgroup));
        }
        for (label, text) in figures(&self.figures) {
            line(&mut out, label, &text);
        }
        if let Some(penalty) = &self.penalty {
            line(&mut out, "Penalty", penalty);
        }
        for exception in &self.exceptions {
            line(&mut out, "Exception", exception);
        }
        for (label, lines) in [("Sessions", &self.sessions), ("Events", &self.events)] {
            for (index, text) in lines.iter().enumerate() {
                match index {
                    0 => line(&mut out, label, text),
                    _ => out.push(format!("{:11}{text}", "")),
                }
            }
        }
        pager::lines(&out);
        Ok(Exit::Done)
    }

    fn whole_object(&self) -> Value {
        let cgroup = self.cgroup.as_deref().map(live::path);
        let about = json!({ "cgroup": cgroup });
        let about = json::merged(about, self.figures.object());
        json::merged(about, self.object.clone())
    }
}

/// A session of a user's.
fn line(record: &Record, figures: &Figures, tree: Option<&Tree>, is_stale: bool) -> String {
    let mut parts = vec![live::way_in(record), span(record.age())];
    parts.extend(figures.usage.tasks.map(|tasks| counted(tasks, "task")));
    let state = live::state(record, tree);
    if state != "active" {
        parts.push(state.into());
    }
    if is_stale {
        parts.push("stale".into());
    }
    format!("{:<3} {}", record.id, parts.join(", "))
}

/// A user's exceptions, for people and for programs.
fn exceptions_of(name: &str, uids: &[u32]) -> (Vec<String>, Vec<Value>) {
    let (mut lines, mut objects) = (Vec::new(), Vec::new());
    for uid in uids {
        let (of_uid, objects_of_uid) = exceptions::shown(name, *uid);
        lines.extend(of_uid.into_iter().map(|line| match uids.len() {
            1 => line,
            _ => format!("of {uid}: {line}"),
        }));
        objects.extend(objects_of_uid);
    }
    (lines, objects)
}

/// The names of their users, each once.
fn users(records: &[Record]) -> Vec<&str> {
    let mut users: Vec<&str> = records.iter().map(|record| record.user.as_str()).collect();
    users.sort_unstable();
    users.dedup();
    users
}

/// A line for each session of several users.
fn with_users(records: &[Record]) -> Vec<String> {
    let line = |record: &Record| {
        let (id, user) = (record.id, harmless(&record.user));
        let age = span(record.age());
        format!("{id:<3} {user}, {}, {age}", live::way_in(record))
    };
    records.iter().map(line).collect()
}

/// The profiles and rules of sessions, each once. A rule has its place, unless that was in another policy.
fn decided(records: &[&Record], is_stale: bool) -> String {
    let rules: BTreeSet<&str> = records
        .iter()
        .filter_map(|one| one.rule.as_deref())
        .collect();
    let mut text = format!("profile {}", live::profiles(records).join(", "));
    if let Some(pool) = live::pool(records) {
        text += &format!(", pool {pool}");
    }
    if !rules.is_empty() {
        let policy = Policy::load_system().ok();
        let policy = policy.filter(|policy| policy.loaded().is_some() && !is_stale);
        let rule = |name: &str| {
            let place = policy
                .as_ref()
                .and_then(|policy| policy.place_of_rule(name));
            // A rule without a name is called by its place.
            match place.filter(|place| place != name) {
                Some(place) => format!("{name} ({place})"),
                None => name.to_owned(),
            }
        };
        let rules: Vec<String> = rules.into_iter().map(rule).collect();
        text += &format!(", rule {}", rules.join(", "));
    }
    text
}

fn processes(record: &Record) -> String {
    let mut text = format!("login {}, keeper {}", record.leader.pid, record.keeper.pid);
    if let Some(init) = record.init {
        text += &format!(", init {}", init.pid);
    }
    text
}

/// `user, pid, ipc and mount namespaces`
fn namespaces(ids: &NamespaceIds) -> Option<String> {
    let own = ids.kinds();
    let (last, rest) = own.split_last()?;
    Some(match rest {
        [] => format!("{last} namespace"),
        _ => format!("{} and {last} namespaces", rest.join(", ")),
    })
}
