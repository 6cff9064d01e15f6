//! `berth unset`: ends a user's exceptions, or forgives a penalty.

use std::path::PathBuf;

use berth_config::{Exception, ExceptionFile, Login, Places};
use berth_session::Applied;

use crate::exceptions::{self, Changing};
use crate::exit::Exit;
use crate::{caps, live, penalties};

/// What is no cap, and can be forgiven.
const PENALTY: &str = "penalty";

/// The arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit status: 0 ended; 1 there is no such user, exception or penalty; 4 only root may do this; 5
ended, and a cap of the user, who is logged in, could not be changed: memory_max stays above
what is in use, until `berth apply`.

`berth unset USER penalty` gives the whole quota back, and forgets the penalty: the next offence
is a first one.")]
pub struct Arguments {
    /// The account
    user: String,
    /// Which caps, or `penalty`; by default, all that the user has exceptions for
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
    let by = crate::deed::doer();
    if arguments.keys.iter().any(|key| key == PENALTY) {
        return forgive(arguments, &login, &by);
    }
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
    exceptions::log("unset", (login.uid, Some(login.user.clone())), &by, &ended);
    drop(changing);

    let applied = exceptions::bring(&arguments.helper, login.uid, &by)?;
    let texts = ended
        .iter()
        .map(|one| format!("{} is the policy's again", one.key));
    Ok(finish(arguments, &login, &kept, &applied, texts))
}

fn forgive(arguments: &Arguments, login: &Login, by: &str) -> Result<Exit, Exit> {
    if arguments.keys.len() > 1 {
        eprintln!("berth: `penalty` stands alone: end exceptions with a second `berth unset`");
        return Err(Exit::Usage);
    }
    let kept = ExceptionFile::of(&Places::system(), login.uid).read();
    let kept = kept.map_err(|error| exceptions::failed(&error))?;
    let Some(applied) = penalties::forgive(login, by, &arguments.helper)? else {
        eprintln!("berth: {} is on no step of a penalty", login.user);
        return Err(Exit::NotSo);
    };
    let text = std::iter::once("the penalty is forgiven".to_owned());
    Ok(finish(arguments, login, &kept, &applied, text))
}

/// Tells what came of it.
fn finish(
    arguments: &Arguments,
    login: &Login,
    kept: &[Exception],
    applied: &[Applied],
    texts: impl Iterator<Item = String>,
) -> Exit {
    if arguments.json {
        exceptions::print_json(login, kept, applied);
        return caps::exit(applied);
    }
    for text in texts {
        println!("{}: {text}", login.user);
    }
    match applied.is_empty() {
        true => Exit::Done,
        false => caps::print(applied, false),
    }
}
