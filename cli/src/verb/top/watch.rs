//! Reads what `top` shows. A machine may have thousands of sessions, so each time only that is read of every row which
//! its rate and its place in the order need; the rest of it when it is on the screen, and in turns.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Instant;

use berth_config::{LocalTime, Login, Policy};
use berth_session::{Group, Limits, Record, SessionId, State, Tree, tasks_refused};

use super::model::{Column, Key, Machine, Model, Row, Sample, View};
use super::today::{Bites, Since, Today};
use crate::caller;
use crate::exit::Exit;
use crate::figures::Figures;
use crate::live;
use crate::own_sessions;
use crate::stale::Stale;

/// What does not change from one moment to the next is read of each row once in so many times.
const TURNS: usize = 20;

/// Everything that is kept from one time to the next.
pub struct Watch {
    tree: Option<Tree>,
    began: Instant,
    turn: usize,
    /// Read once each: a record that is changed is another file.
    records: BTreeMap<SessionId, (u64, Record)>,
    known: HashMap<Key, Known>,
    stale: Stale,
    today: Today,
    /// What does not change.
    machine: Machine,
}

/// What was read of a row, now or some turns ago.
#[derive(Debug, Clone, Default)]
struct Known {
    figures: Figures,
    is_frozen: bool,
}

impl Watch {
    /// Nothing is read yet but how big the machine is.
    pub fn new() -> Result<Watch, Exit> {
        let tree = live::tree()?;
        let root = tree.as_ref().map(|tree| tree.root().path());
        let size = berth_config::Machine::read(root).ok();
        Ok(Watch {
            began: Instant::now(),
            turn: 0,
            records: BTreeMap::new(),
            known: HashMap::new(),
            stale: Stale::default(),
            today: Today::default(),
            machine: Machine {
                host: Login::here().host,
                cpus: size.as_ref().map(|size| size.cpus.len() as f64),
                memory: size.map(|size| size.memory),
                ..Machine::default()
            },
            tree,
        })
    }

    /// Whether this user has anything to be shown.
    pub fn is_of_use(&self) -> bool {
        caller::is_root() || own_sessions::group(self.tree.as_ref()).is_some()
    }

    /// Reads all that this view of the model needs.
    pub fn sample(&mut self, model: &Model) -> berth_session::Result<Sample> {
        let on_screen: HashSet<&Key> = model.on_screen().map(|row| &row.key).collect();
        let mut rows = match caller::is_root() {
            true => {
                self.read_records()?;
                self.rows(model.view)
            }
            false => self.own_rows(model.view),
        };
        let at = self.began.elapsed();
        let mut known = HashMap::with_capacity(rows.len());
        for (index, (row, group)) in rows.iter_mut().enumerate() {
            let old = self.known.remove(&row.key);
            let is_due =
                old.is_none() || (index + self.turn) % TURNS == 0 || on_screen.contains(&row.key);
            let mut now = old.unwrap_or_default();
            match group {
                Some(group) if is_due => now.read(self.tree.as_ref(), &row.key, group),
                Some(group) => now.read_least(group, model.sort),
                None => {}
            }
            row.figures = now.figures.clone();
            row.is_frozen = now.is_frozen;
            known.insert(row.key.clone(), now);
        }
        self.known = known;
        self.turn = self.turn.wrapping_add(1);
        Ok(Sample {
            at,
            machine: self.machine(&rows),
            rows: rows.into_iter().map(|(row, _)| row).collect(),
        })
    }

    fn read_records(&mut self) -> berth_session::Result<()> {
        let mut old = std::mem::take(&mut self.records);
        for (id, inode) in Record::files()? {
            let kept = old.remove(&id).filter(|(file, _)| *file == inode);
            // One that cannot be read is for `berth list` to tell of.
            let record = kept
                .map(|(_, record)| record)
                .or_else(|| Record::read(id).ok());
            if let Some(record) = record {
                self.records.insert(id, (inode, record));
            }
        }
        let (tree, today, turn) = (self.tree.as_ref(), &mut self.today, self.turn);
        let records = self.records.values().map(|(_, record)| record);
        let users = live::by_user(records.clone());
        let due: Vec<_> = records
            .enumerate()
            .filter(|(index, record)| (index + turn) % TURNS == 0 || today.is_new(record.id))
            .map(|(_, record)| {
                let user = users.get(&record.uid);
                let user = user.and_then(|records| live::user_group(tree, records));
                (record, [live::group(tree, record), user])
            })
            .collect();
        today.look(due.into_iter());
        if turn % TURNS == 0 {
            let records = self.records.values().map(|(_, record)| record);
            self.stale = Stale::find(records);
            let policy = Policy::load_system().ok();
            let file = policy.and_then(|policy| policy.accounting().file);
            let records = &self.records;
            today.account(file, |id| records.contains_key(&id));
        }
        Ok(())
    }

    fn records(&self) -> impl Iterator<Item = &Record> {
        self.records.values().map(|(_, record)| record)
    }

    /// What has a row, and its cgroup.
    fn rows(&self, view: View) -> Vec<(Row, Option<Group>)> {
        let tree = self.tree.as_ref();
        match view {
            View::Sessions => {
                let row = |record: &Record| {
                    let texts = [
                        record.id.to_string(),
                        record.user.clone(),
                        record.service.clone(),
                    ];
                    let key = Key::Session(record.id);
                    let row = self.row(key, texts, record.id.to_string(), &[record]);
                    (row, live::group(tree, record))
                };
                self.records().map(row).collect()
            }
            View::Users => {
                let users = live::by_user(self.records()).into_iter();
                users
                    .filter_map(|(uid, records)| {
                        let first = *records.first()?;
                        let pool = live::pool(&records).unwrap_or("-").to_owned();
                        let texts = [first.user.clone(), first.profile.clone(), pool];
                        let object = format!("user:{}", first.user);
                        let row = self.row(Key::User(uid), texts, object, &records);
                        Some((row, live::user_group(tree, &records)))
                    })
                    .collect()
            }
            View::Pools => {
                let pools = live::by_pool(self.records()).into_iter();
                pools
                    .map(|(pool, records)| {
                        let users = live::by_user(records.iter().copied()).len();
                        let texts = [pool.clone(), users.to_string(), records.len().to_string()];
                        let object = format!("pool:{pool}");
                        let group = tree.map(|tree| tree.pool(&pool));
                        (self.row(Key::Pool(pool), texts, object, &records), group)
                    })
                    .collect()
            }
        }
    }

    /// A row of these sessions, without figures.
    fn row(&self, key: Key, texts: [String; 3], object: String, records: &[&Record]) -> Row {
        Row {
            key,
            texts,
            object: Some(object),
            lingers: records.iter().all(|record| record.state == State::Linger),
            is_stale: records.iter().any(|record| self.stale.has(record)),
            is_frozen: false,
            figures: Figures::default(),
        }
    }

    /// What who is not root can see.
    fn own_rows(&self, view: View) -> Vec<(Row, Option<Group>)> {
        let (uid, name) = caller::user();
        let row = |key, first: &str, second: &str, group: Group| {
            let texts = [first, second, "-"].map(String::from);
            let mut row = self.row(key, texts, String::new(), &[]);
            (row.object, row.lingers) = (None, false);
            (row, Some(group))
        };
        let Some((tree, user)) = own_sessions::group(self.tree.as_ref()) else {
            return Vec::new();
        };
        match view {
            View::Users => vec![row(Key::User(uid), &name, "-", user)],
            View::Sessions => own_sessions::sessions(tree, &user)
                .into_iter()
                .map(|own| {
                    let key = own.id.map_or_else(|| Key::Scope(own.name()), Key::Session);
                    row(key, &own.name(), &name, own.group)
                })
                .collect(),
            View::Pools => Vec::new(),
        }
    }

    /// The whole.
    fn machine(&self, rows: &[(Row, Option<Group>)]) -> Machine {
        let load = std::fs::read_to_string("/proc/loadavg").ok();
        let load = load.and_then(|load| load.split(' ').next().map(String::from));
        let all = self
            .tree
            .as_ref()
            .map(|tree| Figures::now(&tree.everyone()));
        let clock = LocalTime::now().map(|time| time.to_string());
        let clock = clock.and_then(|clock| clock.split(' ').nth(1).map(String::from));
        let (sessions, users, bites) = match caller::is_root() {
            true => {
                let users = live::by_user(self.records()).len();
                (self.records.len(), users, self.today.bites())
            }
            false => (rows.len(), 1, self.own_bites().unwrap_or_default()),
        };
        Machine {
            clock: clock.unwrap_or_default(),
            load,
            sessions,
            users,
            figures: all.unwrap_or_default(),
            bites,
            ..self.machine.clone()
        }
    }

    /// Who is not root does not see what has ended.
    fn own_bites(&self) -> Option<Bites> {
        let (tree, user) = own_sessions::group(self.tree.as_ref())?;
        let of_sessions = || {
            let sessions = own_sessions::sessions(tree, &user).into_iter();
            let refused = sessions.filter_map(|own| tasks_refused(&own.group));
            refused.fold(0, u64::saturating_add)
        };
        Some(Bites {
            killed: user.keyed("memory.events", "oom_kill").unwrap_or(0),
            refused: tasks_refused(&user).unwrap_or_else(of_sessions),
            since: Since::Unknown,
        })
    }
}

impl Known {
    fn read(&mut self, tree: Option<&Tree>, key: &Key, group: &Group) {
        self.figures = Figures::now(group);
        if let (Key::User(_), Some(tree)) = (key, tree) {
            self.figures.limits = Limits::of_user(tree, group);
        }
        self.is_frozen = group.is_frozen();
    }

    fn read_least(&mut self, group: &Group, sort: Column) {
        let usage = &mut self.figures.usage;
        usage.cpu_us = group.keyed("cpu.stat", "usage_usec");
        match sort {
            Column::Memory => usage.memory = group.number("memory.current"),
            Column::Tasks => usage.tasks = group.number("pids.current"),
            // The pressure is a mean of the last minute.
            _ => {}
        }
    }
}
