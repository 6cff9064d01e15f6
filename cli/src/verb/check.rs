//! `berth check`: all that is wrong with a policy.

use std::path::PathBuf;

use berth_config::{Checked, Trust, check_edited, check_files, counted};
use serde_json::json;

use crate::exit::Exit;
use crate::{json, paint, place};

/// The arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit status: 0 no error; 1 a warning, with --strict; 3 an error; 4 a file that may not be read.

Without FILE, the edited policy is checked: /etc/berth/policy.toml and /etc/berth/policy.d/*.toml.
With several, they are one policy, of which the last wins. FILE may be anybody's.")]
pub struct Arguments {
    /// Check these instead of the files under /etc/berth
    file: Vec<PathBuf>,
    /// Fail on warnings too
    #[arg(long)]
    strict: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    root: place::Root,
}

/// Does it.
pub fn run(arguments: Arguments) -> Exit {
    let places = arguments.root.places();
    let site = place::this_machine();
    let edited = arguments.file.is_empty();
    let checked = if edited {
        check_edited(&places, Trust::Root, Some(&site))
    } else {
        check_files(&arguments.file, Trust::Anybody, Some(&site))
    };
    let checked = match checked {
        Ok(checked) => checked,
        Err(error) => {
            let exit = place::source_error(&error);
            if edited {
                eprintln!("berth: {}", place::in_force(&places));
            }
            return exit;
        }
    };
    if arguments.json {
        json::print(&json!({
            "version": json::VERSION,
            "ok": checked.errors() == 0,
            "errors": checked.errors(),
            "warnings": checked.warnings(),
            "files": checked.files,
            "diagnostics": checked.diagnostics,
        }));
    } else {
        for diagnostic in &checked.diagnostics {
            println!("{}", paint::diagnostic(diagnostic));
        }
        let mut summary = summary(&checked);
        if edited && checked.errors() > 0 {
            summary = format!("{summary}; {}", place::in_force(&places));
        }
        println!("{summary}");
    }
    exit(&checked, arguments.strict)
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
