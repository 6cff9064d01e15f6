//! `berth metrics`: figures of users, pools and Berth itself, for Prometheus.

use std::path::PathBuf;
use std::time::SystemTime;

use berth_config::Policy;
use berth_session::Counters;

use crate::caller;
use crate::exit::{Exit, not_so};
use crate::live::{self, Sessions};
use crate::whole;

mod exposition;
mod families;
mod http;
mod peer;
mod textfile;

use exposition::{Exposition, Format};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit status: 0 printed, written or answered; 1 FILE or the output could not be written; 2 standard
input is no connection; 4 only root may do this; 5 a session's record or the counters could not be
read.

The N users of --top are those who use the most memory now. Counters of logins begin at boot.")]
pub struct Arguments {
    /// How many users have figures of their own; all others together are user="other"
    #[arg(long, value_name = "N", default_value_t = 100)]
    top: usize,
    /// How it is written: OpenMetrics, or the older text that node_exporter reads from files
    #[arg(long, value_enum, default_value_t = Format::Openmetrics, default_value_if("output", clap::builder::ArgPredicate::IsPresent, "prometheus"))]
    format: Format,
    /// Write to this file instead, in a folder that nobody else writes to, for node_exporter
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Answer one HTTP request, of the connection on standard input and output
    #[arg(long, conflicts_with_all = ["output", "format"])]
    http: bool,
    /// With --http, answer root and these users only; may be given again
    #[arg(long, value_name = "USER", requires = "http")]
    allow: Vec<String>,
}

pub fn run(arguments: &Arguments) -> Result<Exit, Exit> {
    if !caller::is_root() {
        return Err(Exit::Permission
            .because("only root sees everybody's figures; `berth show` shows your own"));
    }
    if arguments.http {
        let mut exit = Exit::Done;
        let answered = http::answer(&arguments.allow, |format| {
            let (text, ended) = render(format, arguments.top);
            exit = ended;
            text
        });
        answered.map_err(|message| Exit::Usage.because(message))?;
        return Ok(exit);
    }
    let (text, exit) = render(arguments.format, arguments.top);
    match &arguments.output {
        None => whole::print(&text)?,
        Some(path) => textfile::write(path, &text).map_err(not_so)?,
    }
    Ok(exit)
}

/// Looks at everything. What cannot be read is told, and is missing.
fn render(format: Format, top: usize) -> (String, Exit) {
    let mut exit = Exit::Done;
    let mut exposition = Exposition::new(format);
    families::program(&mut exposition);
    match Counters::read() {
        Ok(counters) => families::logins(&mut exposition, &counters, booted()),
        Err(error) => {
            eprintln!("berth: {error}");
            exit = Exit::Partly;
        }
    }
    families::policy(&mut exposition, Policy::load_system().as_ref().ok());
    match Sessions::tell() {
        Ok(sessions) => {
            if !sessions.unread.is_empty() {
                exit = Exit::Partly;
            }
            let tree = live::tree().unwrap_or_else(|_| {
                exit = Exit::Partly;
                None
            });
            families::sessions(&mut exposition, &sessions, tree.as_ref(), top);
        }
        Err(_) => exit = Exit::Partly,
    }
    (exposition.finish(), exit)
}

/// When the machine was booted: since then there are counters, though none may have counted.
fn booted() -> Option<SystemTime> {
    let stat = std::fs::read_to_string("/proc/stat").ok()?;
    let seconds = stat.lines().find_map(|line| line.strip_prefix("btime "))?;
    let since = std::time::Duration::from_secs(seconds.parse().ok()?);
    SystemTime::UNIX_EPOCH.checked_add(since)
}
