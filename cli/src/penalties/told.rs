//! What users may read of where they stand: a file for each, which root writes, and which is its user's alone to read.
//! That there is one is no secret: everybody may read everybody's cpu.max.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use berth_config::Standing;
use berth_session::{let_read, read_file, replace_file};

/// Of this boot only: the next round writes it anew.
const FOLDER: &str = "/run/berth-standings";

/// Writes them, and removes all others.
pub fn write(standings: &BTreeMap<u32, Standing>) -> io::Result<()> {
    let folder = Path::new(FOLDER);
    if standings.is_empty() && !folder.exists() {
        return Ok(());
    }
    match DirBuilder::new().mode(0o711).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let uid = name.to_str().and_then(|name| name.parse().ok());
        if uid.is_none_or(|uid: u32| !standings.contains_key(&uid)) {
            fs::remove_file(entry.path())?;
        }
    }
    for (uid, standing) in standings {
        let (path, new) = (uid.to_string(), format!(".{uid}"));
        let text = serde_json::to_vec(standing)?;
        // Where the file system has no lists of who may read, it is root's alone.
        replace_file(&folder.join(path), &folder.join(new), &text, |file| {
            let _ = let_read(file, *uid);
        })?;
    }
    Ok(())
}

/// Where a user stands, as they are told themselves.
pub fn read(uid: u32) -> Option<Standing> {
    let text = read_file(Path::new(FOLDER).join(uid.to_string())).ok()?;
    serde_json::from_slice(&text).ok()
}
