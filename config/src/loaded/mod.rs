//! The policy in force: a copy that logins read instead of the files.
//!
//! A copy of another format, or a damaged one, is as good as none.

mod copy;

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use self::copy::{Copy, Opened, START};
use crate::checked;
use crate::facts::Login;
use crate::index;
use crate::pending::Pending;
use crate::places::{self, Places};
use crate::policy::Policy;
use crate::source::{self, Source, SourceError, Trust};

/// When a policy was put in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// When.
    pub at: SystemTime,
    /// Of all that is in it: no other policy has this one.
    pub sha256: String,
}

/// A file as it was when it was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stamp {
    pub(crate) path: PathBuf,
    sha256: String,
}

impl Stamp {
    pub(crate) fn of(source: &Source) -> Stamp {
        Stamp {
            path: source.path.clone(),
            sha256: sha256(source.text.as_bytes()),
        }
    }
}

/// Why a policy could not be put in force. The one before stays.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// A file could not be written.
    #[error("cannot write {path}: {source}", path = .path.display())]
    Write {
        /// The file or its folder.
        path: PathBuf,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// The policy could not be put into JSON.
    #[error("cannot write the policy: {0}")]
    Encode(#[from] serde_json::Error),
}

/// The policy of a loaded copy, whose rules are still in there.
#[derive(Debug)]
pub(crate) struct Unread {
    /// Without rules.
    head: Policy,
    copy: Copy,
}

/// No copy is longer.
const LARGEST: u64 = 1 << 30;

/// The loaded copy, of which rules are read later; `None` where there is none that can be used.
pub(crate) fn open(path: &Path) -> Result<Option<Unread>, SourceError> {
    let copy = file(path)?.and_then(|file| Copy::open(file, START));
    Ok(copy.and_then(unread))
}

/// The loaded copy; `None` where there is none that can be used.
pub(crate) fn load(path: &Path) -> Result<Option<Policy>, SourceError> {
    let mut text = String::new();
    let read = file(path)?.map(|file| file.take(LARGEST).read_to_string(&mut text));
    // What cannot be read to its end is damaged.
    Ok(match read {
        Some(Ok(_)) => decode(text),
        Some(Err(_)) | None => None,
    })
}

fn file(path: &Path) -> Result<Option<File>, SourceError> {
    match source::open(path, Trust::Root) {
        Ok(file) => Ok(Some(file)),
        Err(SourceError::Read { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// The policy of a copy's text.
pub(crate) fn decode(text: String) -> Option<Policy> {
    Copy::read(text).and_then(unread).and_then(Unread::whole)
}

/// What a login would read of it.
#[cfg(feature = "fuzzing")]
pub(crate) fn decode_for(text: String, login: &Login) -> Option<Policy> {
    let unread = Copy::read(text).and_then(unread)?;
    unread.narrowed(login)
}

/// The same of a file, of which so much is read at once.
#[cfg(feature = "fuzzing")]
pub(crate) fn read_for(file: File, start: usize, login: &Login) -> Option<Policy> {
    let unread = Copy::open(file, start).and_then(unread)?;
    unread.narrowed(login)
}

fn unread(opened: Opened) -> Option<Unread> {
    let mut head = Policy::new(opened.contents, opened.names, opened.sources);
    head.loaded = Some(Loaded {
        at: UNIX_EPOCH.checked_add(Duration::from_secs(opened.loaded))?,
        sha256: opened.copy.sha256.clone(),
    });
    Some(Unread {
        head,
        copy: opened.copy,
    })
}

impl Unread {
    /// The policy without its rules: nothing is to be decided by it.
    pub(crate) fn head(&self) -> &Policy {
        &self.head
    }

    /// With the rules that a login may match; `None` if the copy is damaged.
    pub(crate) fn narrowed(self, login: &Login) -> Option<Policy> {
        let rules = self.copy.rules_for(&index::keys_for(login))?;
        let mut policy = self.head;
        policy.contents.rules = rules;
        Some(policy)
    }

    fn whole(self) -> Option<Policy> {
        let mut policy = self.head;
        policy.contents.rules = self.copy.rules()?;
        policy.contents.expects = self.copy.expects()?;
        Some(policy)
    }
}

pub(crate) fn encode(policy: &Policy, at: SystemTime) -> Result<String, InstallError> {
    let since_1970 = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (contents, names) = (&policy.contents, &policy.names);
    let sources = policy.sources.clone();
    Ok(copy::encode(
        contents,
        names,
        sources,
        since_1970.as_secs(),
    )?)
}

/// Puts a policy in force: writes the list of exempt accounts and the copy, each as a whole or not
/// at all.
pub fn install(policy: &Policy, places: &Places) -> Result<(), InstallError> {
    let text = encode(policy, SystemTime::now())?;
    // Both are on the disk before either takes its place.
    let exempt = policy.exempt.render(policy.unanswered());
    let exempt = Pending::write(&places.exempt, &exempt)?;
    let loaded = Pending::write(&places.loaded, &text)?;
    if policy.is_due_each_minute() {
        // Before them: by itself it only costs looks.
        Pending::write(&places.due, "")?.put()?;
    }
    exempt.put()?;
    loaded.put()?;
    if !policy.is_due_each_minute() {
        // What is left of an older policy costs a look each minute.
        let _ = std::fs::remove_file(&places.due);
    }
    Ok(())
}

impl Policy {
    /// The files that are not as they were when it was read, and drop-ins that were not there. `None` if that is not
    /// known to who may not read them.
    pub fn changed(&self) -> Option<Vec<PathBuf>> {
        let mut changed = Vec::new();
        for then in &self.sources {
            match Source::open(&then.path, Trust::Anybody) {
                Ok(now) if Stamp::of(&now) == *then => {}
                Err(SourceError::Read { source, .. })
                    if source.kind() == std::io::ErrorKind::PermissionDenied =>
                {
                    return None;
                }
                _ => changed.push(then.path.clone()),
            }
        }
        let folder = self.files.first().and_then(|main| main.parent());
        // A folder that cannot be read is told by whoever reads the policy.
        let drop_ins = folder.and_then(|folder| {
            let drop_ins = folder.join(places::DROP_INS);
            checked::drop_ins(&drop_ins, Trust::Anybody).ok()
        });
        let (drop_ins, _) = drop_ins.unwrap_or_default();
        changed.extend(
            drop_ins
                .into_iter()
                .filter(|path| !self.files.contains(path)),
        );
        Some(changed)
    }
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    let mut text = String::with_capacity(64);
    for byte in digest {
        // Writing to a String cannot fail.
        let _ = std::fmt::Write::write_fmt(&mut text, format_args!("{byte:02x}"));
    }
    text
}

#[cfg(test)]
mod tests;
