//! `berth top`: who eats the machine, as it happens.

use std::io::IsTerminal;
use std::time::Duration;

use crate::exit::Exit;
use crate::{live, sys, when};

mod errand;
mod history;
mod json;
mod keys;
mod model;
mod page;
mod screen;
mod today;
mod watch;

use model::{Model, View};
use watch::Watch;

/// How long the first look lasts: nobody waits a whole --delay for figures of CPU.
const FIRST: Duration = Duration::from_millis(300);

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit status: 0 done; 2 there is no terminal, and no --batch or --json; 4 only root may see it, and
you have no cgroup of Berth's.

Keys: u users, s sessions, p pools; < and > another column to sort by (it is underlined);
arrows, PgUp, PgDn, Home, End choose a row; f freezes it, t thaws it, k ends it, after a
question; / finds, Esc goes back; q quits.

PSI is the share of the last minute in which some process had to wait for CPU, memory or
disk, whichever is the most. 3 MIN is the CPU that was used in the last 3 minutes, relative
to the most in that time. Users other than root see what the kernel says of their own cgroup.")]
pub struct Arguments {
    /// The time between two looks
    #[arg(long, short, value_name = "TIME", default_value = "1s", value_parser = delay)]
    delay: Duration,
    /// Print one look as text, all rows of it, and end
    #[arg(long, short, alias = "once")]
    batch: bool,
    /// Print one look as one JSON object, and end
    #[arg(long)]
    json: bool,
    /// Begin with a row for each session
    #[arg(long, conflicts_with = "pools")]
    sessions: bool,
    /// Begin with a row for each pool
    #[arg(long)]
    pools: bool,
}

/// `1s`, or a number of seconds, as other programs of the kind have it.
fn delay(text: &str) -> Result<Duration, String> {
    let seconds = text.strip_suffix('s').unwrap_or(text).parse::<f64>().ok();
    let seconds = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let delay = seconds.or_else(|| when::span(text).ok());
    delay
        .filter(|delay| (Duration::from_millis(100)..=Duration::from_secs(3600)).contains(delay))
        .ok_or_else(|| "write a time from 0.1s to 1h, as in 5s".into())
}

pub fn run(arguments: &Arguments) -> Result<Exit, Exit> {
    let mut watch = Watch::new()?;
    if !watch.is_of_use() {
        return Err(Exit::Permission.because(
            "only root sees everybody's sessions, and you have no cgroup of Berth's here",
        ));
    }
    let view = match (arguments.sessions, arguments.pools) {
        (true, _) => View::Sessions,
        (_, true) => View::Pools,
        _ => View::Users,
    };
    let mut model = Model::new(view, arguments.delay);
    if arguments.batch || arguments.json {
        return batch(&mut model, &mut watch, arguments.json);
    }
    if !(std::io::stdin().is_terminal() && std::io::stdout().is_terminal()) {
        return Err(Exit::Usage.because("top needs a terminal; in a script, say --batch"));
    }
    Ok(screen::run(&mut model, &mut watch))
}

fn batch(model: &mut Model, watch: &mut Watch, as_json: bool) -> Result<Exit, Exit> {
    // All rows are read each time.
    model.fit(usize::MAX);
    for pause in [model.delay, Duration::ZERO] {
        let sample = watch.sample(model);
        model.take(sample.map_err(live::failed)?);
        std::thread::sleep(pause);
    }
    match as_json {
        true => json::print(model)?,
        false => print!("{}", page::text(model, sys::terminal_width().unwrap_or(80))),
    }
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_is_a_number_of_seconds_or_has_its_unit() {
        for (text, milliseconds) in [("1", 1000), ("0.5", 500), ("2s", 2000), ("1min", 60_000)] {
            assert_eq!(
                delay(text),
                Ok(Duration::from_millis(milliseconds)),
                "{text}"
            );
        }
        for text in ["", "0", "-1", "x", "2h", "1e99", "NaN"] {
            assert!(delay(text).is_err(), "{text}");
        }
    }
}
