//! `berth unset`: ends a user's exceptions, or forgives a penalty.

use berth_config::{Exception, ExceptionFile, Login, Places};
use berth_session::Applied;

use crate::exceptions::{self, Changing};
use crate::exit::{Exit, not_so};
use crate::{applied, caller, helper, penalties};

/// What is no cap, and can be forgiven.
const PENALTY: &str = "penalty";

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit status: 0 ended; 1 there is no such user, exception or penalty; 4 only root may do this; 5
ended, and a cap of the user, who is logged in, could not be changed: memory_max stays above
what is in use, until `berth apply`.

`berth unset USER penalty` gives the whole quota back, and forgets the penalty: the next offence
is a first one.")]
pub struct Arguments {
    /// The account; or its UID, also of one that is gone
    user: String,
    /// Which caps, or `penalty`; by default, all that the user has exceptions for
    #[arg(value_name = "KEY")]
    keys: Vec<String>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    helper: helper::Helper,
}

pub fn run(arguments: &Arguments) -> Result<Exit, Exit> {
    caller::only_root("end exceptions")?;
    let (name, uid) = match (Login::of(&arguments.user), arguments.user.parse()) {
        (Ok(login), _) => (login.user, login.uid),
        (Err(_), Ok(uid)) => {
            let name = berth_config::name_of(uid);
            (name.unwrap_or_else(|| arguments.user.clone()), uid)
        }
        (Err(error), Err(_)) => return Err(not_so(&error)),
    };
    let user = (name.as_str(), uid);
    let by = caller::doer();
    if arguments.keys.iter().any(|key| key == PENALTY) {
        return forgive(arguments, user, &by);
    }
    let changing = Changing::begin()?;
    let file = changing.of(uid);
    let all = match file.read() {
        // That is the way to be rid of a damaged one.
        Err(error) if arguments.keys.is_empty() && file.path().exists() => {
            eprintln!("berth: removed: {error}");
            Vec::new()
        }
        read => {
            let all = read.map_err(not_so)?;
            let has = |key: &String| all.iter().any(|one| one.key == *key);
            if let Some(none) = arguments.keys.iter().find(|key| !has(key)) {
                return Err(not_so(format!("{name} has no exception for {none}")));
            }
            if all.is_empty() {
                return Err(not_so(format!("{name} has no exception")));
            }
            all
        }
    };
    let ends = |one: &Exception| arguments.keys.is_empty() || arguments.keys.contains(&one.key);
    let (ended, kept): (Vec<_>, Vec<_>) = all.into_iter().partition(ends);
    file.write(&kept).map_err(not_so)?;
    exceptions::log("unset", uid, &by, &ended);
    drop(changing);

    let applied = helper::or_left(exceptions::bring(&arguments.helper, uid, &by), user);
    let texts = ended
        .iter()
        .map(|one| format!("{} is the policy's again", one.key));
    finish(arguments, user, &kept, &applied, texts)
}

fn forgive(arguments: &Arguments, (name, uid): (&str, u32), by: &str) -> Result<Exit, Exit> {
    if arguments.keys.len() > 1 {
        return Err(Exit::Usage
            .because("`penalty` stands alone: end exceptions with a second `berth unset`"));
    }
    let kept = ExceptionFile::of(&Places::system(), uid).read();
    let kept = kept.map_err(not_so).unwrap_or_default(); // only shown
    let Some(applied) = penalties::forgive(uid, by, &arguments.helper)? else {
        return Err(not_so(format!("{name} is on no step of a penalty")));
    };
    let text = std::iter::once("the penalty is forgiven".to_owned());
    finish(arguments, (name, uid), &kept, &applied, text)
}

/// Tells what came of it.
fn finish(
    arguments: &Arguments,
    (name, uid): (&str, u32),
    kept: &[Exception],
    applied: &[Applied],
    texts: impl Iterator<Item = String>,
) -> Result<Exit, Exit> {
    if arguments.json {
        exceptions::print_json((name, uid), kept, applied)?;
        return Ok(applied::exit(applied));
    }
    for text in texts {
        println!("{name}: {text}");
    }
    Ok(match applied.is_empty() {
        true => Exit::Done,
        false => applied::print(applied, false),
    })
}
