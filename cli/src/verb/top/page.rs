//! The lines of `top`: of a screen, and of a page for scripts.

use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};

use std::time::{Duration, UNIX_EPOCH};

use berth_config::{LocalTime, counted};

use super::keys::Mode;
use super::model::{Column, Model, Row, View, is_full};
use super::today::{Bites, Since};
use crate::figures::Figures;
use crate::readable::{gauge, harmless, or_dash, percent, size};

/// The narrowest and the lowest screen.
pub const SMALLEST: (u16, u16) = (80, 10);

/// The lines above the rows.
const ABOVE: usize = 5;

/// The lines below the rows: a blank one, one for what is said, the keys.
const BELOW: usize = 3;

/// The least widths of the columns of texts, and their most.
const TEXTS: [usize; 3] = [8, 7, 6];
const WIDEST: usize = 32;

/// How wide the bars of rows are, and those of the machine.
const SHORT: usize = 8;
const LONG: usize = 16;

const KEYS: &str =
    "u users  s sessions  p pools  <> sort  f freeze  t thaw  k kill  / find  q quit";
const MARKS: &str = "! at a cap  F frozen  L lingering  S stale: opened under an older policy";

/// Whether there are colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paint {
    Colours,
    Plain,
}

impl Paint {
    fn of(self, colour: Color) -> Style {
        match self {
            Paint::Colours => Style::new().fg(colour),
            Paint::Plain => Style::new(),
        }
    }
}

/// How many rows a screen of this height has room for.
pub fn room(height: u16) -> usize {
    usize::from(height).saturating_sub(ABOVE + BELOW)
}

/// A whole screen.
pub fn screen(model: &Model, (width, height): (u16, u16), paint: Paint) -> Vec<Line<'static>> {
    if width < SMALLEST.0 || height < SMALLEST.1 {
        return too_small((width, height));
    }
    let columns = Columns::of(width.into());
    let mut lines = head(model, width.into(), paint);
    lines.push(columns.titles(model, paint));
    lines.extend(model.on_screen().map(|row| {
        let line = columns.row(model, row, paint);
        match model.chosen.as_ref() == Some(&row.key) {
            true => line.patch_style(Modifier::REVERSED),
            false => line,
        }
    }));
    lines.resize(
        usize::from(height).saturating_sub(BELOW - 1),
        Line::default(),
    );
    lines.push(said(model));
    lines.push(KEYS.into());
    lines
}

/// All rows, for a script.
pub fn text(model: &Model, width: u16) -> String {
    let width = width.max(SMALLEST.0).into();
    let columns = Columns::of(width);
    let mut lines = head(model, width, Paint::Plain);
    lines.push(columns.titles(model, Paint::Plain));
    let rows = model.rows().iter();
    lines.extend(rows.map(|row| columns.row(model, row, Paint::Plain)));
    let lines = lines
        .iter()
        .map(|line| line.to_string().trim_end().to_owned() + "\n");
    lines.collect()
}

fn too_small((width, height): (u16, u16)) -> Vec<Line<'static>> {
    let (columns, rows) = SMALLEST;
    vec![
        format!("berth top needs {columns} columns and {rows} rows,").into(),
        format!("and this terminal has {width} and {height}.").into(),
        "q quit".into(),
    ]
}

/// The machine, and a blank line.
fn head(model: &Model, width: usize, paint: Paint) -> Vec<Line<'static>> {
    let machine = model.machine();
    let title = format!(
        "berth top  {}  {}    {}, {}    load {}    every {}s",
        harmless(&machine.host),
        machine.clock,
        counted(machine.sessions, "session"),
        counted(machine.users, "user"),
        machine.load.as_deref().unwrap_or("-"),
        model.delay.as_secs_f64(),
    );
    let Figures {
        cpu_percent,
        usage,
        limits,
        pressure,
    } = &machine.figures;
    let share = |name, part: Option<f64>, whole: Option<f64>, text: fn(f64) -> String| {
        let of = whole.map(|whole| format!(" of {}", text(whole).replacen(".0", "", 1)));
        let figure = or_dash(part.map(text)) + &of.unwrap_or_default();
        let bar = part
            .zip(whole)
            .map(|(part, whole)| gauge(part, whole, LONG));
        (format!("{name}{figure}"), bar.unwrap_or_default())
    };
    // What everyone together may have, where that is less than the machine.
    let least =
        |cap: Option<f64>, whole: Option<f64>| cap.into_iter().chain(whole).reduce(f64::min);
    let bytes = |bytes: Option<u64>| bytes.map(|bytes| bytes as f64);
    let (cpu, cpu_bar) = share(
        "CPU      ",
        *cpu_percent,
        least(limits.cpu_percent, machine.cpus.map(|cpus| cpus * 100.0)),
        percent,
    );
    let (memory, memory_bar) = share(
        "Memory  ",
        bytes(usage.memory),
        least(bytes(limits.memory), bytes(machine.memory)),
        |bytes| size(bytes as u64),
    );
    let bar = |bar: String| Span::styled(format!("{bar:LONG$}"), paint.of(Color::Green));
    let left = width / 2 - LONG;
    let waits = pressure
        .each()
        .map(|(name, wait)| format!("{name} {}", or_dash(wait.map(percent))));
    let bites = self::bites(&machine.bites);
    vec![
        Line::styled(fit(&title, width), Modifier::BOLD),
        Line::from(vec![
            Span::raw(fit(&cpu, left)),
            bar(cpu_bar),
            Span::raw("   "),
            Span::raw(fit(&memory, width - width / 2 - LONG - 3)),
            bar(memory_bar),
        ]),
        fit(
            &format!(
                "{:<width$}{bites}",
                format!("Pressure {}", waits.join(" ")),
                width = width / 2 + 3
            ),
            width,
        )
        .into(),
        Line::default(),
    ]
}

/// `Today   3 OOM kills, 12 refused tasks`, and where that is not known in the same places what is.
fn bites(bites: &Bites) -> String {
    let Bites {
        killed, refused, ..
    } = *bites;
    let (since, tasks) = match (bites.since, refused) {
        (Since::Opened(moment), _) => {
            let day = UNIX_EPOCH.checked_add(Duration::from_secs(moment));
            let day = day.and_then(LocalTime::of);
            let day = day.map(|day| format!("Since {:02}-{:02}", day.month, day.day));
            (day.unwrap_or_default(), "")
        }
        (Since::Midnight, 1) => ("Today ".into(), " task"),
        (Since::Midnight, _) => ("Today ".into(), " tasks"),
        (Since::Unknown, 1) => ("So far".into(), " task"),
        (Since::Unknown, _) => ("So far".into(), " tasks"),
    };
    let killed = counted(killed, "OOM kill");
    format!("{since}  {killed}, {refused} refused{tasks}")
}

/// What stands above the keys: a question, a text that is typed, what was said last, or what the marks mean.
fn said(model: &Model) -> Line<'static> {
    match (&model.mode, &model.message) {
        (Mode::Find, _) => format!(
            "find: {}_   (Enter to keep it, Esc to drop it)",
            harmless(&model.filter)
        )
        .into(),
        (Mode::Kill(object), _) => Line::styled(
            format!("End all that {} runs? y/N", harmless(&named(object))),
            Modifier::BOLD,
        ),
        (Mode::Table, Some(message)) => harmless(message).into(),
        (Mode::Table, None) if !model.filter.is_empty() => format!(
            "only what has {:?} in it   (Esc to see all)",
            harmless(&model.filter)
        )
        .into(),
        (Mode::Table, None) => MARKS.into(),
    }
}

/// `session 12`, `user alice`.
fn named(object: &str) -> String {
    match object.split_once(':') {
        Some((kind, name)) => format!("{kind} {name}"),
        None => format!("session {object}"),
    }
}

/// How wide the columns are.
#[derive(Debug, Clone, Copy)]
struct Columns {
    texts: [usize; 3],
}

impl Columns {
    /// What there is beyond the least goes to the texts.
    fn of(width: usize) -> Columns {
        let more = width.saturating_sub(SMALLEST.0.into()) / TEXTS.len();
        Columns {
            texts: TEXTS.map(|least| (least + more).min(WIDEST)),
        }
    }

    fn titles(self, model: &Model, paint: Paint) -> Line<'static> {
        let texts = match model.view {
            View::Users => ["USER", "PROFILE", "POOL"],
            View::Sessions => ["SESSION", "USER", "SERVICE"],
            View::Pools => ["POOL", "USERS", "SESS"],
        };
        let [name, second, third] = texts;
        let [tasks, cpu, memory, pressure] = ["TASKS", "CPU", "MEMORY", "PSI"];
        let [first_width, second_width, third_width] = self.texts;
        let titles = [
            (Column::Name, "", name, first_width + 1),
            (Column::Second, "", second, second_width + 1),
            (Column::Third, "", third, third_width + 1),
            (Column::Tasks, "  ", tasks, 5),
            (Column::Cpu, "   ", cpu, 3),
            (Column::Memory, " OF CAP   ", memory, 6),
            (Column::Pressure, " OF CAP    ", pressure, 3),
        ];
        let mut spans = Vec::new();
        for (column, before, title, width) in titles {
            spans.push(Span::raw(before));
            let rest = width.saturating_sub(title.len());
            let style = match column == model.sort {
                true => Style::new().add_modifier(Modifier::UNDERLINED),
                false => Style::new(),
            };
            spans.push(Span::styled(fit(title, width - rest), style));
            spans.push(Span::raw(" ".repeat(rest)));
        }
        spans.push(Span::raw(" 3 MIN"));
        Line::from(spans).style(paint.of(Color::Cyan).add_modifier(Modifier::BOLD))
    }

    fn row(self, model: &Model, row: &Row, paint: Paint) -> Line<'static> {
        let Figures { usage, limits, .. } = &row.figures;
        let number = |value: Option<u64>| value.map(|value| value as f64);
        let mut text = String::new();
        for (cell, width) in row.texts.iter().zip(self.texts) {
            text += &fit(&harmless(cell), width);
            text.push(' ');
        }
        let tasks = usage.tasks.map(|tasks| self::tasks(tasks, limits.tasks));
        text += &format!("{:>7}", or_dash(tasks));
        let bar = |part: Option<f64>, whole: Option<f64>| {
            let shown = part.zip(whole).map(|(part, whole)| {
                let colour = match is_full(part, whole) {
                    true => Color::Red,
                    false => Color::Green,
                };
                (gauge(part, whole, SHORT), colour)
            });
            let (bar, colour) = shown.unwrap_or((String::new(), Color::Reset));
            Span::styled(format!(" {bar:SHORT$}"), paint.of(colour))
        };
        let cpu = or_dash(row.figures.cpu_percent.map(percent));
        let memory = or_dash(usage.memory.map(size));
        Line::from(vec![
            Span::raw(text),
            Span::raw(format!("{cpu:>6}")),
            bar(row.figures.cpu_percent, limits.cpu_percent),
            Span::raw(format!("{memory:>7}")),
            bar(number(usage.memory), number(limits.memory)),
            Span::raw(format!("{:>5} ", or_dash(row.pressure().map(percent)))),
            Span::styled(
                format!("{:SHORT$} ", model.history(&row.key)),
                paint.of(Color::Blue),
            ),
            Span::styled(marks(row), paint.of(Color::Red)),
        ])
    }
}

/// What is to be said of a row, in three places at most.
fn marks(row: &Row) -> String {
    let all = [
        (row.is_at_cap(), '!'),
        (row.is_frozen, 'F'),
        (row.lingers, 'L'),
        (row.is_stale, 'S'),
    ];
    let marks = all.into_iter().filter(|(is_so, _)| *is_so);
    marks.map(|(_, mark)| mark).take(3).collect()
}

/// `61/512` in seven places, or as much of it as they have room for.
fn tasks(tasks: u64, most: Option<u64>) -> String {
    let of = most.map(|most| {
        [
            format!("{tasks}/{most}"),
            format!("{tasks}/{}k", most / 1000),
        ]
    });
    let mut fitting = of.into_iter().flatten().filter(|text| text.len() <= 7);
    fitting.next().unwrap_or_else(|| tasks.to_string())
}

/// A text in just so many places; `+` is where it was cut.
fn fit(text: &str, width: usize) -> String {
    let wide = Span::raw(text).width();
    if wide <= width {
        return format!("{text}{:1$}", "", width - wide);
    }
    let mut cut = String::new();
    let mut used = 0;
    for letter in text.chars() {
        let wide = Span::raw(letter.to_string()).width();
        if used + wide + 1 > width {
            break;
        }
        cut.push(letter);
        used += wide;
    }
    format!("{cut}+{:1$}", "", width.saturating_sub(used + 1))
}

#[cfg(test)]
mod tests;
