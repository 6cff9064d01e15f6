//! The figures, as a table for people and as JSON.

use std::fmt::Write;
use std::time::Duration;

use serde_json::{Value, json};

use crate::memory::Memory;
use crate::sample::{Kind, Measured, milliseconds};

/// Everything that was measured.
#[derive(Debug)]
pub struct Report {
    /// Times.
    pub regimes: Vec<Measured<Kind>>,
    /// Memory.
    pub memory: Memory,
}

/// What a kind is called.
pub fn label(kind: Kind) -> &'static str {
    match kind {
        Kind::Floor => "floor",
        Kind::Plain => "without_berth",
        Kind::Namespaces => "namespaces",
        Kind::Cgroup => "namespaces_and_cgroup",
        Kind::SessionLine => "without_account_line",
        Kind::Account => "account_phase",
        Kind::Close => "close",
        Kind::PamNamespace => "pam_namespace",
        Kind::Bubblewrap => "bwrap",
        Kind::True => "true",
    }
}

/// What is added to the median of what a kind is compared with, and how many floors that is.
fn added(regime: &Measured<Kind>, kind: Kind) -> Option<(Duration, f64)> {
    let added = regime.added(kind, kind.base()?);
    let floor = regime.figures(Kind::Floor).p50;
    Some((added, added.as_secs_f64() / floor.as_secs_f64()))
}

impl Report {
    /// For people.
    pub fn table(&self) -> String {
        let mut text = String::from(
            "pam_open_session, or what is named: pam_acct_mgmt, pam_close_session; milliseconds\n\
             floor: the bare system calls for the same namespaces\n\n\
             regime  what                       p50      p99      max    added  floors\n",
        );
        for regime in &self.regimes {
            for kind in Kind::ALL {
                let figures = regime.figures(kind);
                let [p50, p99, max] = [figures.p50, figures.p99, figures.max].map(milliseconds);
                let (name, what) = (regime.regime.name(), label(kind));
                let _ = write!(
                    text,
                    "{name:<7} {what:<22} {p50:>7.3}  {p99:>7.3}  {max:>7.3}"
                );
                if let Some((added, floors)) = added(regime, kind) {
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
            memory.processes
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
                if let Some((added, floors)) = added(regime, kind) {
                    value["added_s"] = json!(added.as_secs_f64());
                    value["floors"] = json!(floors);
                }
                value
            });
            json!({ "regime": regime.regime.name(), "kinds": kinds })
        });
        let by_name = self.memory.by_name.iter();
        let by_name = by_name.map(|(name, bytes)| json!({ "name": name, "private_bytes": bytes }));
        json!({
            "version": 1,
            "regimes": regimes.collect::<Vec<_>>(),
            "memory": {
                "sessions": self.memory.sessions,
                "processes": self.memory.processes,
                "private_bytes": self.memory.private,
                "by_name": by_name.collect::<Vec<_>>(),
            },
        })
    }
}
