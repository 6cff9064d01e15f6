//! Whether the application is in a chroot.
//!
//! setns(2) into a mount namespace gives the caller that namespace's root: a login service in a chroot would put its users
//! out of it. The helper has the application's root, so it looks at its own.

use nix::sched::{CloneFlags, setns};
use nix::unistd::getpid;

use crate::error::{Error, Result, system};
use crate::sys;

/// Refuses a chroot. In one, this process is out of it afterwards.
pub fn refuse() -> Result<()> {
    let action = "join its own mount namespace (setns), which shows whether this is a chroot";
    let root = || sys::mount_of_root().map_err(system(action));
    let before = root()?;
    // Not by /proc/self/ns/mnt, which has no path: AppArmor forbids that to what it confines, also where it only complains.
    let own = sys::pidfd_open(getpid()).map_err(system("open its own pidfd"))?;
    // Where it is already; but this is what makes the namespace's root its own.
    setns(own, CloneFlags::CLONE_NEWNS).map_err(system(action))?;
    match root()? == before {
        true => Ok(()),
        false => Err(Error::Chroot),
    }
}
