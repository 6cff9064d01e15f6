//! Where the policy is, and what is known of the machine.

use std::path::PathBuf;

use berth_config::{
    Checked, LocalTime, Login, Machine, MachineError, Places, Policy, PolicyError, SourceError,
    ThisMachine,
};
use berth_session::Tree;

use crate::exit::{Exit, denied};
use crate::readable::harmless;

/// Where to look for the policy.
#[derive(Debug, clap::Args)]
pub struct Root {
    /// Work on the policy of the system mounted at DIR; accounts, groups, PAM's files and the hardware are still those
    /// of the running one
    #[arg(
        long,
        value_name = "DIR",
        default_value = "/",
        hide_default_value = true
    )]
    root: PathBuf,
}

impl Root {
    /// The policy's files and the copy in force.
    pub fn places(&self) -> Places {
        Places::under(&self.root)
    }
}

/// The running machine.
pub fn this_machine() -> ThisMachine {
    ThisMachine {
        cgroup_root: cgroup_root(),
    }
}

/// What is known of the running machine.
pub fn machine() -> Result<Machine, MachineError> {
    Machine::read(cgroup_root().as_deref())
}

/// Where the cgroup v2 tree is mounted.
pub fn cgroup_root() -> Option<PathBuf> {
    let tree = Tree::find().ok()?;
    Some(tree.root().path().into())
}

/// What is said where NSS does not answer.
pub const SILENT: &str = "NSS did not answer in time: users and groups could not be checked";

/// Says so.
pub fn tell_of_silence() {
    if berth_config::is_silent() {
        eprintln!("berth: {SILENT}");
    }
}

/// All accounts that NSS lists.
pub fn accounts() -> Result<Vec<Login>, &'static str> {
    let mut progress = crate::progress::Progress::new("accounts looked up");
    berth_config::accounts(|done, all| progress.tell(done, all)).ok_or(SILENT)
}

/// When the policy in force was loaded, as people read it.
pub fn loaded_at(policy: &Policy) -> Option<String> {
    let loaded = policy.loaded()?;
    LocalTime::of(loaded.at).map(|time| time.to_string())
}

/// What is in force, in a few words, for after an error.
pub fn in_force(places: &Places) -> String {
    match Policy::load_in(places).ok().as_ref().and_then(loaded_at) {
        Some(at) => format!("the policy loaded on {at} stays in force"),
        None => "no policy is loaded".into(),
    }
}

/// Prints why a file could not be used.
pub fn source_error(error: SourceError) -> Exit {
    eprintln!("berth: {}", harmless(&error.to_string()));
    match error {
        SourceError::Read { source, .. } if denied(&source) => Exit::Permission,
        SourceError::Read { .. } | SourceError::Untrusted { .. } => Exit::Policy,
    }
}

/// The policy of files that were read, or why there is none.
pub fn valid(checked: Result<Checked, SourceError>) -> Result<Policy, Exit> {
    let checked = checked.map_err(source_error)?;
    let invalid = || policy_error(PolicyError::Invalid(checked.diagnostics));
    checked.policy.ok_or_else(invalid)
}

/// Prints why there is no policy.
pub fn policy_error(error: PolicyError) -> Exit {
    match error {
        PolicyError::Source(error) => source_error(error),
        PolicyError::Invalid(diagnostics) => {
            for diagnostic in &diagnostics {
                eprintln!(
                    "{}",
                    crate::paint::diagnostic(diagnostic, &std::io::stderr())
                );
            }
            Exit::Policy
        }
    }
}
