//! Has the helper bring caps up to date: it alone sets caps, at logins and here.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use berth_config::Policy;
use berth_protocol::exempt::{ExemptError, List};
use berth_protocol::{HELPER, OnError};
use berth_session::{Applied, Whose};

use crate::exit::{Exit, denied, not_so};
use crate::progress::meanwhile;

/// What becomes of a login whose helper gives no answer, unless the module's line says it: as the list has it that stands
/// beside the loaded policy.
pub fn no_answer(list: &Path) -> &'static str {
    match unanswered(list) {
        Some(OnError::Allow) => "goes on without a berth (on_error = \"allow\")",
        Some(OnError::Deny) => "is refused (on_error = \"deny\")",
        None => "does what only root may see here",
    }
}

/// The same, as the policy has it; `None` if it is not known to who may not read that list. The module is root, and may.
pub fn unanswered(list: &Path) -> Option<OnError> {
    match List::load(list) {
        Ok(list) => Some(list.unanswered),
        Err(ExemptError::Read(error)) if denied(&error) => None,
        Err(_) => Some(OnError::Deny),
    }
}

#[derive(Debug, clap::Args)]
pub struct Helper {
    /// Another berth-helper
    #[arg(long = "helper", value_name = "FILE", default_value = HELPER)]
    path: PathBuf,
}

/// A helper, to be started as the module does it: with no environment. It refuses whoever is not root.
pub fn command(program: &Path) -> Command {
    let mut helper = Command::new(program);
    helper.env_clear().current_dir("/").stdin(Stdio::null());
    helper
}

impl Helper {
    /// Starts the helper, and gives back what it did.
    pub fn bring(&self, arguments: &[String]) -> Result<Vec<Applied>, Exit> {
        let failed = |why: &dyn std::fmt::Display| {
            not_so(format!("cannot run {}: {why}", self.path.display()))
        };
        // It is to be found from elsewhere.
        let program = std::fs::canonicalize(&self.path).map_err(|error| failed(&error))?;
        let mut helper = command(&program);
        helper.arg("apply").args(arguments);
        let begun = Instant::now();
        let so_long = || format!("bringing caps up to date: {} s", begun.elapsed().as_secs());
        let output = meanwhile(so_long, || helper.output()).map_err(|error| failed(&error))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            match said.trim() {
                "" => return Err(failed(&output.status)),
                said => eprintln!(
                    "berth: {}",
                    said.strip_prefix("berth-helper: ").unwrap_or(said)
                ),
            }
            return Err(match Policy::load_system() {
                Ok(_) => Exit::NotSo,
                Err(_) => Exit::Policy, // which is what the helper has told
            });
        }
        serde_json::from_slice(&output.stdout).map_err(|error| failed(&error))
    }
}

/// What came of it for a user where what is to be is written already. That stands, also if the helper failed, which was
/// told: their caps are left.
pub fn or_left(brought: Result<Vec<Applied>, Exit>, (name, uid): (&str, u32)) -> Vec<Applied> {
    brought.unwrap_or_else(|_| {
        let name = name.to_owned();
        let user = Applied::to(Whose::User { name, uid });
        vec![user.failed("the helper failed; `berth apply` tries again")]
    })
}
