//! The policy in force: a copy that logins read instead of the files.
//!
//! One JSON object. What is believed of it first is only its version and a checksum over the bytes
//! of the policy in it; a copy of another version, or a damaged one, is as good as none.

use std::io::{Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use crate::checked;
use crate::contents::Contents;
use crate::places::{self, Places};
use crate::policy::Policy;
use crate::source::{self, SourceError, Trust};

/// Counts changes of what is in a copy. A copy is for the version that wrote it, and no other.
const FORMAT: u32 = 1;

/// No copy is longer.
const LARGEST: u64 = 16 << 20;

/// When a policy was put in force, and from what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// When.
    pub at: SystemTime,
    /// Of all that is in it: no other policy has this one.
    pub sha256: String,
    /// The files, with the checksums that they had.
    pub sources: Vec<Stamp>,
}

/// A file as it was when it was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// The file.
    pub path: PathBuf,
    /// Its SHA-256.
    pub sha256: String,
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
    /// A file of the policy's could not be read again.
    #[error(transparent)]
    Source(#[from] SourceError),
}

#[derive(Serialize, Deserialize)]
struct Envelope<P> {
    version: String,
    format: u32,
    /// Seconds since 1970.
    loaded: u64,
    sha256: String,
    policy: P,
}

#[derive(Serialize, Deserialize)]
struct Body<C> {
    contents: C,
    names: Vec<String>,
    sources: Vec<Stamp>,
}

/// The loaded copy; `None` where there is none that can be used.
pub(crate) fn load(path: &Path) -> Result<Option<Policy>, SourceError> {
    let mut text = String::new();
    match source::open(path, Trust::Root) {
        Ok(file) => {
            // What cannot be read to its end is damaged.
            if file.take(LARGEST).read_to_string(&mut text).is_err() {
                return Ok(None);
            }
        }
        Err(SourceError::Read { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    }
    Ok(decode(&text))
}

pub(crate) fn decode(text: &str) -> Option<Policy> {
    let envelope: Envelope<&RawValue> = serde_json::from_str(text).ok()?;
    if envelope.version != env!("CARGO_PKG_VERSION") || envelope.format != FORMAT {
        return None;
    }
    if sha256(envelope.policy.get().as_bytes()) != envelope.sha256 {
        return None;
    }
    let body: Body<Contents> = serde_json::from_str(envelope.policy.get()).ok()?;
    let files = body
        .sources
        .iter()
        .map(|stamp| stamp.path.clone())
        .collect();
    let mut policy = Policy::new(body.contents, body.names, files);
    policy.loaded = Some(Loaded {
        at: UNIX_EPOCH.checked_add(Duration::from_secs(envelope.loaded))?,
        sha256: envelope.sha256,
        sources: body.sources,
    });
    Some(policy)
}

pub(crate) fn encode(
    policy: &Policy,
    at: SystemTime,
    sources: Vec<Stamp>,
) -> Result<String, InstallError> {
    let body = serde_json::to_string(&Body {
        contents: &policy.contents,
        names: policy.names.clone(),
        sources,
    })?;
    let since_1970 = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(serde_json::to_string(&Envelope {
        version: env!("CARGO_PKG_VERSION").into(),
        format: FORMAT,
        loaded: since_1970.as_secs(),
        sha256: sha256(body.as_bytes()),
        policy: RawValue::from_string(body)?,
    })?)
}

/// Puts a policy in force: writes the list of exempt accounts and the copy, each as a whole or not
/// at all.
pub fn install(policy: &Policy, places: &Places) -> Result<(), InstallError> {
    let sources = policy
        .files
        .iter()
        .map(|path| stamp(path))
        .collect::<Result<_, _>>()?;
    let text = encode(policy, SystemTime::now(), sources)?;
    // Both are on the disk before either takes its place.
    let exempt = Pending::write(&places.exempt, &policy.exempt.render())?;
    let loaded = Pending::write(&places.loaded, &text)?;
    exempt.put()?;
    if policy.is_due_each_minute() {
        Pending::write(&places.due, "")?.put()?;
    }
    loaded.put()?;
    if !policy.is_due_each_minute() {
        // What is left of an older policy costs a look each minute.
        let _ = std::fs::remove_file(&places.due);
    }
    Ok(())
}

impl Loaded {
    /// Whether the files are still those that the policy was made from.
    pub fn is_current(&self) -> bool {
        self.changed().is_empty()
    }

    /// The files that are not as they were, and drop-ins that were not there.
    pub fn changed(&self) -> Vec<PathBuf> {
        let mut changed: Vec<PathBuf> = self
            .sources
            .iter()
            .filter(|then| stamp(&then.path).ok().as_ref() != Some(then))
            .map(|stamp| stamp.path.clone())
            .collect();
        let folder = self.sources.first().and_then(|main| main.path.parent());
        // A folder that cannot be read is told by whoever reads the policy.
        let drop_ins = folder.and_then(|folder| {
            let drop_ins = folder.join(places::DROP_INS);
            checked::drop_ins(&drop_ins, Trust::Anybody).ok()
        });
        let (drop_ins, _) = drop_ins.unwrap_or_default();
        changed.extend(
            drop_ins
                .into_iter()
                .filter(|path| self.sources.iter().all(|then| then.path != *path)),
        );
        changed
    }
}

fn stamp(path: &Path) -> Result<Stamp, SourceError> {
    let source = source::Source::open(path, Trust::Anybody)?;
    Ok(Stamp {
        path: path.into(),
        sha256: sha256(source.text.as_bytes()),
    })
}

fn sha256(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    let mut text = String::with_capacity(64);
    for byte in digest {
        // Writing to a String cannot fail.
        let _ = std::fmt::Write::write_fmt(&mut text, format_args!("{byte:02x}"));
    }
    text
}

/// A file written beside the one that it replaces.
pub(crate) struct Pending {
    beside: PathBuf,
    path: PathBuf,
}

impl Pending {
    fn write(path: &Path, text: &str) -> Result<Pending, InstallError> {
        // The module reads it in the user's own processes too.
        Pending::write_with_mode(path, text, 0o644)
    }

    /// As [`Pending::write`], for root's eyes only.
    pub(crate) fn write_for_root(path: &Path, text: &str) -> Result<Pending, InstallError> {
        Pending::write_with_mode(path, text, 0o600)
    }

    fn write_with_mode(path: &Path, text: &str, mode: u32) -> Result<Pending, InstallError> {
        let folder = path.parent().unwrap_or(Path::new("/"));
        let error = |path: &Path| {
            let path = path.to_owned();
            move |source| InstallError::Write { path, source }
        };
        std::fs::create_dir_all(folder).map_err(error(folder))?;
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".new");
        let beside = folder.join(name);
        // Left behind by a reload that was killed.
        if let Err(source) = std::fs::remove_file(&beside) {
            if source.kind() != std::io::ErrorKind::NotFound {
                return Err(error(&beside)(source));
            }
        }
        let pending = Pending {
            beside,
            path: path.into(),
        };
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&pending.beside)
            .map_err(error(&pending.beside))?;
        // Whatever the umask is.
        file.set_permissions(std::fs::Permissions::from_mode(mode))
            .and_then(|()| file.write_all(text.as_bytes()))
            .and_then(|()| file.sync_all())
            .map_err(error(&pending.beside))?;
        Ok(pending)
    }

    pub(crate) fn put(self) -> Result<(), InstallError> {
        let error = |source| InstallError::Write {
            path: self.path.clone(),
            source,
        };
        std::fs::rename(&self.beside, &self.path).map_err(error)?;
        let folder = self.path.parent().unwrap_or(Path::new("/"));
        std::fs::File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(error)
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        // After `put` there is nothing left; after an error nothing may be.
        let _ = std::fs::remove_file(&self.beside);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The contents of a text, whether or not all of it is done yet.
    fn policy(text: &str) -> Policy {
        let source = source::Source::new("policy.toml".into(), text.into());
        let mut names = Vec::new();
        let read = crate::read::read(&source, 0, crate::read::Part::Main, &mut names);
        assert_eq!(read.findings, []);
        Policy::new(read.contents, names, vec!["policy.toml".into()])
    }

    /// As the file would be read again, without the spans, which are not kept.
    fn again(policy: &Policy) -> Policy {
        decode(&encode(policy, UNIX_EPOCH, Vec::new()).unwrap()).unwrap()
    }

    #[test]
    fn a_copy_says_what_the_files_say() {
        let examples = ["lab", "tilde", "hpc"].map(|name| {
            let path = format!(
                "{}/../packaging/examples/{name}.toml",
                env!("CARGO_MANIFEST_DIR")
            );
            std::fs::read_to_string(path).unwrap()
        });
        let odd = r#"version = 1
[profile.a]
max_sessions = "infinity"
pool = "unset"
rlimits = { core = "unset", nice = -5, nofile = "1:infinity" }
user = { memory_max = "unset", cpu_quota = "infinity", io_read_iops_max = { "/srv" = "infinity" } }
namespaces = { private_shm = false, private_tmp = false }
logout = { linger = "infinity" }
"#;
        for text in examples.iter().map(String::as_str).chain([odd]) {
            let policy = policy(text);
            let once = again(&policy);
            // Spans apart, which a copy has not, nothing may be lost.
            assert_eq!(again(&once).contents, once.contents);
            assert_eq!(
                serde_json::to_value(&once.contents).unwrap(),
                serde_json::to_value(&policy.contents).unwrap()
            );
            let merged = |policy: &Policy| {
                let names = policy.contents.profiles.keys();
                let merged = policy.contents.merged(names);
                (
                    merged.keys.max_sessions.map(|setting| setting.value),
                    merged.logout.linger.map(|setting| setting.value),
                    merged.namespaces.private_shm.map(|setting| setting.value),
                    merged.user.memory_max.map(|setting| setting.value),
                    merged
                        .keys
                        .pool
                        .map(|setting| setting.value.map(|pool| pool.name)),
                )
            };
            assert_eq!(merged(&once), merged(&policy));
        }
    }

    #[test]
    fn a_damaged_copy_or_one_of_another_version_is_none() {
        let text = encode(&policy("version = 1\n"), UNIX_EPOCH, Vec::new()).unwrap();
        assert!(decode(&text).is_some());
        for (from, to) in [
            ("\"rules\":[]", "\"rules\": []"),
            (env!("CARGO_PKG_VERSION"), "99.0.0"),
            ("\"format\":1", "\"format\":2"),
            ("}", ""),
        ] {
            assert!(text.contains(from), "{from}");
            assert!(decode(&text.replacen(from, to, 1)).is_none(), "{from}");
        }
        assert!(decode("").is_none());
        assert!(decode(&text[..text.len() / 2]).is_none());
    }
}
