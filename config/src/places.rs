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
    /// The list of whom Berth never touches.
    pub exempt: PathBuf,
    /// There if the policy in force has rules that test the time, so that something is to be done each minute.
    pub windows: PathBuf,
    /// The folder of exceptions, one file for each user who has any.
    pub exceptions: PathBuf,
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
            windows: below("/var/lib/berth/windows"),
            exceptions: below("/var/lib/berth/exceptions"),
        }
    }
}
