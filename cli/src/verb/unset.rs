//! `berth unset`: ends a user's exceptions.

use std::path::PathBuf;

use berth_config::{Exception, Login};

use crate::exceptions::{self, Changing};
use crate::exit::Exit;
use crate::{caps, live};

/// The arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit status: 0 ended; 1 there is no such user or exception; 4 only root may do this; 5 ended,
and a cap of the user, who is logged in, could not be changed: memory_max stays above what
is in use, until `berth apply`.")]
pub struct Arguments {
    /// The account
    user: String,
    /// Which caps; by default, all that the user has exceptions for
    #[arg(value_name = "KEY")]
    keys: Vec<String>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Another berth-helper
    #[arg(long, value_name = "FILE", default_value = caps::HELPER)]
    helper: PathBuf,
}

/// Does it.
pub fn run(arguments: &Arguments) -> Exit {
    match unset(arguments) {
        Ok(exit) | Err(exit) => exit,
    }
}

fn unset(arguments: &Arguments) -> Result<Exit, Exit> {
    live::only_root("end exceptions")?;
    let not_so = |error: &dyn std::fmt::Display| {
        eprintln!("berth: {error}");
        Exit::NotSo
    };
    let login = Login::of(&arguments.user).map_err(|error| not_so(&error))?;
    let changing = Changing::begin()?;
    let file = changing.of(login.uid);
    let all = match file.read() {
        // That is the way to be rid of a damaged one.
        Err(error) if arguments.keys.is_empty() && file.path().exists() => {
            eprintln!("berth: removed: {error}");
            Vec::new()
        }
        read => {
            let all = read.map_err(|error| exceptions::failed(&error))?;
            let has = |key: &String| all.iter().any(|one| one.key == *key);
            if let Some(none) = arguments.keys.iter().find(|key| !has(key)) {
                return Err(not_so(&format!(
                    "{} has no exception for {none}",
                    login.user
                )));
            }
            if all.is_empty() {
                return Err(not_so(&format!("{} has no exception", login.user)));
            }
            all
        }
    };
    let ends = |one: &Exception| arguments.keys.is_empty() || arguments.keys.contains(&one.key);
    let (ended, kept): (Vec<_>, Vec<_>) = all.into_iter().partition(ends);
    file.write(&kept)
        .map_err(|error| exceptions::failed(&error))?;
    let by = crate::deed::doer();
    exceptions::log("unset", (login.uid, Some(login.user.clone())), &by, &ended);
    drop(changing);

    let applied = exceptions::bring(&arguments.helper, login.uid, &by)?;
    if arguments.json {
        exceptions::print_json(&login, &kept, &applied);
        return Ok(caps::exit(&applied));
    }
    for one in &ended {
        println!("{}: {} is the policy's again", login.user, one.key);
    }
    match applied.is_empty() {
        true => Ok(Exit::Done),
        false => Ok(caps::print(&applied, false)),
    }
}
