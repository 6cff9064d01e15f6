//! Caps on the slice of a user, or of all users, from the first login to the last logout.
//!
//! systemd writes what it is asked to set into drop-ins of its own naming, which outlive the slice. What
//! was set before is kept in the user's folder, so that it can be put back where the slice goes on, and the
//! drop-ins are removed one by one. RevertUnitFiles would take the administrator's with them.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Bus, Property, TIMER, give_back};
use crate::cgroup::freezer;
use crate::folder::{EVERYONE, USERS};
use crate::regular::{is_there, read_if_there, remove_if_there, replace_json, unfinished};
use crate::{Error, Group, Result, Tree, UserFolder};

/// Where systemd keeps what was set until the next boot (systemd.unit(5)).
pub const DROP_INS: &str = "/run/systemd/system.control";

/// Where it keeps what was set on a transient unit, until that ends.
pub const TRANSIENT: &str = "/run/systemd/transient";

/// In the folder of whose caps they are: what stood there before.
const BEFORE: &str = "before";

/// In a user's folder: there is no session, and what goes on of theirs is under caps.
const GOES_ON: &str = "goes-on";

/// What stood there before Berth set a property.
#[derive(Debug, Serialize, Deserialize)]
struct Before {
    property: Property,
    /// Somebody else had set it until the next boot, too.
    has_drop_in: bool,
}

/// Sets the caps of a slice, and remembers in the folder of whose it is what they were before the first login.
pub fn set_caps(
    bus: &mut Bus,
    folder: &UserFolder,
    unit: &str,
    properties: &[Property],
) -> Result<()> {
    let path = before(folder);
    let mut known = read(&path)?;
    let count = known.len();
    for property in properties {
        if known.iter().all(|one| one.property.name != property.name) {
            known.push(Before {
                property: Property::new(&property.name, bus.get(unit, &property.name)?),
                has_drop_in: is_there(&drop_in(DROP_INS, unit, &property.name))?,
            });
        }
    }
    if known.len() > count {
        // Before anything is set: whoever finds the file has something to take back.
        replace_json(&path, &known)?;
    }
    bus.set(unit, properties)
}

/// Sets a property of a unit for as long as it runs, and not for the next time it is started. One that somebody
/// else has set is left as it is.
pub fn set_while_it_runs(bus: &mut Bus, unit: &str, property: Property) -> Result<()> {
    if is_there(&drop_in(DROP_INS, unit, &property.name))? {
        return Ok(());
    }
    bus.set(unit, std::slice::from_ref(&property))?;
    // A scope's is elsewhere, and goes with the scope.
    forget_all(unit, [property.name.as_str()])
}

/// Removes what systemd has written down of a property in a folder ([`DROP_INS`], [`TRANSIENT`]): it counts as set no
/// more. What the unit has by it stays.
pub fn forget(folder: &str, unit: &str, property: &str) -> Result<()> {
    remove_if_there(&drop_in(folder, unit, property))
}

/// The same for some that were set until the next boot.
fn forget_all<'a>(unit: &str, properties: impl IntoIterator<Item = &'a str>) -> Result<()> {
    for property in properties {
        forget(DROP_INS, unit, property)?;
    }
    let _ = fs::remove_dir(Path::new(DROP_INS).join(format!("{unit}.d"))); // others' may be in it
    Ok(())
}

/// Removes all that was set until the next boot of a unit of Berth's that is not there: it would be read with the next of its
/// name.
pub fn forget_unit(unit: &str) {
    // What cannot be removed is a cap too many, for which no login fails.
    let _ = fs::remove_dir_all(Path::new(DROP_INS).join(format!("{unit}.d")));
}

/// Whether systemd has been told of all these for a slice, whatever it was told. `folder` is where it writes that
/// down: [`DROP_INS`], or for a transient unit [`TRANSIENT`].
pub fn is_set(folder: &str, unit: &str, properties: &[Property]) -> bool {
    properties
        .iter()
        .all(|property| drop_in(folder, unit, &property.name).exists())
}

/// What stood there before the first login, of all that was set since.
pub fn before_login(folder: &UserFolder) -> Result<Vec<Property>> {
    let known = read(&before(folder))?;
    Ok(known.into_iter().map(|one| one.property).collect())
}

/// Puts back some of what was set on a slice that goes on, as it was before the first login.
pub fn put_back(bus: &mut Bus, folder: &UserFolder, unit: &str, names: &[&str]) -> Result<()> {
    let path = before(folder);
    let (gone, kept): (Vec<Before>, Vec<Before>) = read(&path)?
        .into_iter()
        .partition(|one| names.contains(&one.property.name.as_str()));
    if gone.is_empty() {
        return Ok(());
    }
    let values: Vec<_> = gone.iter().map(|one| one.property.clone()).collect();
    bus.set(unit, &values)?;
    forget_all(unit, berths(&gone))?;
    match kept.is_empty() {
        true => remove_if_there(&path),
        false => replace_json(&path, &kept),
    }
}

/// Takes the caps of a user back, and everyone's after the last user, unless anything of theirs goes on: a service manager
/// does after the last logout, for a while or for ever (loginctl enable-linger, which every user may do), and stays under
/// them. It is among [`who_goes_on`] from then on, and its end is seen by who asks again.
pub fn take_back(tree: &Tree, folder: UserFolder, uid: u32) -> Result<()> {
    let mark = folder.path().join(GOES_ON);
    if !folder.sessions()?.is_empty() {
        return remove_if_there(&mark);
    }
    freezer::let_go(tree, uid)?;
    let slice = tree.user_in(None, uid);
    let everyones = Path::new(USERS).join(EVERYONE).join(BEFORE);
    let is_capped = || Ok::<_, Error>(is_there(&before(&folder))? || is_there(&everyones)?);
    if slice.is_populated() && is_capped()? && is_asked_again() {
        return mark_as_going_on(&folder);
    }
    give_back(tree, &folder, uid)?;
    take_back_from(&slice, &folder, false)?;
    remove_if_there(&mark)?;
    folder.remove_if_empty()?;
    drop(folder);
    take_back_everyones(tree)
}

/// Whether somebody asks again. Once Berth has been removed nobody does.
fn is_asked_again() -> bool {
    let is_active = Bus::connect().and_then(|mut bus| bus.is_active(TIMER));
    is_active.unwrap_or(true)
}

/// Has [`who_goes_on`] name a user whose caps are on without a session.
pub fn mark_as_going_on(folder: &UserFolder) -> Result<()> {
    let mark = folder.path().join(GOES_ON);
    File::create(&mark)
        .map(drop)
        .map_err(|error| Error::file("create", &mark, error))
}

/// The users who are under caps without a session of theirs, because something of theirs goes on, or a session did not come.
pub fn who_goes_on() -> Result<Vec<u32>> {
    let mut uids = UserFolder::uids()?;
    uids.retain(|uid| goes_on(*uid));
    Ok(uids)
}

/// Whether a user is one of these.
pub fn goes_on(uid: u32) -> bool {
    let folder = Path::new(USERS).join(uid.to_string());
    folder.join(GOES_ON).exists()
}

/// Takes the caps of all users together back, if nobody is logged in. The caller holds no user's lock.
pub fn take_back_everyones(tree: &Tree) -> Result<()> {
    if !is_there(&Path::new(USERS).join(EVERYONE))? || !UserFolder::are_all_gone()? {
        return Ok(());
    }
    let folder = UserFolder::lock_everyone()?;
    // Again: whoever comes now waits for the lock, with a folder.
    if UserFolder::are_all_gone()? {
        let slice = tree.everyone();
        take_back_from(&slice, &folder, slice.exists())?;
    }
    folder.remove_if_empty()
}

/// `stays`: logind wants it, whether anything is in it or not.
fn take_back_from(slice: &Group, folder: &UserFolder, stays: bool) -> Result<()> {
    let path = before(folder);
    remove_if_there(&unfinished(&path))?; // of somebody who was killed
    let known = read(&path)?;
    if known.is_empty() {
        return Ok(());
    }
    let unit = slice.name();
    // An empty one is about to go: to set anything now could make its cgroup anew.
    if stays || slice.is_populated() {
        // It lives on, and keeps in the kernel what is only removed from the drop-ins.
        let values: Vec<_> = known.iter().map(|one| one.property.clone()).collect();
        Bus::connect()?.set(unit, &values)?;
    }
    forget_all(unit, berths(&known))?;
    if slice.exists() && !slice.is_populated() {
        // Setting makes a cgroup, and only a slice that stops removes it. Nobody needs this one, so it
        // stops as soon as it has started. If it cannot, an empty cgroup is left.
        let _ = Bus::connect().and_then(|mut bus| bus.start(unit));
    }
    remove_if_there(&path)
}

fn before(folder: &UserFolder) -> PathBuf {
    folder.path().join(BEFORE)
}

/// The properties of these that nobody but Berth has set.
fn berths(known: &[Before]) -> impl Iterator<Item = &str> {
    let own = known.iter().filter(|one| !one.has_drop_in);
    own.map(|one| one.property.name.as_str())
}

fn read(path: &Path) -> Result<Vec<Before>> {
    let Some(text) = read_if_there(path)? else {
        return Ok(Vec::new());
    };
    serde_json::from_slice(&text).map_err(|error| Error::file("read", path, error))
}

/// The file that systemd writes below a folder when a property is set. It is named as the line in it is.
fn drop_in(folder: &str, unit: &str, property: &str) -> PathBuf {
    let line = match property {
        "CPUQuotaPerSecUSec" => "CPUQuota",
        same => same,
    };
    Path::new(folder)
        .join(format!("{unit}.d"))
        .join(format!("50-{line}.conf"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::own_folder::Folder;
    use crate::systemd::Value;

    #[test]
    fn what_stood_there_is_known_whoever_is_killed_while_it_is_written_anew() {
        let folder = Folder::new();
        let path = folder.join("before");
        let one = || Before {
            property: Property::new("TasksMax", Value::Number(50)),
            has_drop_in: false,
        };
        replace_json(&path, &[one()]).unwrap();
        // What is found now is found up to the moment when all of the new is there.
        let found = fs::File::open(&path).unwrap();
        replace_json(&path, &[one(), one()]).unwrap();
        let found: Vec<Before> = serde_json::from_reader(found).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(read(&path).unwrap().len(), 2);
        assert!(!unfinished(&path).exists());
        fs::write(&path, "[").unwrap();
        let told = read(&path).unwrap_err().to_string();
        let says = format!("cannot read {}: EOF", path.display());
        assert!(told.starts_with(&says), "{told}");
    }
}
