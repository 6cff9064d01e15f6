//! What the helper may do, and how it gives that up.
//!
//! It starts as root because its caller is, never by a setuid bit, and keeps at each stage only the
//! capabilities (capabilities(7)) that the stage needs.

use caps::{CapSet, Capability, CapsHashSet};
use nix::sys::prctl;
use nix::unistd::{Gid, Uid, getresgid, getresuid};

use crate::error::{Error, Result, system};
use crate::sys;

/// While a login is set up.
const SETUP: &[Capability] = &[
    Capability::CAP_SYS_ADMIN,    // namespaces, mounts
    Capability::CAP_SYS_CHROOT,   // its own mount namespace again: is this a chroot?
    Capability::CAP_SETUID,       // the init's UID, the UID map
    Capability::CAP_SETGID,       // the init's GID, the GID map
    Capability::CAP_SETFCAP,      // a UID map that has UID 0 in it (Linux 5.12)
    Capability::CAP_SETPCAP,      // emptying the init's bounding set
    Capability::CAP_SYS_RESOURCE, // rlimits, oom_score_adj, user.max_user_namespaces
    Capability::CAP_NET_ADMIN,    // the loopback interface of a network of its own
    Capability::CAP_SYS_NICE,     // enabling cpuset over processes, moving them into one
    Capability::CAP_SYS_PTRACE,   // the login's and the init's entries in /proc
    Capability::CAP_DAC_OVERRIDE, // proc files of a process with other IDs
    Capability::CAP_FOWNER,       // as below
    Capability::CAP_CHOWN,        // as below
    Capability::CAP_KILL,
    Capability::CAP_AUDIT_WRITE,
    Capability::CAP_SYSLOG, // the kernel's log, in which it says what it has killed
];

/// While a session is kept.
const KEEP: &[Capability] = &[
    Capability::CAP_KILL,         // the user's processes, at the end
    Capability::CAP_SYS_NICE,     // moving the leader out of a cpuset
    Capability::CAP_DAC_OVERRIDE, // removing what the user left in a private /tmp
    Capability::CAP_FOWNER,       // likewise, in folders with the sticky bit
    Capability::CAP_CHOWN, // likewise, where somebody would go on making files by a descriptor
    Capability::CAP_AUDIT_WRITE, // the records of the session's end
];

/// Refuses to run for anybody but root, or with privilege that came from the file: whoever could
/// start the helper and choose its request could make cgroups and namespaces at will.
pub fn refuse_unless_root() -> std::result::Result<(), String> {
    if sys::is_secure_exec() {
        return Err("refusing to run with a setuid bit or file capabilities".into());
    }
    let uids = getresuid().map_err(|errno| format!("getresuid: {errno}"))?;
    let gids = getresgid().map_err(|errno| format!("getresgid: {errno}"))?;
    let root = [uids.real, uids.effective, uids.saved]
        .iter()
        .all(|uid| uid.is_root())
        && [gids.real, gids.effective, gids.saved]
            .iter()
            .all(|gid| gid.as_raw() == 0);
    if !root {
        return Err("only for root: the PAM module starts it".into());
    }
    Ok(())
}

/// Gives up what setting up a login does not need.
pub fn for_setup() -> Result<()> {
    prctl::set_no_new_privs().map_err(system("set no_new_privs"))?;
    limit_to(SETUP)
}

/// Gives up what keeping a session does not need.
pub fn for_keeping() -> Result<()> {
    limit_to(KEEP)
}

/// The init's last step: the owner's UID and GID, which no map contains, and no capability at all.
/// Whoever breaks into it from inside has gained nothing.
pub fn none() -> Result<()> {
    for capability in caps::all() {
        // One that this kernel does not know cannot be dropped and is not there.
        let _ = caps::drop(None, CapSet::Bounding, capability);
    }
    limit_to(&[])?;
    prctl::set_dumpable(false).map_err(system("make the init undumpable"))
}

/// Takes on an owner's UID and GID for good, keeping the capabilities for the steps that follow.
pub fn become_owner(owner: u32, uid: u32) -> Result<()> {
    let fail = |errno: nix::Error| Error::Owner {
        owner: owner.into(),
        uid,
        reason: match errno {
            nix::Error::EINVAL => "this container has no such id (/proc/self/uid_map)".into(),
            errno => errno.to_string(),
        },
    };
    let (id, group) = (Uid::from_raw(owner), Gid::from_raw(owner));
    nix::unistd::setgroups(&[]).map_err(system("give up the supplementary groups"))?;
    prctl::set_keepcaps(true).map_err(system("keep capabilities over setresuid"))?;
    nix::unistd::setresgid(group, group, group).map_err(fail)?;
    nix::unistd::setresuid(id, id, id).map_err(fail)?;
    // The change of UID has emptied the effective set; the permitted one is still there.
    let permitted = read(CapSet::Permitted)?;
    set(CapSet::Effective, &permitted)
}

fn limit_to(wanted: &[Capability]) -> Result<()> {
    let wanted: CapsHashSet = wanted.iter().copied().collect();
    // Inside a container some may be absent already: what is missing shows where it is needed.
    let keep: CapsHashSet = read(CapSet::Permitted)?
        .intersection(&wanted)
        .copied()
        .collect();
    caps::clear(None, CapSet::Ambient).map_err(failed("ambient"))?;
    set(CapSet::Inheritable, &CapsHashSet::new())?;
    set(CapSet::Effective, &keep)?;
    set(CapSet::Permitted, &keep)
}

fn read(which: CapSet) -> Result<CapsHashSet> {
    caps::read(None, which).map_err(failed("permitted"))
}

fn set(which: CapSet, to: &CapsHashSet) -> Result<()> {
    caps::set(None, which, to).map_err(failed("process's"))
}

fn failed(which: &'static str) -> impl FnOnce(caps::errors::CapsError) -> Error {
    move |error| Error::Policy(format!("cannot change the {which} capability set: {error}"))
}
