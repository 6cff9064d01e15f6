//! `berth list`: who is logged in, and what they use.

use berth_config::counted;
use berth_session::{Group, Record, Tree};
use serde_json::{Value, json};

use crate::exit::Exit;
use crate::figures::{Figures, Rates};
use crate::live::{self, Sessions};
use crate::own_sessions::{self, Own};
use crate::readable::{age, harmless, or_dash, percent, size};
use crate::stale::Stale;
use crate::{caller, json, pager, paint, parallel, table};

#[derive(Debug, Default, clap::Args)]
#[command(after_help = "\
Exit status: 0 listed; 1 with --stale: no policy is loaded, or NSS did not answer in time; 3 for
--stale the policy has an error; 4 nothing of it is yours to see; 5 a session's record could not
be read, or NSS did not answer in time, so some stale sessions may not be marked.

CPU is what was used in 100 ms, in percent of one CPU. A - means not known, or none. STATE:
opening, active, stale (active, but opened under another policy, or in another window of time,
with other namespaces or another pool), linger (the login has ended, what it left running may
stay), frozen (by `berth freeze`), dead (its keeper and its standby were killed; `berth kill`
removes what is left). Users other than root see what the kernel says of their own cgroup.")]
pub struct Arguments {
    /// One line for each user instead of each session
    #[arg(long, conflicts_with = "pools")]
    users: bool,
    /// One line for each pool
    #[arg(long)]
    pools: bool,
    /// Only stale sessions: opened under another policy, or before a window of time began or ended
    #[arg(long)]
    stale: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments) -> Result<Exit, Exit> {
    let tree = live::tree()?;
    if !caller::is_root() {
        return to_user(arguments, tree.as_ref());
    }
    let mut sessions = Sessions::tell()?;
    let stale = match arguments.stale {
        true => Stale::all(&sessions.records)?,
        false => Stale::find(&sessions.records),
    };
    if arguments.stale {
        sessions.records.retain(|record| stale.has(record));
    }
    let whole = stale.tell();
    let list = List {
        records: &sessions.records,
        tree: tree.as_ref(),
        stale,
        as_json: arguments.json,
    };
    match (arguments.users, arguments.pools) {
        (true, _) => list.users()?,
        (_, true) => list.pools()?,
        _ => list.sessions()?,
    }
    Ok(match sessions.exit() {
        Exit::Done => whole,
        partly => partly,
    })
}

/// What is listed.
struct List<'a> {
    records: &'a [Record],
    tree: Option<&'a Tree>,
    stale: Stale,
    as_json: bool,
}

impl List<'_> {
    fn sessions(&self) -> Result<(), Exit> {
        let records = self.records.iter();
        let groups: Vec<_> = records
            .map(|record| live::group(self.tree, record))
            .collect();
        if self.as_json {
            let lines: Vec<_> = self.records.iter().zip(Figures::of(&groups)).collect();
            let object = |(record, figures): &(&Record, Figures)| {
                live::object(record, self.tree, figures, self.stale.has(record))
            };
            return print_json("sessions", parallel::map(&lines, object));
        }
        let rates = Rates::begin(&groups);
        let both: Vec<_> = self.records.iter().zip(&groups).collect();
        let lines = parallel::map(&both, |(record, group)| {
            let state = match live::state(record, self.tree) {
                "active" if self.stale.has(record) => "stale",
                state => state,
            };
            (*record, used(group.as_ref()), state)
        });
        let mut table = vec![titles([
            "SESSION", "USER", "SERVICE", "PROFILE", "POOL", "AGE", "TASKS", "CPU", "MEMORY",
            "STATE",
        ])];
        for ((record, [tasks, memory], state), rate) in lines.iter().zip(rates.end(&groups)) {
            table.push(vec![
                record.id.to_string(),
                harmless(&record.user),
                harmless(&record.service),
                record.profile.clone(),
                or_dash(record.pool.as_ref()),
                age(record.age()),
                tasks.clone(),
                or_dash(rate.map(percent)),
                memory.clone(),
                (*state).into(),
            ]);
        }
        let mut text: Vec<_> = table::lines(&table, &[0, 5, 6, 7, 8])
            .iter()
            .map(|line| paint::alarm(line, "dead"))
            .collect();
        let users = live::by_user(self.records).len();
        text.push(format!("{}, {}.", self.counted(), counted(users, "user")));
        let dead = lines.iter().filter(|(_, _, state)| *state == "dead");
        text.extend(dead.map(|(record, ..)| {
            format!(
                "Session {0} has lost its keeper: `berth kill {0}` removes what is left of it.",
                record.id
            )
        }));
        pager::lines(&text);
        Ok(())
    }

    fn users(&self) -> Result<(), Exit> {
        let users = live::by_user(self.records);
        let groups: Vec<_> = users
            .values()
            .map(|records| live::user_group(self.tree, records))
            .collect();
        if self.as_json {
            let (figures, _) = Figures::of_users(self.tree, &groups, &[]);
            let users = users.iter().zip(figures);
            let object = |((uid, records), figures): ((&u32, &Vec<&Record>), Figures)| {
                let first = records.first();
                let about = json!({
                    "user": first.map(|one| &one.user),
                    "uid": uid,
                    "sessions": live::ids(records.iter().copied()),
                    "profiles": live::profiles(records),
                    "pool": live::pool(records),
                    "age_seconds": oldest(records),
                });
                json::merged(about, figures.object())
            };
            return print_json("users", users.map(object).collect());
        }
        let mut table = vec![titles([
            "USER", "UID", "SESSIONS", "PROFILE", "POOL", "AGE", "TASKS", "CPU", "MEMORY",
        ])];
        for ((uid, records), used) in users.iter().zip(all_used(&groups)) {
            let mut line = vec![
                or_dash(records.first().map(|one| harmless(&one.user))),
                uid.to_string(),
                records.len().to_string(),
                live::profiles(records).join(","),
                or_dash(live::pool(records)),
                age(oldest(records)),
            ];
            line.extend(used);
            table.push(line);
        }
        let mut text = table::lines(&table, &[1, 2, 5, 6, 7, 8]);
        text.push(format!(
            "{}, {}.",
            counted(users.len(), "user"),
            self.counted()
        ));
        pager::lines(&text);
        Ok(())
    }

    fn pools(&self) -> Result<(), Exit> {
        let pools = live::by_pool(self.records);
        let groups: Vec<_> = pools
            .keys()
            .map(|pool| Some(self.tree?.pool(pool)))
            .collect();
        let names = |records: &[&Record]| {
            let users = live::by_user(records.iter().copied()).into_values();
            let names = users.filter_map(|records| Some(records.first()?.user.clone()));
            names.collect::<Vec<_>>()
        };
        if self.as_json {
            let pools = pools.iter().zip(Figures::of(&groups));
            let object = |((pool, records), figures): ((&String, &Vec<&Record>), Figures)| {
                let about = json!({
                    "pool": pool,
                    "users": names(records),
                    "sessions": live::ids(records.iter().copied()),
                    "age_seconds": oldest(records),
                });
                json::merged(about, figures.object())
            };
            return print_json("pools", pools.map(object).collect());
        }
        let mut table = vec![titles([
            "POOL", "USERS", "SESSIONS", "AGE", "TASKS", "CPU", "MEMORY",
        ])];
        for ((pool, records), used) in pools.iter().zip(all_used(&groups)) {
            let mut line = vec![
                pool.clone(),
                names(records).len().to_string(),
                records.len().to_string(),
                age(oldest(records)),
            ];
            line.extend(used);
            table.push(line);
        }
        let mut text = table::lines(&table, &[1, 2, 3, 4, 5, 6]);
        text.push(format!("{}.", counted(pools.len(), "pool")));
        pager::lines(&text);
        Ok(())
    }

    fn counted(&self) -> String {
        counted(self.records.len(), "session")
    }
}

/// What who is not root can see: their own cgroups.
fn to_user(arguments: &Arguments, tree: Option<&Tree>) -> Result<Exit, Exit> {
    let (Some((tree, group)), false) = (
        own_sessions::group(tree),
        arguments.pools || arguments.stale,
    ) else {
        return Err(Exit::Permission
            .because("only root may list that; `berth show` shows what there is of your own"));
    };
    match arguments.users {
        true => own_user(tree, group, arguments.json)?,
        false => own_sessions(tree, &group, arguments.json)?,
    }
    Ok(Exit::Done)
}

fn own_user(tree: &Tree, group: Group, as_json: bool) -> Result<(), Exit> {
    let (uid, name) = caller::user();
    let sessions = own_sessions::sessions(tree, &group).len();
    let (figures, _) = Figures::of_users(Some(tree), &[Some(group)], &[]);
    let figures = figures.into_iter().next().unwrap_or_default();
    if as_json {
        let about = json!({ "user": name, "uid": uid });
        return print_json("users", vec![json::merged(about, figures.object())]);
    }
    let titles = titles(["USER", "UID", "SESSIONS", "TASKS", "CPU", "MEMORY"]);
    let mut line = vec![name, uid.to_string(), sessions.to_string()];
    line.extend(cells(&figures));
    pager::lines(&table::lines(&[titles, line], &[1, 2, 3, 4, 5]));
    Ok(())
}

fn own_sessions(tree: &Tree, group: &Group, as_json: bool) -> Result<(), Exit> {
    let (uid, name) = caller::user();
    let sessions = own_sessions::sessions(tree, group);
    let groups: Vec<_> = sessions.iter().map(|own| Some(own.group.clone())).collect();
    let figures = Figures::of(&groups);
    let lines = sessions.iter().zip(&figures).map(|(own, figures)| {
        let state = match own.group.is_frozen() {
            true => "frozen",
            false => "active",
        };
        (own, figures, state)
    });
    if as_json {
        let object = |(own, figures, state): (&Own, &Figures, &str)| {
            let about = json!({ "user": name, "uid": uid, "state": state });
            json::merged(about, own.object(tree, figures))
        };
        return print_json("sessions", lines.map(object).collect());
    }
    let mut table = vec![titles([
        "SESSION", "USER", "TASKS", "CPU", "MEMORY", "STATE",
    ])];
    table.extend(lines.map(|(own, figures, state)| {
        let mut line = vec![own.name(), name.clone()];
        line.extend(cells(figures));
        line.push(state.into());
        line
    }));
    pager::lines(&table::lines(&table, &[0, 2, 3, 4]));
    Ok(())
}

fn titles<const N: usize>(titles: [&str; N]) -> Vec<String> {
    titles.map(String::from).to_vec()
}

/// The age of the oldest, in seconds.
fn oldest(records: &[&Record]) -> u64 {
    let ages = records.iter().map(|record| record.age());
    ages.max().unwrap_or(0)
}

fn print_json(key: &str, objects: Vec<Value>) -> Result<(), Exit> {
    json::print(json!({
        key: objects,
    }))
}

/// Tasks and memory.
fn used(group: Option<&Group>) -> [String; 2] {
    let tasks = group.and_then(|group| group.number::<u64>("pids.current"));
    let memory = group.and_then(|group| group.number("memory.current"));
    [or_dash(tasks), or_dash(memory.map(size))]
}

/// Tasks, CPU and memory of cgroups.
fn all_used(groups: &[Option<Group>]) -> Vec<[String; 3]> {
    let rates = Rates::begin(groups);
    let used = parallel::map(groups, |group| used(group.as_ref()));
    let both = used.into_iter().zip(rates.end(groups));
    both.map(|([tasks, memory], rate)| [tasks, or_dash(rate.map(percent)), memory])
        .collect()
}

fn cells(figures: &Figures) -> [String; 3] {
    [
        or_dash(figures.usage.tasks),
        or_dash(figures.cpu_percent.map(percent)),
        or_dash(figures.usage.memory.map(size)),
    ]
}
