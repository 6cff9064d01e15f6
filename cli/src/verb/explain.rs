//! `berth explain`: what a user gets, and why.

use std::path::{Path, PathBuf};

use berth_config::outcome::Outcome;
use berth_config::value::Name;
use berth_config::{
    Explanation, Layers, LocalTime, Login, Machine, Places, Policy, SourceError, Standing,
    StateError, Trust, check_files, tty_name,
};

use berth_session::systemd::is_booted;

use crate::exit::{Exit, denied, not_so};
use crate::object::Object;
use crate::{caller, pager, penalties, place, slices};

mod enforced;
mod json;
mod session;
mod text;

use enforced::Lack;
use session::Session;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit status: 0 explained; 1 there is no such user or session; 3 the policy has an error; 4 only
root may see what others get.

Shown are the rules that were tried and why each does or does not match, and every value with
the place and the profile that set it. LOGIN marks the rule that decides the login, USER the
rule that the user's caps come from, BOTH the rule that does both.")]
pub struct Arguments {
    /// The account, or a session (12), whose login is explained; by default, the session that this is typed in, or
    /// your account
    #[arg(value_name = "USER|SESSION")]
    object: Option<Object>,
    /// The PAM service [default: sshd]
    #[arg(long)]
    service: Option<String>,
    /// The terminal; under sshd it is always "ssh"
    #[arg(long)]
    tty: Option<String>,
    /// Where the login comes from
    #[arg(long)]
    rhost: Option<String>,
    /// Who the user is there
    #[arg(long)]
    ruser: Option<String>,
    /// The machine's name; by default, this one's
    #[arg(long)]
    host: Option<String>,
    /// A role of the machine's, instead of those that it has (may be given again)
    #[arg(long, value_parser = parse_role)]
    role: Vec<Name>,
    /// The local time, as in 2026-12-14T09:00; by default, now
    #[arg(long, value_parser = parse_time)]
    at: Option<LocalTime>,
    /// A policy file instead of the policy in force
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    root: place::Root,
}

/// A login, and all that there is to tell of it.
struct Explained<'a> {
    login: &'a Login,
    /// It is this session's.
    session: Option<&'a Session>,
    policy: &'a Policy,
    explanation: &'a Explanation,
    /// What systemd has of caps besides.
    others: Vec<slices::Other>,
    /// What this machine cannot enforce of it.
    lacks: Vec<Lack>,
}

impl Arguments {
    /// Whether nothing is said of the login.
    fn asks_about_here(&self) -> bool {
        let Arguments {
            service,
            tty,
            rhost,
            ruser,
            ..
        } = self;
        [service, tty, rhost, ruser]
            .into_iter()
            .all(Option::is_none)
    }
}

fn parse_time(text: &str) -> Result<LocalTime, String> {
    LocalTime::parse(text).ok_or_else(|| "write it as in 2026-12-14T09:00".into())
}

fn parse_role(text: &str) -> Result<Name, String> {
    Name::parse(text).map_err(|_| "a role is a name of letters, digits, - and _".into())
}

pub fn run(arguments: &Arguments) -> Result<Exit, Exit> {
    let session = match &arguments.object {
        Some(Object::Session(id)) => Some(Session::read(*id)?),
        None if arguments.asks_about_here() => Session::own(),
        Some(Object::User(_)) | None => None,
        Some(Object::Pool(_) | Object::Profile(_)) => {
            return Err(Exit::Usage.because("name a user, as in alice, or a session, as in 12"));
        }
    };
    let user = user(arguments, session.as_ref())?;
    let mut policy = policy(arguments)?;
    if !arguments.role.is_empty() {
        policy.play(arguments.role.clone());
    }
    let login = login(arguments, &user, session.as_ref())?;
    let machine = place::machine().map_err(not_so)?;
    let layers = layers(arguments, &login, &machine);
    let explanation = policy
        .explain_with(&login, &machine, &layers)
        .map_err(not_so)?;
    let explained = Explained {
        session: session.as_ref(),
        others: others(&login, &explanation),
        lacks: enforced::lacks(&login, &policy, &explanation),
        login: &login,
        policy: &policy,
        explanation: &explanation,
    };
    match arguments.json {
        true => json::print(&explained)?,
        false => pager::lines(&text::lines(&explained)),
    }
    Ok(Exit::Done)
}

/// The user's exceptions and the step of a penalty, as they are in force.
fn layers(arguments: &Arguments, login: &Login, machine: &Machine) -> Layers {
    let places = arguments.root.places();
    let mut layers = Layers::in_force(&places, login, machine, |_, error| match error {
        StateError::Source(SourceError::Read { path, source }) if denied(source) => {
            // Who is on which step is root's; where they stand themselves is written elsewhere.
            if *path != places.penalties {
                eprintln!(
                    "berth: you have an exception, which only root sees; `berth show` has the caps in force"
                );
            }
        }
        _ => eprintln!("berth: it counts for nothing: {error}"),
    });
    if !caller::is_root() && places.penalties == Places::system().penalties {
        let standing = penalties::of_user(login.uid).filter(Standing::is_on_step);
        layers.standing = standing.filter(|one| login.is(&one.user));
    }
    layers
}

/// What systemd has of caps for the user besides, on this machine.
fn others(login: &Login, explanation: &Explanation) -> Vec<slices::Other> {
    match &explanation.decision.outcome {
        Outcome::Berth(berth) if berth.enforce && is_booted().unwrap_or(true) => {
            let keys = slices::keys(&berth.user_caps);
            let pool = explanation.decision.pool.as_deref();
            slices::others(Path::new("/"), login, pool, &keys)
        }
        _ => Vec::new(),
    }
}

fn policy(arguments: &Arguments) -> Result<Policy, Exit> {
    let Some(path) = &arguments.policy else {
        let places = arguments.root.places();
        return Policy::load_in(&places).map_err(place::policy_error);
    };
    let checked = check_files(std::slice::from_ref(path), Trust::Anybody, None);
    place::valid(checked)
}

/// Whom it is about. What others get is root's to know, but for a policy that is only tried out.
fn user(arguments: &Arguments, session: Option<&Session>) -> Result<String, Exit> {
    let named = match (&arguments.object, session) {
        (_, Some(session)) => Some(session.user().to_owned()),
        (Some(Object::User(name)), None) => Some(name.clone()),
        _ => None,
    };
    let own = berth_config::own_name();
    if arguments.policy.is_none() && named.is_some() && named != own {
        caller::only_root("see what others get")?;
    }
    named
        .or(own)
        .ok_or_else(|| Exit::Usage.because("name a user: who you are is not known here"))
}

/// The login, as a session's record has it, or by ssh; what is said on the command line wins.
fn login(arguments: &Arguments, user: &str, session: Option<&Session>) -> Result<Login, Exit> {
    let mut login = Login::of(user).map_err(not_so)?;
    match session {
        Some(session) => login = session.login(&login),
        None => login.set_service("sshd"),
    }
    if let Some(service) = &arguments.service {
        login.set_service(service);
    }
    for (given, known) in [
        (&arguments.tty, &mut login.tty),
        (&arguments.rhost, &mut login.rhost),
        (&arguments.ruser, &mut login.ruser),
        (&arguments.host, &mut login.host),
    ] {
        if let Some(given) = given {
            known.clone_from(given);
        }
    }
    login.tty = tty_name(&login.tty).into();
    login.at = arguments.at.or(login.at);
    Ok(login)
}
