//! `berth explain`: what a user gets, and why.

use std::path::{Path, PathBuf};

use berth_config::outcome::Outcome;
use berth_config::{
    Exceptions, ExceptionsError, Explanation, LocalTime, Login, Machine, Policy, SourceError,
    Trust, check_files,
};

use berth_session::systemd::{is_booted, slice};

use crate::exit::Exit;
use crate::{place, units};

mod object;
mod text;

/// The arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit status: 0 explained; 1 there is no such user; 3 the policy has an error.

Shown are the rules that were tried and why each does or does not match, and every value with the
place and the profile that set it. LOGIN marks the rule that decides the login, USER the rule that
the user's caps come from, BOTH the rule that does both.")]
pub struct Arguments {
    /// The account; by default, yours
    user: Option<String>,
    /// The PAM service
    #[arg(long, default_value = "sshd")]
    service: String,
    /// The terminal; under sshd it is always "ssh"
    #[arg(long)]
    tty: Option<String>,
    /// Where the login comes from
    #[arg(long, default_value = "")]
    rhost: String,
    /// Who the user is there
    #[arg(long, default_value = "")]
    ruser: String,
    /// The machine's name; by default, this one's
    #[arg(long)]
    host: Option<String>,
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

fn parse_time(text: &str) -> Result<LocalTime, String> {
    LocalTime::parse(text).ok_or_else(|| "write it as in 2026-12-14T09:00".into())
}

/// Does it.
pub fn run(arguments: Arguments) -> Exit {
    match explain(&arguments) {
        Ok(()) => Exit::Done,
        Err(exit) => exit,
    }
}

fn explain(arguments: &Arguments) -> Result<(), Exit> {
    let policy = policy(arguments)?;
    let login = login(arguments)?;
    let not_so = |error: &dyn std::fmt::Display| {
        eprintln!("berth: {error}");
        Exit::NotSo
    };
    let machine = Machine::read(place::cgroup_root().as_deref()).map_err(|error| not_so(&error))?;
    let exceptions = exceptions(arguments, &login);
    let explanation = policy
        .explain_with(&login, &machine, &exceptions)
        .map_err(|error| not_so(&error))?;
    let others = others(&login, &explanation);
    if arguments.json {
        object::print(&login, &policy, &explanation, &others);
    } else {
        text::print(&login, &policy, &explanation, &others);
    }
    Ok(())
}

/// The user's exceptions that are in force.
fn exceptions(arguments: &Arguments, login: &Login) -> Exceptions {
    let places = arguments.root.places();
    Exceptions::in_force(&places, login.uid).unwrap_or_else(|error| {
        match &error {
            ExceptionsError::Source(SourceError::Read { source, .. }) if place::denied(source) => {
                eprintln!("berth: you have an exception, which only root sees; `berth show` has the caps in force");
            }
            _ => eprintln!("berth: no exception counts: {error}"),
        }
        Exceptions::default()
    })
}

/// What systemd has of caps for the user besides, on this machine.
fn others(login: &Login, explanation: &Explanation) -> Vec<units::Other> {
    match &explanation.decision.outcome {
        Outcome::Berth(berth) if berth.enforce && is_booted() => {
            let keys = units::keys(&berth.user_caps);
            units::others(Path::new("/"), &slice(login.uid), Some(&login.user), &keys)
        }
        _ => Vec::new(),
    }
}

fn policy(arguments: &Arguments) -> Result<Policy, Exit> {
    let Some(path) = &arguments.policy else {
        let places = arguments.root.places();
        return Policy::load_in(&places).map_err(|error| place::policy_error(&error));
    };
    let checked = check_files(std::slice::from_ref(path), Trust::Anybody, None)
        .map_err(|error| place::source_error(&error))?;
    checked.policy.ok_or_else(|| {
        place::policy_error(&berth_config::PolicyError::Invalid(checked.diagnostics))
    })
}

fn login(arguments: &Arguments) -> Result<Login, Exit> {
    let user = match &arguments.user {
        Some(user) => user.clone(),
        None => berth_config::own_name().ok_or_else(|| {
            eprintln!("berth: name a user: who you are is not known here");
            Exit::Usage
        })?,
    };
    let mut login = Login::of(&user).map_err(|error| {
        eprintln!("berth: {error}");
        Exit::NotSo
    })?;
    login.service.clone_from(&arguments.service);
    login.tty = match (&arguments.tty, arguments.service.as_str()) {
        (Some(tty), _) => tty.clone(),
        (None, "sshd") => "ssh".into(),
        (None, _) => String::new(),
    };
    login.rhost.clone_from(&arguments.rhost);
    login.ruser.clone_from(&arguments.ruser);
    if let Some(host) = &arguments.host {
        login.host.clone_from(host);
    }
    login.at = arguments.at.or(login.at);
    Ok(login)
}
