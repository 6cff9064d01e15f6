//! `berth report`: what sessions that have ended used, summed up.

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{SystemTime, UNIX_EPOCH};

use berth_config::{LocalTime, Policy, counted};
use berth_session::{Error, Ledger};
use serde_json::{Value, json};

use crate::exit::{Exit, denied, not_so};
use crate::progress::meanwhile;
use crate::readable::{bar, cpu_time, harmless, or_dash, size, span};
use crate::{json, pager, place, table, when, whole};

mod sums;

use sums::{By, Report, Sums};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit status: 0 reported; 1 the policy in force names no accounting file, FILE is not there, or
what --csv or --json prints could not be written; 3 the policy has an error; 4 only root may read
the file; 5 some of its lines are no records.

A session counts at the moment when it ended. TIME is a date or a date and time in the
machine's time, as in 2026-11-24 or 2026-11-24T08:00, RFC 3339 with an offset, or a length
of time before now, as in 7d or 12h.")]
pub struct Arguments {
    /// Sessions that ended at this TIME or later
    #[arg(long, value_name = "TIME", value_parser = when::moment)]
    since: Option<SystemTime>,
    /// Sessions that ended before this TIME
    #[arg(long, value_name = "TIME", value_parser = when::moment)]
    until: Option<SystemTime>,
    /// A line for each of these
    #[arg(long, value_enum, default_value_t = By::User)]
    by: By,
    /// This accounting file instead of the one that the policy in force names
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// Print comma-separated values, with a line of headings
    #[arg(long)]
    csv: bool,
}

pub fn run(arguments: &Arguments) -> Result<Exit, Exit> {
    let file = match &arguments.file {
        Some(file) => file.clone(),
        None => file_of_policy()?,
    };
    let ledger = Ledger::to_read(file);
    let since = arguments.since.unwrap_or(UNIX_EPOCH);
    let mut report = Report::new(arguments.by, since, arguments.until);
    let records = AtomicU64::new(0);
    let so_many = || format!("{} read", counted(records.load(Relaxed), "record"));
    let torn = meanwhile(so_many, || {
        ledger.read(since, |entry| {
            records.fetch_add(1, Relaxed);
            report.add(entry);
        })
    });
    let torn = torn.map_err(|error| unreadable(&error))? + report.without_time;
    // The policy's own is made with the first record.
    if arguments.file.is_some() && report.total.sessions + torn == 0 && !ledger.file.exists() {
        return Err(not_so(format!(
            "there is no file {}",
            ledger.file.display()
        )));
    }
    if arguments.json {
        print_json(arguments, &report, torn)?;
    } else if arguments.csv {
        whole::print(csv(&report))?;
    } else {
        pager::lines(&[text(&report, io::stdout().is_terminal())]);
    }
    if torn == 0 {
        return Ok(Exit::Done);
    }
    let what = counted(torn, "line");
    let file = ledger.file.display();
    eprintln!(
        "berth: {what} of {file} and what was set aside from it: no record, as a crash leaves it"
    );
    Ok(Exit::Partly)
}

fn file_of_policy() -> Result<PathBuf, Exit> {
    let policy = Policy::load_system().map_err(place::policy_error)?;
    policy.accounting().file.ok_or_else(|| {
        not_so("the policy in force names no accounting file: set `file` in [accounting]")
    })
}

fn unreadable(error: &Error) -> Exit {
    match error {
        Error::File { source, .. } if denied(source) => Exit::Permission.because(format!(
            "{error}; only root sees what everybody used, and `berth show` shows your own sessions"
        )),
        _ => not_so(error),
    }
}

/// The table, with bars for people.
fn text(report: &Report, bars: bool) -> String {
    let by = report.by.word();
    let mut heads = vec![by.to_uppercase()];
    heads.extend(["SESSIONS", "TIME", "CPU", "PEAK", "READ", "WRITTEN", "OOM"].map(String::from));
    let groups = report.groups();
    let most = groups.iter().filter_map(|(_, sums)| sums.cpu_us()).max();
    if bars {
        heads.insert(4, String::new());
    }
    let mut lines = vec![heads];
    for (name, sums) in groups.iter().chain([&("total", &report.total)]) {
        let mut line = vec![
            harmless(name),
            sums.sessions.to_string(),
            span(sums.seconds),
            or_dash(sums.cpu_us().map(cpu_time)),
            or_dash(sums.memory_peak.map(size)),
            or_dash(sums.io_read.map(size)),
            or_dash(sums.io_write.map(size)),
            or_dash(sums.oom_kills),
        ];
        if bars {
            let is_total = std::ptr::eq(*sums, &raw const report.total);
            let share = sums.cpu_us().zip(most).filter(|_| !is_total);
            let share = share.map(|(part, most)| bar(part as f64, most.max(1) as f64));
            line.insert(4, share.unwrap_or_default());
        }
        lines.push(line);
    }
    let right: Vec<usize> = (1..9).filter(|column| !(bars && *column == 4)).collect();
    table::lines(&lines, &right).join("\n")
}

fn print_json(arguments: &Arguments, report: &Report, torn: u64) -> Result<(), Exit> {
    let groups: Vec<Value> = report
        .groups()
        .iter()
        .map(|(name, sums)| json::merged(json!({ report.by.word(): name }), object_of(sums)))
        .collect();
    json::print(json!({
        "since": arguments.since.and_then(LocalTime::rfc3339),
        "until": arguments.until.and_then(LocalTime::rfc3339),
        "by": report.by.word(),
        "groups": groups,
        "total": object_of(&report.total),
        "torn_lines": torn,
    }))
}

fn seconds(us: Option<u64>) -> Option<f64> {
    us.map(|us| us as f64 / 1e6)
}

/// For programs, in the shape that `list` has.
fn object_of(sums: &Sums) -> Value {
    json!({
        "sessions": sums.sessions,
        "seconds": sums.seconds,
        "cpu": {
            "seconds": seconds(sums.cpu_us()),
            "user_seconds": seconds(sums.cpu_user_us),
            "system_seconds": seconds(sums.cpu_system_us),
            "throttled_seconds": seconds(sums.throttled_us),
        },
        "memory": { "peak_bytes": sums.memory_peak, "oom_kills": sums.oom_kills },
        "tasks": { "peak": sums.tasks_peak, "refused": sums.tasks_refused },
        "io": { "read_bytes": sums.io_read, "written_bytes": sums.io_write },
    })
}

/// The figures of a line of CSV.
const COLUMNS: &str = "sessions,seconds,cpu_user_seconds,cpu_system_seconds,throttled_seconds,\
                       memory_peak_bytes,oom_kills,tasks_peak,tasks_refused,io_read_bytes,io_written_bytes";

fn csv(report: &Report) -> String {
    let mut lines = vec![format!("{},{COLUMNS}", report.by.word())];
    for (name, sums) in report.groups() {
        let count = |figure: Option<u64>| figure.map_or(String::new(), |figure| figure.to_string());
        let time =
            |us: Option<u64>| seconds(us).map_or(String::new(), |seconds| seconds.to_string());
        let cells = [
            quoted(name),
            sums.sessions.to_string(),
            sums.seconds.to_string(),
            time(sums.cpu_user_us),
            time(sums.cpu_system_us),
            time(sums.throttled_us),
            count(sums.memory_peak),
            count(sums.oom_kills),
            count(sums.tasks_peak),
            count(sums.tasks_refused),
            count(sums.io_read),
            count(sums.io_write),
        ];
        lines.push(cells.join(","));
    }
    lines.push(String::new());
    lines.join("\n")
}

/// A text as a cell of CSV (RFC 4180), without control characters.
fn quoted(text: &str) -> String {
    let text = harmless(text);
    match text.contains([',', '"']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_cell_of_csv() {
        assert_eq!(quoted("alice"), "alice");
        assert_eq!(quoted("a,\"b\"\n"), "\"a,\"\"b\"\"\u{fffd}\"");
    }
}
