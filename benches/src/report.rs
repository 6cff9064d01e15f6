//! The figures, as a table for people and as JSON.

use std::fmt::Write;
use std::time::Duration;

use serde_json::{Value, json};

use crate::memory::Memory;
use crate::sample::{Kind, Measured, Regime};

/// Everything that was measured.
#[derive(Debug)]
pub struct Report {
    /// Times.
    pub regimes: Vec<Measured>,
    /// Memory.
    pub memory: Memory,
}

/// Three figures of one kind of sample.
struct Figures {
    p50: Duration,
    p99: Duration,
    max: Duration,
}

impl Figures {
    fn of(sorted: &[Duration]) -> Figures {
        let at = |percent: usize| {
            let index = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
            sorted.get(index).copied().unwrap_or_default()
        };
        Figures {
            p50: at(50),
            p99: at(99),
            max: at(100),
        }
    }
}

impl Measured {
    fn name(&self) -> &'static str {
        match self.regime {
            Regime::Hot => "hot",
            Regime::Cold(_) => "cold",
        }
    }

    fn figures(&self, kind: Kind) -> Figures {
        let samples = self.samples.iter().find(|(of, _)| *of == kind);
        Figures::of(samples.map_or(&[], |(_, samples)| samples))
    }

    /// What Berth adds to the median, and how many floors that is.
    fn added(&self, kind: Kind) -> (Duration, f64) {
        let added = self
            .figures(kind)
            .p50
            .saturating_sub(self.figures(Kind::Plain).p50);
        let floor = self.figures(Kind::Floor).p50.as_secs_f64();
        (added, added.as_secs_f64() / floor)
    }
}

fn label(kind: Kind) -> &'static str {
    match kind {
        Kind::Floor => "floor",
        Kind::Plain => "without_berth",
        Kind::Namespaces => "namespaces",
        Kind::Cgroup => "namespaces_and_cgroup",
        Kind::SessionLine => "without_account_line",
        Kind::Account => "account_phase",
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

impl Report {
    /// For people.
    pub fn table(&self) -> String {
        let mut text = String::from(
            "pam_open_session, and pam_acct_mgmt in the account phase, milliseconds\n\
             floor: the bare system calls for the same namespaces\n\n\
             regime  what                       p50      p99      max    added  floors\n",
        );
        for regime in &self.regimes {
            for kind in Kind::ALL {
                let figures = regime.figures(kind);
                let [p50, p99, max] = [figures.p50, figures.p99, figures.max].map(milliseconds);
                let (name, what) = (regime.name(), label(kind));
                let _ = write!(
                    text,
                    "{name:<7} {what:<22} {p50:>7.3}  {p99:>7.3}  {max:>7.3}"
                );
                if !matches!(kind, Kind::Floor | Kind::Plain) {
                    let (added, floors) = regime.added(kind);
                    let _ = write!(text, "  {:>7.3}  {floors:>6.1}", milliseconds(added));
                }
                text.push('\n');
            }
        }
        let memory = &self.memory;
        let _ = writeln!(
            text,
            "\nprivate memory for each of {} sessions: {} KiB in {:.2} processes",
            memory.sessions,
            memory.private / 1024,
            memory.processes_hundredths as f64 / 100.0
        );
        for (name, bytes) in &memory.by_name {
            let _ = writeln!(text, "  {name:<16} {:>6} KiB", bytes / 1024);
        }
        text
    }

    /// For programs.
    pub fn json(&self) -> Value {
        let regimes = self.regimes.iter().map(|regime| {
            let kinds = Kind::ALL.map(|kind| {
                let figures = regime.figures(kind);
                let mut value = json!({
                    "what": label(kind),
                    "p50_s": figures.p50.as_secs_f64(),
                    "p99_s": figures.p99.as_secs_f64(),
                    "max_s": figures.max.as_secs_f64(),
                });
                if !matches!(kind, Kind::Floor | Kind::Plain) {
                    let (added, floors) = regime.added(kind);
                    value["added_s"] = json!(added.as_secs_f64());
                    value["floors"] = json!(floors);
                }
                value
            });
            json!({ "regime": regime.name(), "kinds": kinds })
        });
        let by_name = self.memory.by_name.iter();
        let by_name = by_name.map(|(name, bytes)| json!({ "name": name, "private_bytes": bytes }));
        json!({
            "version": 1,
            "regimes": regimes.collect::<Vec<_>>(),
            "memory": {
                "sessions": self.memory.sessions,
                "processes": self.memory.processes_hundredths as f64 / 100.0,
                "private_bytes": self.memory.private,
                "by_name": by_name.collect::<Vec<_>>(),
            },
        })
    }
}
