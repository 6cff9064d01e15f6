//! `berth reload`: puts the edited policy in force.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use berth_config::{
    Comparison, InstallError, Places, Policy, Trust, check_edited, counted, install, is_drop_in,
    untried,
};
use serde_json::json;

use crate::exit::{Exit, denied, not_so};
use crate::{admin_log, due, json, lock, paint, place};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit status: 0 in force; 1 it could not be written, or was changed meanwhile; 3 the policy has an
error; 4 only root may do this; 5 in force, but the JSON object could not be written. But for 0
and 5, the one before stays in force.

Logins use the loaded copy under /var/lib/berth, and see no edit before the next reload.")]
pub struct Arguments {
    /// Only if the loaded copy cannot be used: none is there, or it is damaged or of a version with another format
    #[arg(long, conflicts_with = "json")]
    if_unusable: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    root: place::Root,
}

pub fn run(arguments: &Arguments) -> Result<Exit, Exit> {
    let places = arguments.root.places();
    if arguments.if_unusable && loaded(&places).is_some() {
        return Ok(Exit::Done);
    }
    let site = place::this_machine();
    let checked =
        check_edited(&places, Trust::Root, Some(&site), None).map_err(place::source_error)?;
    if !arguments.json {
        for diagnostic in &checked.diagnostics {
            println!("{}", paint::diagnostic(diagnostic, &std::io::stdout()));
        }
    }
    let Some(policy) = &checked.policy else {
        if arguments.json {
            json::print(json!({
                "loaded": false,
                "users": null,
                "users_changed": null,
                "diagnostics": checked.diagnostics,
            }))?;
        } else {
            let errors = counted(checked.errors(), "error");
            println!("{errors}; {}", place::in_force(&places));
        }
        return Err(Exit::Policy);
    };
    let before = loaded(&places);
    let unusable = before.is_none().then(|| since(&places)).flatten();
    put(policy, &places)?;
    let (rules, profiles) = policy.size();
    if !arguments.json {
        println!(
            "loaded {} and {} from {}",
            counted(rules, "rule"),
            counted(profiles, "profile"),
            counted(checked.files.len(), "file")
        );
    }
    // After that: it may take minutes, in which somebody else may put a newer policy in force.
    let change = match &before {
        Some(before) => changing(before, policy)
            .map_err(|why| format!("how many users change is not known: {why}")),
        None => Err(unusable.unwrap_or_else(|| "no policy was loaded before".into())),
    };
    if arguments.json {
        let change = change.ok();
        json::print(json!({
            "loaded": true,
            "users": change.map(|(_, users)| users),
            "users_changed": change.map(|(changed, _)| changed),
            "diagnostics": checked.diagnostics,
        }))
        .map_err(|_| Exit::Partly)?;
    } else {
        match change {
            Ok((changed, users)) => {
                let policies: Vec<&Policy> = before.iter().chain([policy]).collect();
                println!("{changed} of {users} users change{}", untried(&policies));
            }
            Err(why) => println!("{why}"),
        }
    }
    Ok(Exit::Done)
}

/// Puts a policy in force, or says why not. The log has who did, where it is that of the running system.
pub fn put(policy: &Policy, places: &Places) -> Result<(), Exit> {
    let path = places.state().join("reload.lock");
    let lock = lock::wait(&path).map_err(|source| failed(&InstallError::Write { path, source }))?;
    // While it was checked, or somebody was asked, there was time for others: what is older than theirs does not replace it.
    if let Some(other) = policy.changed().unwrap_or_default().first() {
        return Err(not_so(format!(
            "somebody else has changed {} meanwhile: see `berth diff`, then `berth reload`",
            other.display()
        )));
    }
    install(policy, places).map_err(|error| failed(&error))?;
    drop(lock);
    if *places == Places::system() {
        let (rules, profiles) = policy.size();
        let fields = [
            ("rules", rules.to_string()),
            ("profiles", profiles.to_string()),
        ];
        if policy.is_due_each_minute() {
            due::start_the_timer();
        }
        // Last, since NSS says who did it, and may not answer.
        admin_log::log("reload", None, &fields);
    }
    Ok(())
}

fn failed(error: &InstallError) -> Exit {
    match error {
        InstallError::Write { source, .. } if denied(source) => {
            Exit::Permission.because(format!("only root may put a policy in force: {error}"))
        }
        InstallError::Write { .. } | InstallError::Encode(_) => not_so(error),
    }
}

/// The loaded copy, if it can be used.
fn loaded(places: &Places) -> Option<Policy> {
    let policy = Policy::load_in(places).ok();
    policy.filter(|policy| policy.loaded().is_some())
}

/// What comes in force by a reload, as far as it can be known, if there is a copy that cannot be used.
fn since(places: &Places) -> Option<String> {
    let metadata = |path: &Path| fs::metadata(path).ok();
    let written = |file: &fs::Metadata| (file.mtime(), file.mtime_nsec());
    let loaded = written(&metadata(&places.loaded)?);
    // By the change of the inode too: a file that was copied here may have the time of the original.
    let changed = |file: &fs::Metadata| written(file).max((file.ctime(), file.ctime_nsec()));
    let is_newer = |path: &Path| metadata(path).is_some_and(|file| changed(&file) > loaded);
    let drop_ins = fs::read_dir(&places.drop_ins).into_iter().flatten();
    let drop_ins = drop_ins.flatten().map(|file| file.path());
    let drop_ins = drop_ins.filter(|path| is_drop_in(path));
    let edited = [places.policy.clone()].into_iter().chain(drop_ins);
    let edited: Vec<String> = edited
        .filter(|path| is_newer(path))
        .map(|path| path.display().to_string())
        .collect();
    let mut what = match &*edited {
        [] => "no file of the policy is newer than it".into(),
        some => format!("newer than it, and in force now: {}", some.join(", ")),
    };
    if is_newer(&places.drop_ins) {
        what += &format!(
            "; a file has come into {} or gone since",
            places.drop_ins.display()
        );
    }
    Some(format!(
        "the copy that was loaded before cannot be used here; {what}"
    ))
}

/// How many of the accounts that NSS lists get something else, and how many there are.
fn changing(before: &Policy, after: &Policy) -> Result<(usize, usize), &'static str> {
    let machine = place::machine().map_err(|_| "this machine cannot be looked at")?;
    let mut comparison = Comparison::new([before, after], &machine);
    let accounts = place::accounts()?;
    let changed = accounts
        .iter()
        .filter(|account| !comparison.of(account).is_empty());
    Ok((changed.count(), accounts.len()))
}
