//! What the helper may do, and how it gives that up.
//!
//! It starts as root because its caller is, never by a setuid bit, and keeps at each stage only the
//! capabilities (capabilities(7)) that the stage needs.

use std::fs;

use berth_protocol::install_filter;
use berth_session::filter::{self, Others};
use caps::errors::CapsError;
use caps::{CapSet, Capability, CapsHashSet};
use nix::errno::Errno;
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

/// While a session is kept; and CAP_SYS_PTRACE, where others' processes are not to be seen without it.
const KEEP: &[Capability] = &[
    Capability::CAP_KILL,         // the user's processes, at the end
    Capability::CAP_SYS_NICE,     // moving the leader out of a cpuset
    Capability::CAP_DAC_OVERRIDE, // removing what the user left in a private /tmp
    Capability::CAP_FOWNER,       // likewise, in folders with the sticky bit
    Capability::CAP_CHOWN, // likewise, where somebody would go on making files by a descriptor
    Capability::CAP_AUDIT_WRITE, // the records of the session's end
];

/// The system calls of a process that keeps a session, or stands by: the waiting, the user's notices, the end of what
/// is left, the records. No exec, so that no other program gets what it holds; nothing that traces, mounts, enters or
/// makes namespaces, or changes IDs.
const KEEPS: &[libc::c_long] = &[
    // Waiting.
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_poll,
    libc::SYS_ppoll,
    libc::SYS_restart_syscall,
    libc::SYS_rt_sigreturn,
    libc::SYS_wait4,
    // Other processes, and the child that writes on terminals.
    libc::SYS_clone3,
    libc::SYS_close_range,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_send_signal,
    // Files: cgroups, records, accounting, a private /tmp.
    libc::SYS_close,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_fcntl,
    libc::SYS_flock,
    libc::SYS_fsetxattr,
    libc::SYS_fstat,
    libc::SYS_ftruncate,
    libc::SYS_getdents64,
    libc::SYS_lseek,
    libc::SYS_mkdirat,
    libc::SYS_newfstatat,
    libc::SYS_openat,
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_read,
    libc::SYS_readlinkat,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_statx,
    libc::SYS_unlinkat,
    libc::SYS_utimensat,
    libc::SYS_write,
    // The same as a C library calls them where there are such calls.
    #[cfg(target_arch = "x86_64")]
    libc::SYS_chmod,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_lchown,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_mkdir,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_readlink,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_rename,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_rmdir,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_unlink,
    // Sockets: the module's, the log's, audit's, systemd's.
    libc::SYS_connect,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_sendmsg,
    libc::SYS_sendto,
    libc::SYS_setsockopt,
    libc::SYS_shutdown,
    libc::SYS_socket,
    // The C library's own, and who this is.
    libc::SYS_brk,
    libc::SYS_futex,
    libc::SYS_geteuid,
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_getrandom,
    libc::SYS_gettid,
    libc::SYS_madvise,
    libc::SYS_mmap,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_sigaltstack,
];

/// Refuses to run for anybody but root, or with privilege that came from the file: whoever could
/// start the helper and choose its request could make cgroups and namespaces at will.
pub fn refuse_unless_root() -> std::result::Result<(), String> {
    if sys::is_secure_exec() {
        return Err(
            "refusing to run in secure mode (AT_SECURE): by a setuid bit, file capabilities, an AppArmor rule \
             with Px, Cx or Ux (px, cx, ux do without), or a domain of SELinux's without noatsecure"
                .into(),
        );
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
    // The application has just been told to go on, or is about to be: it goes first, where it has to share a processor
    // with this. The kernel looks at the filter for a tenth of a millisecond.
    std::thread::yield_now();
    let mut keep = KEEP.to_vec();
    set(CapSet::Effective, &permitted(&keep)?)?;
    // A /proc for one group only, or for who may trace (`hidepid`, proc(5)), hides all others from who may not.
    if fs::metadata("/proc/1/stat").is_err() {
        keep.push(Capability::CAP_SYS_PTRACE);
    }
    limit_to(&keep)?;
    // A call that was forgotten here fails and is logged by who makes it; that must not end anybody's session.
    install_filter(&filter::only(KEEPS, Others::Fail)).map_err(system("give up system calls"))
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
    let keep = permitted(wanted)?;
    caps::clear(None, CapSet::Ambient).map_err(failed)?;
    set(CapSet::Inheritable, &CapsHashSet::new())?;
    set(CapSet::Effective, &keep)?;
    set(CapSet::Permitted, &keep)
}

/// Those of these that this process has. Inside a container some may be absent already: what is missing shows where it is
/// needed.
fn permitted(wanted: &[Capability]) -> Result<CapsHashSet> {
    let mut has = read(CapSet::Permitted)?;
    has.retain(|one| wanted.contains(one));
    Ok(has)
}

fn read(which: CapSet) -> Result<CapsHashSet> {
    caps::read(None, which).map_err(failed)
}

fn set(which: CapSet, to: &CapsHashSet) -> Result<()> {
    caps::set(None, which, to).map_err(failed)
}

fn failed(_: CapsError) -> Error {
    // It is text made of this.
    system("change its capabilities")(Errno::last())
}
