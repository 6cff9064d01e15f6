//! What `top` shows, without a terminal: samples of figures come in, rows with rates come out, and keys change what is
//! looked at.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::time::Duration;

use berth_session::SessionId;

use super::history::History;
use super::keys::Mode;
use super::today::Bites;
use crate::figures::Figures;

/// What has a row each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum View {
    Users,
    Sessions,
    Pools,
}

/// What a row is of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    User(u32),
    Session(SessionId),
    /// One's own session, of which no more is known than its cgroup.
    Scope(String),
    Pool(String),
}

/// What rows are in the order of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Column {
    Name,
    Second,
    Third,
    Tasks,
    Cpu,
    Memory,
    Pressure,
}

impl Column {
    /// From left to right.
    pub const ALL: [Column; 7] = [
        Column::Name,
        Column::Second,
        Column::Third,
        Column::Tasks,
        Column::Cpu,
        Column::Memory,
        Column::Pressure,
    ];
}

/// One line, as it was read.
#[derive(Debug, Clone)]
pub struct Row {
    /// What it is of.
    pub key: Key,
    /// A user's, a session's or a pool's name, and two more texts about it.
    pub texts: [String; 3],
    /// What `berth freeze` calls it; without one there is nothing to be done to it.
    pub object: Option<String>,
    /// All its logins have ended.
    pub lingers: bool,
    /// A session of it is stale.
    pub is_stale: bool,
    /// All of it is stopped.
    pub is_frozen: bool,
    /// What it uses; the rate is worked out here.
    pub figures: Figures,
}

/// Whether a cap is reached. A rate is never quite its quota.
pub fn is_full(part: f64, whole: f64) -> bool {
    part >= whole * 0.97
}

impl Row {
    /// Whether it has come to a cap, or nearly.
    pub fn is_at_cap(&self) -> bool {
        let Figures { usage, limits, .. } = &self.figures;
        let number = |value: Option<u64>| value.map(|value| value as f64);
        let shares = [
            (self.figures.cpu_percent, limits.cpu_percent),
            (number(usage.memory), number(limits.memory)),
            (number(usage.tasks), number(limits.tasks)),
        ];
        let mut shares = shares
            .into_iter()
            .filter_map(|(part, whole)| part.zip(whole));
        shares.any(|(part, whole)| is_full(part, whole))
    }

    /// The longest of its waits, in percent of the last minute.
    pub fn pressure(&self) -> Option<f64> {
        let all = self.figures.pressure.each().into_iter();
        all.filter_map(|(_, wait)| wait).reduce(f64::max)
    }
}

/// The machine, and all users of it together.
#[derive(Debug, Clone, Default)]
pub struct Machine {
    /// Its name.
    pub host: String,
    /// Its time of day.
    pub clock: String,
    /// What has to run, on average of the last minute.
    pub load: Option<String>,
    /// How many CPUs it has.
    pub cpus: Option<f64>,
    /// Its memory, in bytes.
    pub memory: Option<u64>,
    /// How many sessions and users are on it.
    pub sessions: usize,
    /// And how many users.
    pub users: usize,
    /// What all of them use.
    pub figures: Figures,
    /// What their caps did.
    pub bites: Bites,
}

/// All that is read at one moment.
#[derive(Debug, Clone)]
pub struct Sample {
    /// The time since the start.
    pub at: Duration,
    /// The whole.
    pub machine: Machine,
    /// The parts.
    pub rows: Vec<Row>,
}

/// What is shown, and what is looked at.
#[derive(Debug)]
pub struct Model {
    /// What has a row each.
    pub view: View,
    /// What they are in the order of.
    pub sort: Column,
    /// Only what has this in one of its texts.
    pub filter: String,
    /// What is chosen.
    pub chosen: Option<Key>,
    /// What keys are for.
    pub mode: Mode,
    /// What is said in the line above the keys.
    pub message: Option<String>,
    /// How many seconds lie between two samples.
    pub delay: Duration,
    /// The first row that is shown.
    pub(super) first: usize,
    /// How many rows there is room for.
    pub(super) room: usize,
    now: Duration,
    machine: Machine,
    /// Those that the filter lets through, in order.
    rows: Vec<Row>,
    /// All of them.
    all: Vec<Row>,
    total: History,
    histories: HashMap<Key, History>,
}

impl Model {
    /// Nothing is known yet.
    pub fn new(view: View, delay: Duration) -> Model {
        Model {
            view,
            sort: Column::Cpu,
            filter: String::new(),
            chosen: None,
            mode: Mode::Table,
            message: None,
            delay,
            first: 0,
            room: 0,
            now: Duration::ZERO,
            machine: Machine::default(),
            rows: Vec::new(),
            all: Vec::new(),
            total: History::default(),
            histories: HashMap::new(),
        }
    }

    /// Takes a sample in.
    pub fn take(&mut self, sample: Sample) {
        self.now = sample.at;
        self.machine = sample.machine;
        let rate = |history: &mut History, figures: &mut Figures| {
            figures.cpu_percent = figures
                .usage
                .cpu_us
                .and_then(|used| history.take(sample.at, used));
        };
        rate(&mut self.total, &mut self.machine.figures);
        // What is gone has no history; what another view shows keeps its own for a change back.
        let mut old = std::mem::take(&mut self.histories);
        let view = self.view;
        self.all = sample.rows;
        for row in &mut self.all {
            let mut history = old.remove(&row.key).unwrap_or_default();
            rate(&mut history, &mut row.figures);
            self.histories.insert(row.key.clone(), history);
        }
        old.retain(|key, _| key.view() != view);
        self.histories.extend(old);
        self.arrange();
    }

    /// Puts the rows in order, and leaves out what is not looked for.
    pub(super) fn arrange(&mut self) {
        let looked_for = self.filter.to_lowercase();
        let is_wanted = |row: &&Row| {
            let mut texts = row.texts.iter();
            looked_for.is_empty() || texts.any(|text| text.to_lowercase().contains(&looked_for))
        };
        self.rows = self.all.iter().filter(is_wanted).cloned().collect();
        let sort = self.sort;
        self.rows.sort_by(|a, b| order(sort, a, b));
        let is_there = |key: &Key| self.rows.iter().any(|row| row.key == *key);
        self.chosen.take_if(|key| !is_there(key));
        self.scroll();
    }

    /// Nothing of another view's stays on the screen.
    pub(super) fn turn_to(&mut self, view: View) {
        self.view = view;
        self.all.clear();
        self.first = 0;
        self.arrange();
    }

    /// How many rows there is room for, on a terminal that may have changed.
    pub fn fit(&mut self, room: usize) {
        self.room = room;
        self.scroll();
    }

    /// Keeps what is chosen on the screen, and the screen full.
    pub(super) fn scroll(&mut self) {
        if let Some(place) = self.place() {
            let least = (place + 1).saturating_sub(self.room);
            self.first = self.first.clamp(least, place.max(least));
        }
        self.first = self.first.min(self.rows.len().saturating_sub(self.room));
    }

    /// Where what is chosen stands.
    pub(super) fn place(&self) -> Option<usize> {
        let chosen = self.chosen.as_ref()?;
        self.rows.iter().position(|row| row.key == *chosen)
    }

    /// The row that is chosen.
    pub fn chosen_row(&self) -> Option<&Row> {
        self.rows.get(self.place()?)
    }

    /// Every row that is looked for.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The rows that there is room for.
    pub fn on_screen(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().skip(self.first).take(self.room)
    }

    /// The machine.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// A row's last three minutes.
    pub fn history(&self, key: &Key) -> String {
        let history = self.histories.get(key);
        history.map_or_else(String::new, |history| history.line(self.now))
    }
}

impl Key {
    fn view(&self) -> View {
        match self {
            Key::User(_) => View::Users,
            Key::Session(_) | Key::Scope(_) => View::Sessions,
            Key::Pool(_) => View::Pools,
        }
    }
}

/// Texts from A to Z, figures from the most to none; equals by name.
fn order(sort: Column, a: &Row, b: &Row) -> Ordering {
    let texts = |index: usize| a.texts.get(index).cmp(&b.texts.get(index));
    let most = |of: fn(&Row) -> Option<f64>| {
        let [a, b] = [of(a), of(b)].map(|value| value.unwrap_or(-1.0));
        b.total_cmp(&a)
    };
    let by_column = match sort {
        // Of sessions, by number.
        Column::Name => Ordering::Equal,
        Column::Second => texts(1),
        Column::Third => texts(2),
        Column::Tasks => most(|row| row.figures.usage.tasks.map(|tasks| tasks as f64)),
        Column::Cpu => most(|row| row.figures.cpu_percent),
        Column::Memory => most(|row| row.figures.usage.memory.map(|bytes| bytes as f64)),
        Column::Pressure => most(Row::pressure),
    };
    let by_name = || match (&a.key, &b.key) {
        (Key::Session(a), Key::Session(b)) => a.cmp(b),
        _ => texts(0).then_with(|| a.key.cmp(&b.key)),
    };
    by_column.then_with(by_name)
}
