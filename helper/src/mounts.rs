//! What is mounted in a berth's mount namespace.
//!
//! Done by the init as the host's root, before the user namespace exists: the mounts then belong to
//! the host, and root inside gets EPERM from mount(2) and umount(2). Each failure fails the login:
//! a /proc that could not be mounted would show every process of the host.

use std::ffi::OsStr;
use std::fs;
use std::io::ErrorKind;
use std::iter;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use berth_config::outcome::{Namespaces, PrivateTmp, Propagation, UserManager};
use berth_config::value::bytes_text;
use berth_session::{PRIVATE_TMP, SessionId, kernel_text, make_private_tmp};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat};
use nix::mount::{MsFlags, mount};
use nix::sys::stat::Mode;

use crate::error::{Error, Result, file, system};
use crate::label::Label;

const TMP: &str = "/tmp";
const VAR_TMP: &str = "/var/tmp";

const SAFE: MsFlags = MsFlags::MS_NOSUID.union(MsFlags::MS_NODEV);
const OF_PROC: MsFlags = SAFE.union(MsFlags::MS_NOEXEC);

/// How often a mount is looked for anew where the table has just said that it is, while users rename folders above it.
const TRIES: u32 = 200;

/// What a private /tmp has in memory while the disk has no room for it: enough to log in, and to look for what is to be
/// removed. As small as the smallest `memory_max`, since the user is charged for it.
pub const WITHOUT_DISK: u64 = 16 << 20;

/// What the mounts need to know.
#[derive(Debug)]
pub struct Plan<'a> {
    /// The namespaces of the berth.
    pub namespaces: &'a Namespaces,
    /// Whose private /tmp on disk it is.
    pub id: SessionId,
    /// Whose login it is: what is kept from the host's /tmp is theirs or root's.
    pub uid: u32,
    /// Their primary group.
    pub gid: u32,
}

impl Plan<'_> {
    /// Makes every mount of a berth. Gives back what the private /tmp lacks of what the policy asks for, if anything.
    pub fn carry_out(&self) -> Result<Option<String>> {
        // First of all, and before anything is mounted: what follows must not reach the host.
        let propagation = match self.namespaces.propagation {
            Propagation::Slave => MsFlags::MS_SLAVE,
            Propagation::Private => MsFlags::MS_PRIVATE,
        };
        mount_at("", Path::new("/"), None, MsFlags::MS_REC | propagation, "")?;
        if self.namespaces.pid {
            self.proc()?;
        }
        if self.namespaces.ipc {
            mqueue()?;
        }
        if let Some(bytes) = self.namespaces.private_shm {
            tmpfs(Path::new("/dev/shm"), &format!("size={bytes},mode=1777"))?;
        }
        if self.namespaces.user_manager != UserManager::Host {
            self.runtime_dir()?;
        }
        self.tmp()
    }

    /// A /proc of the new PID namespace, over the host's and over every other instance: a chroot's
    /// would show the host's processes.
    fn proc(&self) -> Result<()> {
        for (mount, _) in procs_in(&mount_table()?) {
            cover_proc(&mount)?;
        }
        mount_at("proc", Path::new("/proc"), Some("proc"), OF_PROC, "")
    }

    /// An XDG_RUNTIME_DIR of the berth's own, so that the sockets of the user's service manager, and of the
    /// bus on which it listens too, are out of reach: it starts any program for whoever asks, outside.
    ///
    /// The folder above is covered, and not only the user's in it: that one need not be there yet, and logind
    /// makes it, and mounts on it, when it likes.
    fn runtime_dir(&self) -> Result<()> {
        let all = Path::new("/run/user");
        if !is_there(all)? {
            return Ok(()); // Without logind there is none.
        }
        let own = all.join(self.uid.to_string());
        let labels = (Label::of(all)?, label_of_a_users(&own)?);
        tmpfs(all, "size=16k,mode=0755")?;
        labels.0.put_on(all)?;
        fs::create_dir(&own).map_err(file("create", &own))?;
        // As large as logind's own (RuntimeDirectorySize=), and like that one charged to the user's memory.
        let (uid, gid) = (self.uid, self.gid);
        tmpfs(&own, &format!("size=10%,mode=0700,uid={uid},gid={gid}"))?;
        labels.1.put_on(&own)
    }

    fn tmp(&self) -> Result<Option<String>> {
        let size = match self.namespaces.private_tmp {
            PrivateTmp::Off => return Ok(None),
            PrivateTmp::Tmpfs(bytes) => Some(bytes),
            PrivateTmp::Disk => None,
        };
        // Before anything covers the host's.
        let kept = self.kept()?;
        let labels = labels_of_tmp()?;
        let in_memory = |bytes| {
            // One tmpfs for both, so that the size is the size of both together. It is mounted
            // where it will be covered in a moment, and stays reachable only through the binds.
            tmpfs(Path::new(TMP), &format!("size={bytes},mode=0755"))?;
            bind_tmp(Path::new(TMP), &labels, &kept)
        };
        if let Some(bytes) = size {
            return in_memory(bytes).map(|()| None);
        }
        let on_disk = || bind_tmp(&make_private_tmp(self.id)?, &labels, &kept);
        match on_disk() {
            // Any user can fill the disk. To refuse the others would let that one keep them out, and to let them in
            // without a berth would be a way out of their caps. What is bound of the disk by now is covered.
            Err(error) if error.is_for_want_of_room() || error.is_of_a_read_only_disk() => {
                in_memory(WITHOUT_DISK)?;
                Ok(Some(without_disk(&error)))
            }
            made => made.map(|()| None),
        }
    }

    /// Opens what `tmp_keep` names in the host's /tmp, before it is covered.
    ///
    /// /tmp is everybody's to write in: a symbolic link there leads wherever its owner likes, so none
    /// is followed; and what neither root nor the user owns is not kept, because its owner could not
    /// otherwise put anything into this user's /tmp. A user's own file system (FUSE) is not even
    /// asked: it refuses root, or has everybody's login wait for an answer.
    fn kept(&self) -> Result<Vec<KeptName>> {
        let mut kept = Vec::new();
        for name in &self.namespaces.tmp_keep {
            let path = Path::new("/tmp").join(name);
            let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
            let Ok(fd) = open(&path, flags, Mode::empty()) else {
                continue; // Not there today: there is nothing to keep.
            };
            if is_in_a_users(&fd)? {
                continue;
            }
            let source = by_descriptor(&fd);
            let metadata = fs::metadata(&source).map_err(file("inspect", &path))?;
            let theirs = metadata.uid() == 0 || metadata.uid() == self.uid;
            if theirs && (metadata.is_dir() || metadata.is_file()) {
                kept.push(KeptName {
                    _fd: fd,
                    source,
                    is_dir: metadata.is_dir(),
                    path,
                });
            }
        }
        Ok(kept)
    }
}

/// Makes `tmp` and `var-tmp` below a folder, and binds them to /tmp and /var/tmp.
fn bind_tmp(base: &Path, labels: &[Label; 2], kept: &[KeptName]) -> Result<()> {
    for ((name, target), label) in [("var-tmp", VAR_TMP), ("tmp", TMP)].into_iter().zip(labels) {
        let folder = base.join(name);
        fs::create_dir(&folder)
            // By chmod, because the mode of mkdir is subject to the umask.
            .and_then(|()| fs::set_permissions(&folder, fs::Permissions::from_mode(0o1777)))
            .map_err(file("create the private /tmp", &folder))?;
        label.put_on(&folder)?;
        let source = folder.display().to_string();
        mount_at(&source, Path::new(target), None, MsFlags::MS_BIND, "")?;
        // A bind has the flags of the file system that it is from, which is not that of /tmp.
        let flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | SAFE;
        mount_at("", Path::new(target), None, flags, "")?;
    }
    kept.iter().try_for_each(KeptName::bind)
}

/// What the log says of a private /tmp that is in memory for want of room on the disk.
fn without_disk(error: &Error) -> String {
    let size = bytes_text(WITHOUT_DISK);
    let advice = match error.is_of_a_read_only_disk() {
        true => "The kernel's log says why (dmesg)".into(),
        false => format!(
            "To see whose session takes the room: du -s --inodes {PRIVATE_TMP}/* and du -s {PRIVATE_TMP}/*, and berth \
             list. To keep one user from taking all of it: a size in private_tmp instead of \"disk\", or a file system \
             with quotas on {PRIVATE_TMP}"
        ),
    };
    format!("private_tmp is {size} of memory, and not the disk: {error}. {advice}")
}

/// What SELinux has to say of the host's /var/tmp and /tmp.
fn labels_of_tmp() -> Result<[Label; 2]> {
    Ok([Label::of(Path::new(VAR_TMP))?, Label::of(Path::new(TMP))?])
}

/// What SELinux has to say of a folder that a user can mount on. Their own file system (FUSE) is not asked, as above: the
/// kernel would hand it root's question, and wait for the answer.
fn label_of_a_users(path: &Path) -> Result<Label> {
    let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    match open(path, flags, Mode::empty()) {
        Ok(fd) if !is_in_a_users(&fd)? => Label::of(&by_descriptor(&fd)),
        _ => Ok(Label::none()),
    }
}

/// Whether what is open is in a user's own file system.
fn is_in_a_users(fd: &impl AsRawFd) -> Result<bool> {
    let mount = mount_of(fd)?;
    // The table comes after the descriptor, so that the mount it is in cannot be newer.
    Ok(is_a_users(&mount_table()?, &mount))
}

/// The mount that what is open is in, by its number (proc_pid_fdinfo(5)).
fn mount_of(fd: &impl AsRawFd) -> Result<String> {
    let path = PathBuf::from(format!("/proc/self/fdinfo/{}", fd.as_raw_fd()));
    let known = kernel_text(&path).map_err(file("read", &path))?;
    let mount = known.lines().find_map(|line| line.strip_prefix("mnt_id:"));
    Ok(mount.unwrap_or_default().trim().into())
}

/// The path that leads to what is open, whatever stands at its name by now.
fn by_descriptor(fd: &impl AsRawFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()))
}

/// Something in the host's /tmp that stays visible.
struct KeptName {
    _fd: OwnedFd,
    source: PathBuf,
    is_dir: bool,
    path: PathBuf,
}

impl KeptName {
    fn bind(&self) -> Result<()> {
        let made = if self.is_dir {
            fs::create_dir(&self.path)
        } else {
            fs::File::create_new(&self.path).map(drop)
        };
        made.map_err(file("create a place for", &self.path))?;
        let source = self.source.display().to_string();
        mount_at(&source, &self.path, None, MsFlags::MS_BIND, "")
    }
}

/// POSIX message queues of the new IPC namespace, where the host shows its own.
fn mqueue() -> Result<()> {
    let path = Path::new("/dev/mqueue");
    // Without that folder nobody sees any queue by name, and there is nothing to cover.
    if !is_there(path)? {
        return Ok(());
    }
    mount_at(
        "mqueue",
        path,
        Some("mqueue"),
        SAFE | MsFlags::MS_NOEXEC,
        "",
    )
}

/// Whether there is a folder to be covered. One that cannot be looked at is not taken for none: the login would see the
/// host's.
fn is_there(folder: &Path) -> Result<bool> {
    match fs::metadata(folder) {
        Ok(metadata) => Ok(metadata.is_dir()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(source) => Err(file("inspect", folder)(source)),
    }
}

fn tmpfs(target: &Path, options: &str) -> Result<()> {
    mount_at("tmpfs", target, Some("tmpfs"), SAFE, options)
}

fn mount_at(
    source: &str,
    target: &Path,
    kind: Option<&str>,
    flags: MsFlags,
    data: &str,
) -> Result<()> {
    let action = match kind {
        Some(kind) => format!("mount {kind} on {}", target.display()),
        None if flags.contains(MsFlags::MS_REMOUNT) => {
            format!("remount {}", target.display())
        }
        None if flags.contains(MsFlags::MS_BIND) => {
            format!("bind {source} to {}", target.display())
        }
        None => format!("set the mount propagation of {}", target.display()),
    };
    mount(Some(source), target, kind, flags, Some(data)).map_err(system(action))
}

/// Mounts a procfs over one of the host's. Its path only says where to look for it: whoever may write in a folder above
/// renames what is in there, or puts a link there, whenever they like.
fn cover_proc(wanted: &str) -> Result<()> {
    let mut tries = 0..TRIES;
    let mut table = mount_table()?;
    loop {
        let mut procs = procs_in(&table).into_iter();
        let Some((_, point)) = procs.find(|(mount, _)| mount == wanted) else {
            return Ok(()); // The host has unmounted it.
        };
        let opened = open_mount_point(&point, |mount| {
            stack(&table, wanted).any(|below| below == mount)
        });
        // After the descriptors, so that no number is by now that of another mount.
        table = mount_table()?;
        let (found, errno) = match opened {
            Ok([above, top]) => {
                let is_it = is_stacked(&table, wanted, &mount_of(&above)?, &mount_of(&top)?);
                (is_it.then_some(top), Errno::ESTALE)
            }
            Err(errno) => (None, errno),
        };
        // Not passed over where it cannot be reached: it would be seen once nothing hides it any more.
        let failed = system(format!(
            "mount proc on {}, where there is one (if another mount hides it, or a user goes on renaming a folder \
             above it, unmount either)",
            point.display()
        ));
        if let Some(top) = found {
            let top = by_descriptor(&top);
            return mount(Some("proc"), &top, Some("proc"), OF_PROC, Some("")).map_err(failed);
        }
        if tries.next().is_none() {
            return Err(failed(errno));
        }
    }
}

/// Opens the folder above a mount point and what is mounted there, and follows no link. Nothing is looked for in a mount that
/// is not on the way: that may be a user's file system, which would be asked, and need not answer.
fn open_mount_point(
    point: &Path,
    is_on_the_way: impl Fn(&str) -> bool,
) -> nix::Result<[OwnedFd; 2]> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let enter = |folder: &OwnedFd, name: &OsStr| match mount_of(folder) {
        Ok(mount) if is_on_the_way(&mount) => openat(folder, name, flags, Mode::empty()),
        _ => Err(Errno::ESTALE),
    };
    let (Some(parent), Some(name)) = (point.parent(), point.file_name()) else {
        return Err(Errno::ENOENT);
    };
    let mut above = open("/", flags, Mode::empty())?;
    for component in parent.components().skip(1) {
        above = enter(&above, component.as_os_str())?;
    }
    let top = enter(&above, name)?;
    Ok([above, top])
}

/// Whether a mount is among those that are stacked in one place: from the top one down to the one that the folder above is in.
fn is_stacked(table: &str, wanted: &str, above: &str, top: &str) -> bool {
    let mut stack = stack(table, top).take_while(|mount| *mount != above);
    stack.any(|mount| mount == wanted)
}

/// A mount, the one that it is mounted on, and so on down to the first.
fn stack<'a>(table: &'a str, top: &'a str) -> impl Iterator<Item = &'a str> {
    // The second field of a line. The first mount of all may be on itself.
    iter::successors(Some(top), |mount| {
        let below = line_of(table, mount)?.split(' ').nth(1);
        below.filter(|below| below != mount)
    })
}

fn mount_table() -> Result<String> {
    let path = Path::new("/proc/self/mountinfo");
    kernel_text(path).map_err(file("read", path))
}

/// Whether a mount is of a file system that a user has mounted: FUSE alone can be one, and says in its options whose it
/// is.
fn is_a_users(table: &str, mount: &str) -> bool {
    let options = line_of(table, mount).and_then(|line| line.rsplit(' ').next());
    let mut options = options.unwrap_or_default().split(',');
    options.any(|option| matches!(option.strip_prefix("user_id="), Some(uid) if uid != "0"))
}

/// What a mount table says of a mount.
fn line_of<'a>(table: &'a str, mount: &str) -> Option<&'a str> {
    let mut lines = table.lines();
    lines.find(|line| line.split(' ').next() == Some(mount))
}

/// The numbers and mount points of procfs other than /proc and what lies below it.
fn procs_in(table: &str) -> Vec<(String, PathBuf)> {
    berth_session::mounts_of(table, "proc")
        .filter(|(_, point)| !point.starts_with("/proc"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_looked_at_is_not_taken_for_none() {
        let too_long = "n".repeat(300);
        assert!(is_there(Path::new("/proc")).unwrap());
        assert!(!is_there(Path::new("/proc/no-such-folder")).unwrap());
        assert!(!is_there(Path::new("/proc/self/status")).unwrap());
        assert!(is_there(&std::env::temp_dir().join(too_long)).is_err());
    }

    #[test]
    fn a_users_own_file_system_is_known_by_its_options() {
        let table = "28 1 8:1 / / rw - ext4 /dev/vda rw\n\
            31 28 0:40 / /tmp/hers rw - fuse.sshfs user_id=0 rw,user_id=1001,group_id=1001\n\
            32 28 0:41 / /tmp/roots rw - fuse.sshfs x rw,user_id=0,group_id=0\n";
        assert!(is_a_users(table, "31"));
        assert!(
            ["28", "32", "3"]
                .into_iter()
                .all(|mount| !is_a_users(table, mount))
        );
    }

    #[test]
    fn every_other_proc_is_found() {
        let table = "25 1 0:22 / /proc rw - proc proc rw\n\
            26 25 0:22 /sys /proc/sys ro - proc proc rw\n\
            27 1 0:23 / /srv/chroot/proc rw - proc none rw\n\
            28 1 8:1 / / rw - ext4 /dev/vda rw\n";
        assert_eq!(
            procs_in(table),
            [("27".into(), PathBuf::from("/srv/chroot/proc"))]
        );
    }

    #[test]
    fn nothing_is_looked_for_in_a_mount_that_is_not_on_the_way() {
        let root = mount_of(&open("/", OFlag::O_PATH, Mode::empty()).unwrap()).unwrap();
        let open = |point: &str| open_mount_point(Path::new(point), |mount| mount == root);
        assert!(open("/proc").is_ok());
        assert_eq!(open("/proc/self").unwrap_err(), Errno::ESTALE);
        assert_eq!(open("/proc/self/fd").unwrap_err(), Errno::ESTALE);
    }

    #[test]
    fn a_mount_is_known_among_those_that_are_stacked_over_it() {
        let table = "28 1 8:1 / / rw - ext4 /dev/vda rw\n\
            40 28 0:23 / /home/alice/a/proc rw - proc none rw\n\
            41 40 0:24 / /home/alice/a/proc rw - tmpfs none rw\n\
            42 40 0:23 /sys /home/alice/a/proc/sys ro - proc none rw\n\
            43 28 0:23 / /home/alice/b/proc rw - proc none rw\n";
        let is = |above, top: &str| is_stacked(table, "40", above, top);
        assert!(is("28", "40") && is("28", "41"));
        // Nothing is mounted there; another is; something within it; one that has come since.
        for (above, top) in [("28", "28"), ("28", "43"), ("40", "42"), ("28", "44")] {
            assert!(!is(above, top), "{above} {top}");
        }
    }
}
