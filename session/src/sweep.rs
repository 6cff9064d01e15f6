//! Removing every trace of a session.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::folder::remove_if_there;
use crate::{Error, Group, Record, Result, SessionId, Tree, UserFolder};

/// Private /tmp folders on disk, one for each session that has one. Root's alone, and not in a place
/// where users can write: no name in it can be taken or exchanged by a user.
pub const PRIVATE_TMP: &str = "/var/lib/berth/tmp";

/// How long processes may take to die after `cgroup.kill`. Only a process that waits for a device
/// takes longer than moments.
const DYING: Duration = Duration::from_secs(10);

/// The private /tmp of a session.
pub fn private_tmp(id: SessionId) -> PathBuf {
    Path::new(PRIVATE_TMP).join(id.to_string())
}

/// Makes an empty private /tmp for a session. What stands there under this id is from before a crash:
/// ids begin anew at each boot, and /var/lib does not.
pub fn make_private_tmp(id: SessionId) -> Result<PathBuf> {
    let path = private_tmp(id);
    remove_tree(&path)?;
    let parent = Path::new(PRIVATE_TMP);
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(parent)
        .and_then(|()| fs::set_permissions(parent, fs::Permissions::from_mode(0o700)))
        .and_then(|()| fs::DirBuilder::new().mode(0o700).create(&path))
        .map_err(|error| Error::file("create the private /tmp", &path, error))?;
    Ok(path)
}

/// Ends what is left of a session and removes every trace of it: processes, cgroups, private /tmp,
/// record. Content with whatever is already gone, so that it serves the keeper at an ordinary end,
/// a failed set-up's roll-back, the standby after a killed keeper, and `berth doctor` after a crash.
///
/// Every step is tried even if an earlier one failed; the first failure is returned.
pub fn sweep(tree: Option<&Tree>, uid: u32, id: SessionId) -> Result<()> {
    let mut outcome = Ok(());
    let mut step = |result: Result<()>| {
        if outcome.is_ok() {
            outcome = result;
        }
    };
    if let Some(tree) = tree {
        for group in tree.session(uid, id).iter().filter(|group| group.exists()) {
            step(kill(group));
        }
    }
    step(remove_tree(&private_tmp(id)));
    let folder = UserFolder::lock(uid);
    if let Some(tree) = tree {
        // With the user's last session its cgroup goes too, with the caps that are on it. Under the
        // folder's lock, so that no login finds it half gone.
        for group in tree.session(uid, id) {
            step(group.remove().map(drop));
        }
        let user = tree.user(uid);
        for group in [user.child("sessions"), user.child("rescue"), user] {
            step(group.remove().map(drop));
        }
    }
    // The record goes last: as long as anything is left, something says so.
    step(remove_if_there(&Record::path(id)));
    step(folder.and_then(|folder| folder.remove(id)));
    outcome
}

/// Kills every process of a cgroup at once (cgroup.kill, Linux 5.14) and waits until it is empty.
fn kill(group: &Group) -> Result<()> {
    group.write("cgroup.kill", "1")?;
    let deadline = Instant::now() + DYING;
    while group.is_populated() {
        if Instant::now() > deadline {
            return Err(Error::Unkillable {
                path: group.path().into(),
            });
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// Removes a folder and all below it, never following a symbolic link (`remove_dir_all` works by
/// descriptors, so that a link swapped in at the right moment leads nowhere).
fn remove_tree(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::file("remove", path, error))
        }
        _ => Ok(()),
    }
}
