//! `berth check`: all that is wrong with a policy.

use std::path::PathBuf;

use berth_config::{Checked, Trust, check_edited, check_files, counted};
use serde_json::json;

use crate::exit::Exit;
use crate::{caller, json, pager, paint, place};

mod users;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit status: 0 no error; 1 a warning, with --strict, or an account for which the policy cannot
be worked out here, with --users; 3 an error; 4 a file that may not be read.

Without FILE, the edited policy is checked: /etc/berth/policy.toml and
/etc/berth/policy.d/*.toml. Several FILEs are one policy, in which the last one wins. A FILE may
belong to anybody.

--users looks at every account that NSS lists; large directories list nobody. It shows what an
ssh login of each gets. A rule matches nobody if no account passes its tests, or earlier rules
match all those that do, with ssh, login, su, cron and each service that a rule names. A rule
that tests where or when a login comes from, or a pattern of services, is shown only in the
first case.")]
pub struct Arguments {
    /// Check these instead of the files under /etc/berth
    file: Vec<PathBuf>,
    /// Show too what it comes to for all accounts: how many get which profile, who is exempt or denied, which rules
    /// match nobody
    #[arg(long)]
    users: bool,
    /// Fail on warnings too
    #[arg(long)]
    strict: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    root: place::Root,
}

pub fn run(arguments: &Arguments) -> Result<Exit, Exit> {
    let places = arguments.root.places();
    let site = place::this_machine();
    let edited = arguments.file.is_empty();
    if arguments.users && edited {
        caller::only_root("see what everybody gets")?;
    }
    let checked = if edited {
        check_edited(&places, Trust::Root, Some(&site), None)
    } else {
        check_files(&arguments.file, Trust::Anybody, Some(&site))
    };
    let checked = checked.map_err(|error| {
        let exit = place::source_error(error);
        if edited {
            eprintln!("berth: {}", place::in_force(&places));
        }
        exit
    })?;
    let surveyed = checked.policy.as_ref().filter(|_| arguments.users);
    let (survey, unsurveyed) = match surveyed.map(users::survey).transpose() {
        Ok(survey) => (survey, None),
        Err(exit) => (None, Some(exit)),
    };
    place::tell_of_silence();
    if arguments.json {
        let object = json!({
            "ok": checked.errors() == 0,
            "errors": checked.errors(),
            "warnings": checked.warnings(),
            "files": checked.files,
            "diagnostics": checked.diagnostics,
        });
        let users = survey.as_ref();
        let users = users.map_or(json!({}), |survey| json!({ "users": survey }));
        json::print(json::merged(object, users))?;
    } else {
        let found = checked.diagnostics.iter();
        let found = found.map(|one| paint::diagnostic(one, &std::io::stdout()));
        let mut out: Vec<String> = found.collect();
        let mut summary = summary(&checked);
        if edited && checked.errors() > 0 {
            summary = format!("{summary}; {}", place::in_force(&places));
        }
        out.push(summary);
        out.extend(survey.iter().flat_map(users::lines));
        pager::lines(&out);
    }
    Ok(match exit(&checked, arguments.strict) {
        Exit::Done if unsurveyed.is_some() => return Err(Exit::NotSo),
        Exit::Done if survey.is_some_and(|survey| !survey.undecided.is_empty()) => Exit::NotSo,
        exit => exit,
    })
}

fn exit(checked: &Checked, strict: bool) -> Exit {
    match (checked.errors(), checked.warnings()) {
        (0, 0) => Exit::Done,
        (0, _) if strict => Exit::NotSo,
        (0, _) => Exit::Done,
        _ => Exit::Policy,
    }
}

/// `2 errors, 1 warning`, or how large the policy is.
pub fn summary(checked: &Checked) -> String {
    let mut parts = Vec::new();
    match &checked.policy {
        None => parts.push(counted(checked.errors(), "error")),
        Some(policy) => {
            let (rules, profiles) = policy.size();
            let rules = counted(rules, "rule");
            let profiles = counted(profiles, "profile");
            parts.push(format!("no errors in {rules} and {profiles}"));
        }
    }
    if checked.warnings() > 0 {
        parts.push(counted(checked.warnings(), "warning"));
    }
    parts.join(", ")
}
