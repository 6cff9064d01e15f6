//! Changing the berth's mounts, and finding below them what they hide.

use std::fs;
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::{Mode, SFlag, fstatat, makedev, mknod};
use nix::unistd::{chroot, getegid, geteuid, pivot_root};

use super::Without::{NoBerth, RootInMounts, RootInside};
use super::processes::hosts_process_in;
use super::{Attempt, Verdict, call, errno, pointer, shell, system_call};

const OPEN_TREE_CLONE: u64 = 1;

pub const ATTEMPTS: &[Attempt] = &[
    // As the user is.
    call("umount-tmp", "unmounting the private /tmp", |_| {
        Verdict::of(umount2("/tmp", MntFlags::MNT_DETACH))
    })
    .without(RootInside),
    call("umount-proc", "unmounting the berth's /proc", |_| {
        Verdict::of(umount2("/proc", MntFlags::MNT_DETACH))
    })
    .without(RootInside),
    call("bind", "showing / somewhere else", |_| {
        Verdict::of(mount(Some("/"), "/mnt", NONE, MsFlags::MS_BIND, NONE))
    })
    .without(RootInside),
    call("move", "moving /tmp away", |_| {
        Verdict::of(mount(Some("/tmp"), "/mnt", NONE, MsFlags::MS_MOVE, NONE))
    })
    .without(RootInside),
    call("remount", "setuid programs in /tmp, by a remount", |_| {
        Verdict::of(mount(
            NONE,
            "/tmp",
            NONE,
            MsFlags::MS_REMOUNT | MsFlags::MS_BIND,
            NONE,
        ))
    })
    .without(RootInside),
    call("propagation", "another propagation", |_| {
        Verdict::of(mount(
            NONE,
            "/",
            NONE,
            MsFlags::MS_SHARED | MsFlags::MS_REC,
            NONE,
        ))
    })
    .without(RootInside),
    call("over-mount", "a tmpfs over the berth's /proc", |_| {
        Verdict::of(mount(
            Some("none"),
            "/proc",
            Some("tmpfs"),
            MsFlags::empty(),
            NONE,
        ))
    })
    .without(RootInside),
    call("second-proc", "a second procfs", |_| {
        Verdict::of(mount(
            Some("none"),
            "/mnt",
            Some("proc"),
            MsFlags::empty(),
            NONE,
        ))
    })
    .without(RootInside),
    call("open-tree", "a copy of / by open_tree", |_| {
        Verdict::of(open_tree(c"/", OPEN_TREE_CLONE))
    })
    .without(RootInside),
    call("move-mount", "moving /tmp away by move_mount", |_| {
        let cwd = libc::AT_FDCWD as u64;
        let arguments = [cwd, pointer(c"/tmp"), cwd, pointer(c"/mnt"), 0];
        Verdict::of(system_call(libc::SYS_move_mount, &arguments))
    })
    .without(RootInside),
    call(
        "mount-setattr",
        "setuid programs in /tmp, by mount_setattr",
        |_| {
            // struct mount_attr: set, clear, propagation, user namespace.
            let attributes = [0_u64, libc::MOUNT_ATTR_NOSUID, 0, 0];
            let (cwd, at) = (libc::AT_FDCWD as u64, attributes.as_ptr() as u64);
            let arguments = [cwd, pointer(c"/tmp"), 0, at, 32];
            Verdict::of(system_call(libc::SYS_mount_setattr, &arguments))
        },
    )
    .without(RootInside),
    call("fsopen", "a file system by fsopen and fsmount", |_| {
        Verdict::of(new_tmpfs())
    }),
    call("fspick", "reconfiguring /tmp by fspick", |_| {
        let arguments = [libc::AT_FDCWD as u64, pointer(c"/tmp"), 0];
        Verdict::of(system_call(libc::SYS_fspick, &arguments))
    })
    .without(RootInside),
    call("pivot-root", "another root by pivot_root", |_| {
        // Who may is told that these are not two different mounts.
        Verdict::but(pivot_root("/mnt", "/mnt"), &[Errno::EINVAL, Errno::EBUSY])
    }),
    call("chroot", "another root by chroot", |_| {
        Verdict::of(chroot("/home"))
    }),
    call(
        "character-device",
        "a device node for the kernel's memory",
        |to| device(to, SFlag::S_IFCHR, makedev(1, 1)),
    ),
    call("block-device", "a device node for a disk", |to| {
        device(to, SFlag::S_IFBLK, makedev(7, 0))
    }),
    call(
        "chroots-proc",
        "the /proc of a chroot of the host's",
        |_| Verdict::of(hosts_process_in("/srv/chroot/proc")),
    )
    .stopped_by(&["ESRCH"])
    .without(NoBerth),
    call("hosts-tmp", "the host's /tmp", |_| {
        Verdict::of(of_the_host_in("/tmp"))
    })
    .stopped_by(&["ENOENT"])
    .without(NoBerth),
    call("hosts-var-tmp", "the host's /var/tmp", |_| {
        Verdict::of(of_the_host_in("/var/tmp"))
    })
    .stopped_by(&["ENOENT"])
    .without(NoBerth),
    shell(
        "disks",
        "the folders of others' private /tmp",
        "ls /var/lib/berth/tmp/",
    ),
    // As root of a user namespace and of a mount namespace of one's own, where the policy allows one. What Berth has
    // mounted is locked there: the kernel says EINVAL, and of its flags EPERM.
    call("nested-umount-tmp", "there: unmounting /tmp", |_| {
        Verdict::nested(|| {
            umount2("/tmp", MntFlags::empty())?;
            of_the_host_in("/tmp")
        })
    })
    .stopped_by(&["EINVAL"])
    .without(RootInside),
    call("nested-detach-tmp", "there: detaching /tmp", |_| {
        Verdict::nested(|| {
            umount2("/tmp", MntFlags::MNT_DETACH)?;
            of_the_host_in("/tmp")
        })
    })
    .stopped_by(&["EINVAL"])
    .without(RootInside),
    call("nested-move-tmp", "there: moving /tmp away", |_| {
        Verdict::nested(|| {
            mount(Some("/tmp"), "/mnt", NONE, MsFlags::MS_MOVE, NONE)?;
            of_the_host_in("/tmp")
        })
    })
    .stopped_by(&["EINVAL"])
    .without(RootInside),
    call(
        "nested-bind",
        "there: / somewhere else, without what is mounted on it",
        |_| {
            Verdict::nested(|| {
                mount(Some("/"), "/mnt", NONE, MsFlags::MS_BIND, NONE)?;
                of_the_host_in("/mnt/var/tmp")
            })
        },
    )
    .stopped_by(&["EINVAL"])
    .without(RootInside),
    call(
        "nested-rbind",
        "there: / somewhere else, and /var/tmp detached from that",
        |_| {
            Verdict::nested(|| {
                let all = MsFlags::MS_BIND | MsFlags::MS_REC;
                mount(Some("/"), "/mnt", NONE, all, NONE)?;
                umount2("/mnt/var/tmp", MntFlags::MNT_DETACH)?;
                of_the_host_in("/mnt/var/tmp")
            })
        },
    )
    .stopped_by(&["EINVAL"])
    .without(RootInside),
    call(
        "nested-overlay",
        "there: / as a layer of an overlay",
        |_| {
            Verdict::nested(|| {
                let layers = Some("lowerdir=/:/usr");
                mount(
                    Some("none"),
                    "/mnt",
                    Some("overlay"),
                    MsFlags::empty(),
                    layers,
                )?;
                of_the_host_in("/mnt/var/tmp")
            })
        },
    )
    .stopped_by(&["EINVAL"])
    .without(RootInside),
    call(
        "nested-open-tree",
        "there: a copy of / by open_tree",
        |_| {
            Verdict::nested(|| {
                let tree = open_tree(c"/", OPEN_TREE_CLONE)?;
                fstatat(tree.as_fd(), "var/tmp/of-the-host", AtFlags::empty())
            })
        },
    )
    .stopped_by(&["EINVAL"])
    .without(RootInside),
    call(
        "nested-attributes",
        "there: setuid programs in /tmp, by mount_setattr",
        |_| {
            Verdict::nested(|| {
                let clear = libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV;
                let attributes = [0_u64, clear, 0, 0];
                let (cwd, at) = (libc::AT_FDCWD as u64, attributes.as_ptr() as u64);
                let arguments = [cwd, pointer(c"/tmp"), 0, at, 32];
                system_call(libc::SYS_mount_setattr, &arguments)
            })
        },
    )
    .stopped_by(&["EPERM"])
    .without(RootInside),
    call(
        "nested-remount",
        "there: setuid programs and devices in /tmp, by a remount",
        |_| {
            Verdict::nested(|| {
                mount(
                    NONE,
                    "/tmp",
                    NONE,
                    MsFlags::MS_REMOUNT | MsFlags::MS_BIND,
                    NONE,
                )
            })
        },
    )
    .stopped_by(&["EPERM"])
    .without(RootInside),
    call("nested-umount-proc", "there: detaching /proc", |_| {
        Verdict::nested(|| {
            umount2("/proc", MntFlags::MNT_DETACH)?;
            hosts_process_in("/proc")
        })
    })
    .stopped_by(&["EINVAL"])
    .without(RootInside),
    call(
        "nested-umount-chroots-proc",
        "there: detaching what covers the /proc of a chroot",
        |_| {
            Verdict::nested(|| {
                umount2("/srv/chroot/proc", MntFlags::MNT_DETACH)?;
                hosts_process_in("/srv/chroot/proc")
            })
        },
    )
    .stopped_by(&["EINVAL"])
    .without(RootInside),
    call("nested-proc", "there: a second procfs", |_| {
        Verdict::nested(|| {
            mount(Some("none"), "/mnt", Some("proc"), MsFlags::empty(), NONE)?;
            hosts_process_in("/mnt")
        })
    })
    .stopped_by(&["EPERM"])
    .without(RootInMounts),
    call("nested-device", "there: a file system with devices", |_| {
        Verdict::nested(|| {
            mount(Some("none"), "/mnt", Some("tmpfs"), MsFlags::empty(), NONE)?;
            mknod("/mnt/device", SFlag::S_IFCHR, Mode::S_IRUSR, makedev(1, 1))
        })
    })
    .stopped_by(&["EPERM"])
    .without(RootInside),
];

const NONE: Option<&str> = None;

/// Root of a user namespace, which maps the user to root; or, for who is the host's root, of no other one than the
/// host's.
pub fn nest() -> Result<(), Errno> {
    if geteuid().is_root() {
        return unshare(CloneFlags::CLONE_NEWNS);
    }
    let (user, group) = (geteuid(), getegid());
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS)?;
    let maps = [
        ("setgroups", "deny".into()),
        ("uid_map", format!("0 {user} 1")),
        ("gid_map", format!("0 {group} 1")),
    ];
    for (file, map) in maps {
        fs::write(format!("/proc/self/{file}"), map).expect("a map");
    }
    Ok(())
}

fn open_tree(path: &std::ffi::CStr, flags: u64) -> Result<OwnedFd, Errno> {
    let arguments = [libc::AT_FDCWD as u64, pointer(path), flags];
    let fd = system_call(libc::SYS_open_tree, &arguments)?;
    // SAFETY: the kernel has just made it for this process.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

fn new_tmpfs() -> Result<(), Errno> {
    const CMD_CREATE: u64 = 6; // FSCONFIG_CMD_CREATE, linux/mount.h
    let context = system_call(libc::SYS_fsopen, &[pointer(c"tmpfs"), 0])? as u64;
    system_call(libc::SYS_fsconfig, &[context, CMD_CREATE, 0, 0, 0])?;
    system_call(libc::SYS_fsmount, &[context, 0, 0]).map(drop)
}

fn device(to: &super::targets::Targets, kind: SFlag, number: libc::dev_t) -> Verdict {
    let path = to
        .path("HOME")
        .join(format!("device-{}", std::process::id()));
    let made = mknod(&path, kind, Mode::S_IRUSR, number);
    let _ = fs::remove_file(&path);
    Verdict::of(made)
}

/// What stands in the host's directory of this name.
fn of_the_host_in(directory: &str) -> Result<(), Errno> {
    assert!(Path::new(directory).is_dir(), "no {directory}");
    fs::metadata(format!("{directory}/of-the-host"))
        .map(drop)
        .map_err(errno)
}
