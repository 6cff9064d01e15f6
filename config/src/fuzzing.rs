//! For the fuzz targets (`fuzz/`): policies that are in no file. Nothing else is built with it.

use std::time::UNIX_EPOCH;

use crate::check::Site;
use crate::checked::{Checked, sources_checked};
use crate::facts::Login;
use crate::loaded::{Stamp, decode, decode_for, encode};
use crate::policy::Policy;
use crate::source::Source;

/// Checks texts as one policy, of which the last wins; each has its file's name.
pub fn checked(files: &[(&str, &str)], site: &dyn Site) -> Checked {
    let sources = files
        .iter()
        .map(|(path, text)| Source::new(path.into(), (*text).into()));
    sources_checked(sources.collect(), Some(site))
}

/// The copy that a login would read of a policy.
pub fn copied(policy: &Policy) -> Option<Policy> {
    decode(copy(policy)?)
}

/// What one login reads of that copy.
pub fn narrowed(policy: &Policy, login: &Login) -> Option<Policy> {
    decode_for(copy(policy)?, login)
}

fn copy(policy: &Policy) -> Option<String> {
    let sources = policy.files.iter().map(|path| Stamp {
        path: path.clone(),
        sha256: String::new(),
    });
    encode(policy, UNIX_EPOCH, sources.collect()).ok()
}

/// All that a policy says, as text to be compared.
pub fn contents(policy: &Policy) -> String {
    serde_json::to_string(&policy.contents).unwrap_or_default()
}
