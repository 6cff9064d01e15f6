//! For the fuzz targets (`fuzz/`): policies that are in no file. Nothing else is built with it.

use std::fs::File;
use std::time::UNIX_EPOCH;

use serde::{Serialize, de::DeserializeOwned};

use crate::check::Site;
use crate::checked::{Checked, sources_checked};
use crate::facts::Login;
use crate::loaded::{decode, decode_for, encode, read_for};
use crate::policy::Policy;
use crate::source::Source;
use crate::state;

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

/// What a copy's text says.
pub fn read(copy: String) -> Option<Policy> {
    decode(copy)
}

/// What one login reads of a copy in a file, so much of it at once.
pub fn narrowed_in(file: File, start: usize, login: &Login) -> Option<Policy> {
    read_for(file, start, login)
}

/// The text of a file of Berth's own.
pub fn state(state: &impl Serialize) -> Option<String> {
    state::text_of(state).ok()
}

/// What such a text says.
pub fn stated<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    state::parsed(text)
}

/// What one login reads of that copy.
pub fn narrowed(policy: &Policy, login: &Login) -> Option<Policy> {
    decode_for(copy(policy)?, login)
}

/// The text of the copy of a policy.
pub fn copy(policy: &Policy) -> Option<String> {
    encode(policy, UNIX_EPOCH).ok()
}

/// All that a policy says, as text to be compared.
pub fn contents(policy: &Policy) -> String {
    serde_json::to_string(&policy.contents).unwrap_or_default()
}
