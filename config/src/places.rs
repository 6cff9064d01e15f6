//! Where the policy is edited, and where the one in force is kept.

use std::path::{Path, PathBuf};

use berth_protocol::exempt::EXEMPT_FILE;

/// The folder of drop-ins, beside policy.toml.
pub(crate) const DROP_INS: &str = "policy.d";

/// The folders of one installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// policy.toml.
    pub policy: PathBuf,
    /// The folder of drop-ins.
    pub drop_ins: PathBuf,
    /// The policy in force.
    pub loaded: PathBuf,
    /// The list of whom Berth never touches, and what becomes of the others where the helper gives no answer.
    pub exempt: PathBuf,
    /// There if the policy in force has windows of time or penalties, so that something is to be done each minute.
    pub due: PathBuf,
    /// The folder of exceptions, one file for each user who has any.
    pub exceptions: PathBuf,
    /// Who is on a step of a penalty, or was not long ago.
    pub penalties: PathBuf,
    /// What users whom a penalty watches have used lately; of this boot only.
    pub tracks: PathBuf,
}

impl Places {
    /// Those of the running system.
    pub fn system() -> Places {
        Places::under(Path::new("/"))
    }

    /// Those of a system that is mounted somewhere.
    pub fn under(root: &Path) -> Places {
        let below = |path: &str| root.join(path.trim_start_matches('/'));
        Places {
            policy: below("/etc/berth/policy.toml"),
            drop_ins: below("/etc/berth").join(DROP_INS),
            loaded: below("/var/lib/berth/policy.json"),
            exempt: below(EXEMPT_FILE),
            due: below("/var/lib/berth/due"),
            exceptions: below("/var/lib/berth/exceptions"),
            penalties: below("/var/lib/berth/penalties"),
            tracks: below("/run/berth-penalties"),
        }
    }

    /// The folder of what Berth keeps.
    pub fn state(&self) -> &Path {
        self.loaded.parent().unwrap_or(Path::new("/"))
    }
}
