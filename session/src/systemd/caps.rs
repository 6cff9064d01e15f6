//! Caps on a user's slice, from the first login to the last logout.
//!
//! systemd writes what it is asked to set into drop-ins of its own naming, which outlive the slice. What
//! was set before is kept in the user's folder, so that it can be put back where the slice goes on, and the
//! drop-ins are removed one by one. RevertUnitFiles would take the administrator's with them.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Bus, Property, Value, slice};
use crate::folder::remove_if_there;
use crate::{Error, Result, Tree, UserFolder};

/// Where systemd keeps what was set until the next boot (systemd.unit(5)).
const DROP_INS: &str = "/run/systemd/system.control";

/// What stood there before Berth set a property.
#[derive(Debug, Serialize, Deserialize)]
struct Before {
    property: Property,
    /// Somebody else had set it until the next boot, too.
    has_drop_in: bool,
}

/// Sets the caps of a user, and remembers what they were before the first login.
pub fn set_caps(
    bus: &mut Bus,
    folder: &UserFolder,
    uid: u32,
    properties: &[Property],
) -> Result<()> {
    let unit = slice(uid);
    let path = before(folder);
    let mut known = read(&path)?;
    let count = known.len();
    for property in properties {
        if known.iter().all(|one| one.property.name != property.name) {
            known.push(Before {
                property: Property::new(&property.name, bus.get(&unit, &property.name)?),
                has_drop_in: drop_in(&unit, &property.name).exists(),
            });
        }
    }
    if known.len() > count {
        // Before anything is set: whoever finds the file has something to take back.
        let text = serde_json::to_vec(&known).map_err(|error| broken(&path, &error))?;
        fs::write(&path, text).map_err(|error| Error::file("write", &path, error))?;
    }
    bus.set(&unit, &replacing(properties))
}

/// Whether systemd has been told of all these, whatever it was told.
pub fn is_set(uid: u32, properties: &[Property]) -> bool {
    let unit = slice(uid);
    properties
        .iter()
        .all(|property| drop_in(&unit, &property.name).exists())
}

/// Takes the caps of a user back. The caller holds the folder's lock, and nobody is logged in.
pub(crate) fn take_back(tree: &Tree, folder: &UserFolder, uid: u32) -> Result<()> {
    let path = before(folder);
    let known = read(&path)?;
    if known.is_empty() {
        return Ok(());
    }
    let unit = slice(uid);
    if tree.user(uid).exists() {
        // It lives on, and keeps in the kernel what is only removed from the drop-ins.
        let values: Vec<_> = known.iter().map(|one| one.property.clone()).collect();
        Bus::connect()?.set(&unit, &replacing(&values))?;
    }
    for one in known.iter().filter(|one| !one.has_drop_in) {
        remove_if_there(&drop_in(&unit, &one.property.name))?;
    }
    // Somebody else's may be in it.
    let _ = fs::remove_dir(Path::new(DROP_INS).join(format!("{unit}.d")));
    remove_if_there(&path)
}

/// systemd adds to lists: they are emptied first.
fn replacing(properties: &[Property]) -> Vec<Property> {
    let mut all = Vec::new();
    for property in properties {
        if let Value::Rates(rates) = &property.value {
            all.push(Property::new(&property.name, Value::Rates(Vec::new())));
            if rates.is_empty() {
                continue;
            }
        }
        all.push(property.clone());
    }
    all
}

fn before(folder: &UserFolder) -> PathBuf {
    folder.path().join("before")
}

fn read(path: &Path) -> Result<Vec<Before>> {
    match fs::read(path) {
        Ok(text) => serde_json::from_slice(&text).map_err(|error| broken(path, &error)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(Error::file("read", path, error)),
    }
}

fn broken(path: &Path, error: &serde_json::Error) -> Error {
    Error::Record {
        path: path.into(),
        reason: error.to_string(),
    }
}

/// The file that systemd writes when a property is set. It is named as the line in it is.
fn drop_in(unit: &str, property: &str) -> PathBuf {
    let line = match property {
        "CPUQuotaPerSecUSec" => "CPUQuota",
        same => same,
    };
    Path::new(DROP_INS)
        .join(format!("{unit}.d"))
        .join(format!("50-{line}.conf"))
}
