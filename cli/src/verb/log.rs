//! `berth log`: what happened, from the system's log.

use std::path::PathBuf;
use std::time::SystemTime;

use berth_config::LocalTime;
use serde_json::{Value, json};

use crate::exit::Exit;
use crate::readable::or_dash;
use crate::{json, pager, paint, when, whole};

mod admin;
pub mod bites;
mod entry;
mod event;
mod sentence;
mod source;

use event::Event;
use source::Source;

/// How many events stand before the new ones.
const BEFORE_NEW: usize = 10;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit status: 0 shown; 1 there is no log, or it cannot be read; 4 only root may read it.

The log is systemd's journal if journald runs, and otherwise /var/log/auth.log or
/var/log/secure with the file that was rotated last. From the journal come only lines of
processes whose real UID is root's. What the module says of a su that a user has typed is
not among them: journalctl -t su has that, where users can write, too.

TIME is a date or a date and time in the machine's time, as in 2026-11-24 or
2026-11-24T08:00, RFC 3339 with an offset, or a length of time before now, as in 7d or
12h.")]
pub struct Arguments {
    /// Only what is about this user
    user: Option<String>,
    /// Go on with new events
    #[arg(long, short)]
    follow: bool,
    /// Only the last N events; with --follow, 10 by default
    #[arg(long, short = 'n', value_name = "N")]
    lines: Option<usize>,
    /// Only what happened at this TIME or later
    #[arg(long, value_name = "TIME", value_parser = when::moment)]
    since: Option<SystemTime>,
    /// Read this file, which a syslog daemon wrote
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Print one JSON object; with --follow one a line
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments) -> Result<Exit, Exit> {
    let source = Source::find(arguments.file.as_deref())?;
    let most = arguments.lines.or(arguments.follow.then_some(BEFORE_NEW));
    let most = most.unwrap_or(usize::MAX);
    let (events, end) =
        source.until_now(arguments.since, most, |event| wanted(arguments, event))?;
    if !arguments.follow {
        print(&events, arguments.json)?;
        return Ok(Exit::Done);
    }
    for event in &events {
        show(event, arguments.json)?;
    }
    source.follow(end, |event| match wanted(arguments, event) {
        true => show(event, arguments.json),
        false => Ok(()),
    })?;
    Ok(Exit::Done)
}

fn wanted(arguments: &Arguments, event: &Event) -> bool {
    let is_late = arguments.since.is_none_or(|since| event.time >= since);
    let user = arguments.user.as_deref();
    is_late && user.is_none_or(|user| event.get("user") == Some(user))
}

fn print(events: &[Event], as_json: bool) -> Result<(), Exit> {
    if as_json {
        return json::print(json!({
            "events": events.iter().map(object).collect::<Vec<_>>(),
        }));
    }
    let lines: Vec<String> = events.iter().map(line).collect();
    pager::print(&lines.concat());
    Ok(())
}

/// Shows one event at once.
fn show(event: &Event, as_json: bool) -> Result<(), Exit> {
    whole::print_on(match as_json {
        true => format!("{}\n", object(event)),
        false => line(event),
    })
}

fn object(event: &Event) -> Value {
    let fields = event.fields.iter();
    let fields = fields.map(|(key, value)| (key.clone(), Value::from(value.as_str())));
    json!({
        "time": LocalTime::rfc3339(event.time),
        "event": event.word,
        "fields": fields.collect::<serde_json::Map<_, _>>(),
    })
}

fn line(event: &Event) -> String {
    let time = or_dash(LocalTime::of(event.time));
    let (word, alarm) = sentence::word(event);
    let user = event.get("user").unwrap_or("-");
    let text = sentence::text(event);
    let word = paint::word(&format!("{word:<8}"), alarm);
    format!(
        "{}\n",
        format!("{time}  {user:<10}  {word}  {text}").trim_end()
    )
}
