//! Removing every trace of a session.

use std::fs::{self, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, lchown};
use std::path::{Path, PathBuf};
use std::slice;
use std::time::{Duration, Instant};

use crate::cgroup::protection::Covers;
use crate::cgroup::tree::Backend;
use crate::regular::remove_if_there;
use crate::systemd;
use crate::{Error, Group, Record, Result, SessionId, Tree, UserFolder};

/// Private /tmp folders on disk, one for each session that has one. Root's alone, and not in a place
/// where users can write: no name in it can be taken or exchanged by a user.
pub const PRIVATE_TMP: &str = "/var/lib/berth/tmp";

/// How long processes may take to die after `cgroup.kill`. Only a process that waits for a device
/// takes longer than moments.
const DYING: Duration = Duration::from_secs(10);

/// How long a folder that somebody goes on filling, or making deeper, is emptied before the keeper's next try.
const FILLING: Duration = Duration::from_secs(10);

/// The private /tmp of a session.
pub fn private_tmp(id: SessionId) -> PathBuf {
    Path::new(PRIVATE_TMP).join(id.to_string())
}

/// What the name of one begins with that was put aside.
pub(crate) const STALE: &str = "stale-";

/// Where an earlier boot's private /tmp of the same id is put aside.
fn stale_tmp(id: SessionId) -> PathBuf {
    Path::new(PRIVATE_TMP).join(format!("{STALE}{id}"))
}

/// Makes an empty private /tmp for a session. What stands there under this id is from before a crash:
/// ids begin anew at each boot, and /var/lib does not.
pub fn make_private_tmp(id: SessionId) -> Result<PathBuf> {
    let path = private_tmp(id);
    let parent = Path::new(PRIVATE_TMP);
    // Put aside in one step and not removed here: it may be large, and a login waits. The sweep of this
    // session takes it along.
    match fs::rename(&path, stale_tmp(id)) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        // There is one aside already, from a boot before that.
        Err(_) => remove_tree(&path)?,
        Ok(()) => {}
    }
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(parent)
        .and_then(|()| fs::set_permissions(parent, Permissions::from_mode(0o700)))
        .and_then(|()| fs::DirBuilder::new().mode(0o700).create(&path))
        .map_err(|error| Error::file("create the private /tmp", &path, error))?;
    Ok(path)
}

/// Ends what is left of a session and removes every trace of it: processes, cgroups, private /tmp,
/// record. Content with whatever is already gone, so that it serves the keeper at an ordinary end,
/// a failed set-up's roll-back, and the standby after a killed keeper.
///
/// Every step is tried even if an earlier one failed; the first failure is returned. Nothing is touched where it cannot be
/// seen which cgroups there are, as what runs in the session's would go on, and no cgroup is removed without the user's lock.
pub fn sweep(tree: Option<&Tree>, uid: u32, id: SessionId) -> Result<()> {
    sweep_until(tree, uid, id, None)
}

/// The same, and from a time on it is tried no longer: somebody waits. What is left then is found as before, and is less.
pub fn sweep_until(
    tree: Option<&Tree>,
    uid: u32,
    id: SessionId,
    until: Option<Instant>,
) -> Result<()> {
    let own = tree.map_or(Ok(Vec::new()), |tree| tree.session(uid, id))?;
    let unit = tree.map_or(Ok(None), |tree| unit(tree, id))?;
    let mut outcome = Ok(());
    let mut step = |result: Result<()>| {
        if outcome.is_ok() {
            outcome = result;
        }
    };
    if let Some(tree) = tree {
        for group in &own {
            step(kill(tree, group, until));
        }
        if let Some(unit) = &unit {
            // logind gives its name again, to a later session of the user's: the next try must not end that one.
            step(kill(tree, unit, until).and_then(|()| Record::leave_cgroup_alone(id)));
        }
    }
    step(remove_tree_until(&private_tmp(id), until));
    step(remove_tree_until(&stale_tmp(id), until));
    let patient = || Instant::now() + UserFolder::PATIENCE;
    let folder = UserFolder::lock_until(uid, until.unwrap_or_else(patient));
    if let (Some(tree), Ok(_)) = (tree, &folder) {
        // With the user's last session its cgroup goes too, with the caps that are on it. Under the
        // folder's lock, so that no login finds it half gone.
        let covers = Covers::above(tree, uid);
        for group in &own {
            step(remove_own(group));
        }
        // And its pool's, and the one of all users, with the last user.
        let above = tree.above_session(uid);
        step(above.and_then(|above| above.iter().try_for_each(|group| group.remove().map(drop))));
        step(covers.and_then(|covers| covers.follow()));
    }
    // The record goes last: as long as anything of the session is left, something says so.
    outcome?;
    let folder = folder?;
    let by_systemd = tree.filter(|tree| tree.backend() == Backend::Systemd);
    if by_systemd.is_some() {
        // Before nothing names the session any more: where systemd is too busy to take caps back, the timer asks again. Without
        // room for that it is tried this once.
        let _ = systemd::mark_as_going_on(&folder);
    }
    remove_if_there(&Record::unfinished(id))?;
    remove_if_there(&Record::path(id))?;
    folder.remove(id)?;
    match by_systemd {
        // With a user's last session their caps go, too.
        Some(tree) => systemd::take_back(tree, folder, uid),
        None => folder.remove_if_empty(),
    }
}

/// Removes a cgroup that nobody else is in. One that stays is an error, or it would stay for good: with the record what
/// says so would be gone.
fn remove_own(group: &Group) -> Result<()> {
    match group.remove()? {
        true => Ok(()),
        false => {
            let busy = std::io::Error::from(ErrorKind::ResourceBusy);
            Err(Error::file("remove the cgroup", group.path(), busy))
        }
    }
}

/// The unit that systemd has a session in, if it is to end with the session.
fn unit(tree: &Tree, id: SessionId) -> Result<Option<Group>> {
    if tree.backend() == Backend::Cgroupfs {
        return Ok(None);
    }
    match Record::read(id) {
        Err(error) if error.is_not_found() => Ok(None),
        record => Ok(record?.cgroup.map(|cgroup| tree.group(&cgroup))),
    }
}

/// Kills every process of a cgroup and waits until it is empty, content to find it gone.
fn kill(tree: &Tree, group: &Group, until: Option<Instant>) -> Result<()> {
    if group.is_populated() {
        let killed = tree.kill(slice::from_ref(group), until);
        killed.into_iter().collect::<Result<()>>()?;
    }
    let deadline = Instant::now() + DYING;
    while group.is_populated() {
        if Instant::now() > deadline || is_over(until) {
            return Err(Error::Unkillable {
                path: group.path().into(),
            });
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// Removes a folder and all below it, however deep: users nest folders as they like, and
/// `remove_dir_all` holds a descriptor for each level. So what stands two levels down is moved up one
/// until nothing does.
///
/// No symbolic link is followed, and none can be swapped in: nobody but root can exchange what stands directly in the
/// top folder, and of a name below that only the name itself is removed or moved.
///
/// The processes that wrote here have ended, but they may have passed a descriptor of a folder to another session of
/// the user's, and that one goes on making and removing files there: neither is to end this half done. Each folder is made
/// root's before it is emptied, which puts an end to the making.
pub(crate) fn remove_tree(path: &Path) -> Result<()> {
    remove_tree_until(path, None)
}

fn remove_tree_until(path: &Path, until: Option<Instant>) -> Result<()> {
    match flatten(path, until) {
        Err(error) if error.kind() != ErrorKind::NotFound || path.symlink_metadata().is_ok() => {
            Err(Error::file("remove", path, error))
        }
        _ => Ok(()),
    }
}

fn is_over(until: Option<Instant>) -> bool {
    until.is_some_and(|until| Instant::now() > until)
}

fn flatten(top: &Path, until: Option<Instant>) -> std::io::Result<()> {
    let mut moved = 0_u64;
    let filled = Instant::now() + FILLING;
    // After that: how many names there were, and how many more are gone through before there have to be fewer.
    let (mut names, mut more) = (usize::MAX, 0);
    loop {
        let mut is_empty = true;
        for entry in fs::read_dir(top)? {
            let entry = entry?;
            is_empty = false;
            if is_over(until) {
                return Err(ErrorKind::TimedOut.into());
            }
            // Who makes folders in folders ahead of this is not followed for ever. Counted by names, as what is moved up may
            // come in the same round.
            if is_over(Some(filled)) && more == 0 {
                more = fs::read_dir(top)?.count();
                if more >= names {
                    return Err(ErrorKind::DirectoryNotEmpty.into());
                }
                names = more;
            }
            more = more.saturating_sub(1);
            if !entry.file_type()?.is_dir() {
                fs::remove_file(entry.path())?;
                continue;
            }
            let is_roots = take_away(&entry.path()).is_ok();
            for inner in fs::read_dir(entry.path())? {
                let inner = inner?;
                if is_over(until) {
                    return Err(ErrorKind::TimedOut.into());
                }
                let done = if inner.file_type()?.is_dir() {
                    match fs::rename(inner.path(), free_name(top, &mut moved)) {
                        Err(error) if error.kind() == ErrorKind::CrossesDevices && is_roots => {
                            raise_within(&entry.path(), &inner.path(), &mut moved, until)
                        }
                        done => done,
                    }
                } else {
                    fs::remove_file(inner.path())
                };
                match done {
                    Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
            match fs::remove_dir(entry.path()) {
                // The next round finds what was made in there meanwhile.
                Err(error)
                    if error.kind() != ErrorKind::DirectoryNotEmpty || Instant::now() > filled =>
                {
                    return Err(error);
                }
                _ => {}
            }
        }
        if is_empty {
            return fs::remove_dir(top);
        }
    }
}

/// Moves what is in a folder up into the one that the folder is in, which is root's by now, and removes it: nothing of a btrfs
/// subvolume, which every user may make, can be moved out of it.
fn raise_within(
    entry: &Path,
    folder: &Path,
    moved: &mut u64,
    until: Option<Instant>,
) -> std::io::Result<()> {
    take_away(folder)?;
    for inner in fs::read_dir(folder)? {
        if is_over(until) {
            return Err(ErrorKind::TimedOut.into());
        }
        let path = inner?.path();
        fs::rename(path, free_name(entry, moved))?;
    }
    fs::remove_dir(folder)
}

/// Makes a folder root's, so that nobody can go on making files in it by a descriptor that they still have. Where CAP_CHOWN is
/// missing, in a container, who goes on is emptied behind for a while.
fn take_away(folder: &Path) -> std::io::Result<()> {
    lchown(folder, Some(0), Some(0))?;
    fs::set_permissions(folder, Permissions::from_mode(0o700))
}

/// A name in a folder that nothing has.
fn free_name(folder: &Path, moved: &mut u64) -> PathBuf {
    loop {
        *moved += 1;
        let path = folder.join(format!("{moved}"));
        if path.symlink_metadata().is_err() {
            return path;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::OwnedFd;
    use std::os::unix::fs::MetadataExt;

    use nix::fcntl::{OFlag, openat};
    use nix::sys::stat::{Mode, mkdirat};

    use super::*;
    use crate::own_folder::Folder;

    #[test]
    fn a_tree_goes_however_deep_and_whatever_its_names_and_no_link_is_followed() {
        let base = Folder::new();
        let top = base.join("top");
        fs::create_dir_all(top.join("1/2/1/3")).unwrap();
        fs::create_dir_all(base.join("outside")).unwrap();
        fs::write(base.join("outside/file"), "kept").unwrap();
        fs::write(top.join("1/2/1/file"), "").unwrap();
        std::os::unix::fs::symlink(base.join("outside"), top.join("1/link")).unwrap();
        let outside = || fs::metadata(base.join("outside/file")).unwrap();
        let before = (outside().uid(), outside().mode());
        // As a user may make of any file of theirs, and where fs.protected_hardlinks is off of others' too.
        fs::hard_link(base.join("outside/file"), top.join("1/2/hard")).unwrap();
        // Deeper than a path can be long, and than there are descriptors.
        let mut deepest: OwnedFd = File::open(&top).unwrap().into();
        for _ in 0..3000 {
            mkdirat(&deepest, "d", Mode::S_IRWXU).unwrap();
            deepest = openat(&deepest, "d", OFlag::O_DIRECTORY, Mode::empty()).unwrap();
        }
        remove_tree(&top).unwrap();
        assert!(!top.exists());
        assert_eq!(
            fs::read_to_string(base.join("outside/file")).unwrap(),
            "kept"
        );
        assert_eq!((outside().uid(), outside().mode()), before);
        remove_tree(&top).unwrap();
    }

    #[test]
    fn what_cannot_be_moved_out_of_a_folder_is_removed_in_it() {
        use nix::mount::{MsFlags, mount};
        use nix::sched::{CloneFlags, unshare};
        let base = Folder::new();
        let (top, held) = (base.join("top"), base.join("held"));
        fs::create_dir_all(top.join("tmp")).unwrap();
        fs::create_dir_all(held.join("1/2/1/3")).unwrap();
        fs::write(held.join("1/2/file"), "").unwrap();
        std::os::unix::fs::symlink("/", held.join("1/link")).unwrap();
        let from = held.clone();
        // Nothing can be moved out of a mount, as out of a subvolume; but the mount itself stays.
        let removed = std::thread::spawn(move || {
            let none: Option<&Path> = None;
            unshare(CloneFlags::CLONE_NEWNS).unwrap();
            mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
            mount(Some(&from), &top.join("tmp"), none, MsFlags::MS_BIND, none).unwrap();
            // Each time a level goes.
            [(); 4].map(|()| flatten(&top, None).unwrap_err().kind())
        });
        assert_eq!(removed.join().unwrap(), [ErrorKind::ResourceBusy; 4]);
        assert_eq!(fs::read_dir(&held).unwrap().count(), 0);
    }

    #[test]
    fn a_tree_goes_although_its_owner_goes_on_in_it_for_a_while_by_a_descriptor() {
        use std::os::unix::process::CommandExt;
        let base = Folder::new();
        let top = base.join("top");
        let held = top.join("tmp/held");
        fs::create_dir_all(&held).unwrap();
        let mut command = std::process::Command::new("perl");
        // By its working directory it is in there for as long as it likes.
        // Whoever is quicker than root for longer than FILLING is swept a minute later.
        let go_on = "fork; fork; $end = time + 3; while (time < $end) { for (1..2000) { open F, '>', $$ . $_ } \
                     unlink $$ . $_ for reverse 1..2000 } sleep 60";
        command.current_dir(&held).args(["-e", go_on]);
        std::os::unix::fs::chown(&held, Some(65534), Some(65534)).unwrap();
        command.uid(65534).gid(65534);
        let mut child = command.process_group(0).spawn().unwrap();
        let end = Instant::now() + Duration::from_secs(60);
        while fs::read_dir(&held).unwrap().count() < 2000 {
            assert!(Instant::now() < end, "is perl there?");
            std::thread::sleep(Duration::from_millis(10));
        }
        fs::set_permissions(&base, Permissions::from_mode(0o700)).unwrap();
        let (done, is_done) = std::sync::mpsc::channel();
        let path = top.clone();
        std::thread::spawn(move || done.send(remove_tree(&path)));
        let removed = is_done.recv_timeout(Duration::from_secs(30));
        let group = nix::unistd::Pid::from_raw(child.id() as i32);
        nix::sys::signal::killpg(group, nix::sys::signal::Signal::SIGKILL).unwrap();
        child.wait().unwrap();
        assert!(matches!(removed, Ok(Ok(()))), "{removed:?}");
        assert!(!top.exists());
    }

    #[test]
    fn who_makes_folders_in_folders_ahead_of_it_is_not_followed_for_ever() {
        use std::os::unix::process::CommandExt;
        let base = Folder::new();
        let top = base.join("top");
        let held = top.join("tmp/held");
        fs::create_dir_all(&held).unwrap();
        std::os::unix::fs::chown(&held, Some(65534), Some(65534)).unwrap();
        let mut command = std::process::Command::new("perl");
        // Each has a thousand folders below the top that are its own, and makes more as these become fewer.
        let chase = "fork; fork; mkdir $$; chdir $$; $| = 1; for (;;) { $is = readlink '/proc/self/cwd'; \
                     if (!defined $is or length $is > 2500) { print '.' unless $said++; select undef, undef, undef, 0.001; next } \
                     for (1..500) { mkdir 'x' or exit; chdir 'x' } }";
        command.current_dir(&held).args(["-e", chase]);
        command.uid(65534).gid(65534).process_group(0);
        let mut child = command
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        // It is ahead.
        std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut [0; 4]).unwrap();
        let (done, is_done) = std::sync::mpsc::channel();
        let path = top.clone();
        std::thread::spawn(move || done.send(flatten(&path, None)));
        let first = is_done.recv_timeout(Duration::from_secs(60));
        let group = nix::unistd::Pid::from_raw(child.id() as i32);
        nix::sys::signal::killpg(group, nix::sys::signal::Signal::SIGKILL).unwrap();
        child.wait().unwrap();
        let first = first.expect("it follows").unwrap_err();
        assert_eq!(first.kind(), ErrorKind::DirectoryNotEmpty);
        remove_tree(&top).unwrap();
    }

    #[test]
    fn who_is_still_in_a_folder_can_make_nothing_more_in_it() {
        use std::io::Write;
        use std::os::unix::process::CommandExt;
        let held = Folder::new();
        lchown(&held, Some(65534), Some(65534)).unwrap();
        let mut command = std::process::Command::new("perl");
        command.args(["-e", "<STDIN>; open(F, '>', 'more') ? exit 0 : exit $!"]);
        command.current_dir(&held).uid(65534).gid(65534);
        let mut child = command.stdin(std::process::Stdio::piped()).spawn().unwrap();
        take_away(&held).unwrap();
        child.stdin.take().unwrap().write_all(b"go\n").unwrap();
        assert_eq!(
            child.wait().unwrap().code(),
            Some(nix::errno::Errno::EACCES as i32)
        );
        remove_tree(&held).unwrap();
    }
}
