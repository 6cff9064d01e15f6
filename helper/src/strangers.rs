//! Who is in a session's cgroup by mistake.
//!
//! The kernel and systemd take a process by its PID. Whoever has typed `su` can kill it, and see to it that the next
//! process of anybody's gets its PID, just when Berth has that moved. A move back is by a PID, too: so nobody is moved who
//! is not seen to be there just before, and afterwards it is looked who was.

use std::fmt::Display;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use berth_session::{Group, Line, Record, Role, Stat, Tree, status_of};

use crate::error::{Result, file};
use crate::leader::{patiently, uids};

/// How long a cgroup is looked at that goes on filling: each may start others before it is moved, and the module waits.
const PATIENCE: Duration = Duration::from_secs(2);

/// How often it is looked who was moved. Each time but the first a PID has changed hands once more.
const LOOKS: u32 = 5;

/// Takes everybody out of cgroups in which nothing is the session's: its leader has ended before it was open.
pub fn let_go(tree: &Tree, groups: &[Group]) {
    let until = Instant::now() + PATIENCE;
    for group in groups.iter().filter(|group| group.exists()) {
        let mut goes_on = true;
        while goes_on {
            goes_on = false;
            let listed = patiently(|| Ok(group.processes()?));
            let listed = listed.unwrap_or_else(|error| {
                stays(None, group, &error.to_string());
                Vec::new()
            });
            for pid in listed {
                if Instant::now() > until {
                    return stays(None, group, "the cgroup goes on filling");
                }
                goes_on |= put_back(tree, pid, group, groups);
            }
        }
    }
}

/// Moves one out of a cgroup, to where it belongs, if it is still there: not to those whose session has `ended`. Says whether
/// any was moved.
pub fn put_back(tree: &Tree, pid: i32, from: &Group, ended: &[Group]) -> bool {
    let mut here = from.clone();
    for _ in 0..LOOKS {
        match patiently(|| moved(tree, pid, &here, ended)) {
            Ok(Some(place)) => here = place,
            Ok(None) => break,
            Err(error) => {
                stays(Some(pid), &here, &error.to_string());
                break;
            }
        }
    }
    here != *from
}

fn stays(pid: Option<i32>, group: &Group, why: &str) {
    let text = "who came there by the PID of a login that was killed stays (in a session's cgroup, to end with it)";
    let line = Line::new("leader").optional("pid", pid);
    let line = line.field("cgroup", group.path().display());
    line.field("error", format!("{text}: {why}")).error();
}

/// Says where it was moved, if it was.
fn moved(tree: &Tree, pid: i32, from: &Group, ended: &[Group]) -> Result<Option<Group>> {
    let Some((role, parent)) = look(pid)? else {
        return Ok(None);
    };
    let place = place_of(tree, role, parent, ended)?;
    // Just before the move: to find where somebody belongs takes a while.
    if look(pid)? != Some((role, parent)) || tree.of_process(pid)?.as_ref() != Some(from) {
        return Ok(None);
    }
    match place {
        Some(place) if place == *from => Ok(None),
        Some(place) => {
            place.write("cgroup.procs", &pid.to_string())?;
            Ok(Some(place))
        }
        None => {
            let why = "there is no cgroup that it may have come from";
            stays(Some(pid), from, why);
            Ok(None)
        }
    }
}

/// A process that has not ended, and its parent. As long as both are the same, nobody else has their PIDs.
fn look(pid: i32) -> Result<Option<(Role, i32)>> {
    let stat = Stat::of(pid).map_err(file("look at", format!("/proc/{pid}")))?;
    let alive = stat.filter(|stat| !matches!(stat.field(3), Some('Z' | 'X')));
    Ok(alive.and_then(|stat| {
        let start = stat.field(22)?;
        Some((Role { pid, start }, stat.field(4)?))
    }))
}

/// Where it belongs: whose session has begun meanwhile, in that; the helper of another login among the keepers. Else in its
/// parent's cgroup, where it was started; but a user's never where nobody else of theirs is, and nobody's where orphans come
/// to: such a cgroup has no caps. A user's goes to one of their sessions then: to their parent's, or else the oldest.
fn place_of(tree: &Tree, role: Role, parent: i32, ended: &[Group]) -> Result<Option<Group>> {
    let file_of = |pid| file("look at", format!("/proc/{pid}"));
    let Some([owner, _]) = uids(role.pid).map_err(file_of(role.pid))? else {
        return Ok(None);
    };
    let records = records()?;
    let groups = |record: &Record| {
        let cgroup = record.cgroup.as_ref().map(|below| tree.group(below));
        let own = tree.session(record.uid, record.id).unwrap_or_default();
        cgroup.into_iter().chain(own)
    };
    let mut led = records.iter().filter(|record| record.leader == role);
    if let Some(place) = led.find_map(|record| groups(record).find(Group::exists)) {
        return Ok(Some(place));
    }
    // Its standby may be in a cgroup that a user can freeze.
    if owner == "0" && program(role.pid).is_some_and(|its| program("self") == Some(its)) {
        return Ok(Some(tree.keepers()));
    }
    let theirs = |record: &&Record| owner != "0" && record.uid.to_string() == owner;
    let has_session = records.iter().any(|record| theirs(&record));
    let in_its_namespace = status_of(parent, "NSpid").map_err(file_of(parent))?;
    let is_init = in_its_namespace.is_none_or(|pids| pids.split_whitespace().last() == Some("1"));
    let parents = uids(parent).map_err(file_of(parent))?;
    let is_its = |[real, _]: [String; 2]| real == owner || (real == "0" && !has_session);
    let home = tree.of_process(parent)?;
    if !is_init && parents.is_some_and(is_its) {
        return Ok(home);
    }
    let others = records.iter().filter(theirs).flat_map(groups);
    let others = others.filter(|group| !ended.contains(group) && group.is_populated());
    Ok(others.min_by_key(|group| home.as_ref() != Some(group)))
}

/// Which file a process runs; none of one that cannot be looked at.
fn program(process: impl Display) -> Option<(u64, u64)> {
    let file = fs::metadata(format!("/proc/{process}/exe")).ok()?;
    Some((file.dev(), file.ino()))
}

/// Of all sessions. None may be missing for want of a descriptor: who has a session seems to have none then.
fn records() -> Result<Vec<Record>> {
    let records = Record::ids()?.into_iter().map(Record::read);
    // A session may end meanwhile.
    let records = records.filter(|record| !matches!(record, Err(error) if error.is_not_found()));
    Ok(records.collect::<berth_session::Result<_>>()?)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use berth_session::Backend;
    use nix::libc;
    use nix::sys::signal::{Signal, kill};
    use nix::sys::wait::{WaitStatus, waitpid};
    use nix::unistd::Pid;

    use super::*;
    use crate::settings::folder::Folder;
    use crate::sys::{self, Cloned};

    /// A PID of a list may be another process's when its turn comes, and that one is in its own session by then.
    #[test]
    fn who_is_not_there_any_more_is_not_moved() {
        let folder = Folder::new();
        let tree = folder.tree(Backend::Cgroupfs);
        let own = tree.of_process(std::process::id() as i32).unwrap().unwrap();
        fs::create_dir_all(own.path()).unwrap();
        fs::write(own.path().join("cgroup.procs"), "").unwrap();
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        assert!(!put_back(
            &tree,
            child.id() as i32,
            &tree.root().child("session"),
            &[]
        ));
        assert_eq!(own.processes().unwrap(), Vec::<i32>::new());
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// The helper of another login. Its standby, which has started it, is where that is: in a cgroup that a user may freeze.
    #[test]
    fn a_helper_goes_to_the_keepers_and_not_to_who_has_started_it() {
        let folder = Folder::new();
        let tree = folder.tree(Backend::Cgroupfs);
        let Cloned::Parent { child, .. } = sys::clone(0, None).unwrap() else {
            std::thread::sleep(Duration::from_secs(60));
            sys::exit(0)
        };
        let here = tree.of_process(child.as_raw()).unwrap().unwrap();
        fs::create_dir_all(tree.keepers().path()).unwrap();
        fs::write(tree.keepers().path().join("cgroup.procs"), "").unwrap();
        let place = moved(&tree, child.as_raw(), &here, &[]).unwrap();
        assert_eq!(place, Some(tree.keepers()));
        assert_eq!(tree.keepers().processes().unwrap(), [child.as_raw()]);
        kill(child, Signal::SIGKILL).unwrap();
        waitpid(child, None).unwrap();
    }

    #[test]
    fn who_cannot_be_looked_at_is_not_taken_for_gone() {
        let folder = Folder::new();
        let tree = folder.tree(Backend::Cgroupfs);
        let me = std::process::id() as i32;
        let own = tree.of_process(me).unwrap().unwrap();
        assert!(moved(&tree, me, &tree.root().child("session"), &[]).is_ok());
        match sys::clone(0, None).unwrap() {
            Cloned::Child => {
                let none = libc::rlimit {
                    rlim_cur: 0,
                    rlim_max: 0,
                };
                let limited = sys::prlimit(Pid::from_raw(0), libc::RLIMIT_NOFILE, Some(none));
                let unseen = moved(&tree, me, &own, &[]).is_err();
                sys::exit((limited.is_err() || !unseen).into())
            }
            Cloned::Parent { child, .. } => {
                assert_eq!(waitpid(child, None).unwrap(), WaitStatus::Exited(child, 0));
            }
        }
    }
}
