//! What can go wrong while a login is set up.

use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};

use berth_config::MachineError;
use berth_session::Cause;
use berth_session::kernel::OLDEST;
use nix::errno::Errno;

use crate::idmap::{MAX_EXTENTS, PAGE};

/// What was attempted, on what, what the system said, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The module's side of the conversation failed.
    #[error("conversation with the PAM module: {0}")]
    Channel(#[from] berth_protocol::ChannelError),
    /// The worker and its standby cannot talk.
    #[error("cannot tell the session's standby what to clean up: {0}")]
    Standby(berth_protocol::ChannelError),
    /// The policy, or what it names, cannot be used.
    #[error("{0}")]
    Policy(String),
    /// Who logs in cannot be found out.
    #[error("{0}")]
    Account(String),
    /// What this machine has.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// A file; or a session's record, folder or cgroup.
    #[error(transparent)]
    Session(#[from] berth_session::Error),
    #[error("cannot {action}: {errno}")]
    System { action: String, errno: Errno },
    /// The init of the session could not set itself up.
    #[error("the session's init {0}")]
    Init(String),
    /// A mount namespace would lead the application out of where it is.
    #[error(
        "the login service runs in a chroot, and a berth's mount namespace would lead out of it; start the service outside, or give it a rule with a profile without namespaces"
    )]
    Chroot,
    /// There are no namespaces to be had, of the other kinds.
    #[error("cannot clone the session's init into its namespaces: {}{}", .0.desc(), namespaces_hint(*.0))]
    Namespaces(Errno),
    /// There is no user namespace to be had.
    #[error("cannot make a user namespace: {}; {}", .0.desc(), user_namespace_hint(*.0))]
    UserNamespace(Errno),
    /// A cap that this machine cannot enforce.
    #[error("cannot set {cap} of {whom}: {reason}")]
    Cap {
        /// The policy's key.
        cap: String,
        /// `user 1001` or `session 12`.
        whom: String,
        reason: String,
    },
    /// An io cap names something that is on no disk.
    #[error("cannot cap I/O on {}: {reason}", path.display())]
    Disk {
        /// The path in the policy.
        path: PathBuf,
        reason: String,
    },
    /// The login's groups do not fit into a map.
    #[error(
        "{what} need {extents} extents, {bytes} bytes, in the user namespace's map, and the kernel takes {MAX_EXTENTS} in less than {PAGE} bytes: use user = \"identity\" for this user"
    )]
    Map {
        /// `the login's groups`
        what: &'static str,
        extents: usize,
        /// As the map has them.
        bytes: usize,
    },
    /// The reserved owner UID cannot be used.
    #[error(
        "the owner UID {owner} of user {uid} is not usable here: {reason}; set defaults.owner_uid_base to a free range"
    )]
    Owner {
        /// The reserved UID.
        owner: u64,
        uid: u32,
        reason: String,
    },
    /// A group of the user's is in no map, and the application could not take it on after the join.
    #[error(
        "group {gid} of user {uid} cannot be in a berth's map: it is no id of this machine's, or one of {base} to {last}, which are the owners'; set defaults.owner_uid_base to a range without groups"
    )]
    Group {
        gid: u32,
        uid: u32,
        /// The first of the owners.
        base: u32,
        /// The last one.
        last: u64,
    },
    /// The kernel is too old.
    #[error(
        "this kernel ({release}) is too old: Berth needs Linux {OLDEST} or newer, for cgroup.kill and setns on a pidfd"
    )]
    Kernel {
        /// What uname(2) says.
        release: String,
    },
    /// Namespaces were asked for, and the application cannot join any.
    #[error("{0}")]
    CannotJoin(String),
}

impl Error {
    /// What it is counted as.
    pub fn cause(&self) -> Cause {
        match self {
            Error::Channel(_) => Cause::Module,
            Error::Policy(_) => Cause::Policy,
            Error::Account(_) => Cause::Account,
            Error::Machine(_) => Cause::File,
            Error::Session(error) => error.into(),
            Error::System { .. } | Error::Standby(_) => Cause::SystemCall,
            Error::Init(_) => Cause::Init,
            Error::Chroot | Error::Namespaces(_) => Cause::Namespaces,
            Error::UserNamespace(_) => Cause::UserNamespace,
            Error::Cap { .. } => Cause::Cap,
            Error::Disk { .. } => Cause::Disk,
            Error::Map { .. } | Error::Group { .. } => Cause::GroupsMap,
            Error::Owner { .. } => Cause::OwnerUid,
            Error::Kernel { .. } => Cause::Kernel,
            Error::CannotJoin(_) => Cause::CannotJoin,
        }
    }

    /// The policy, or what it names, cannot be used.
    pub fn policy(why: impl Display) -> Error {
        Error::Policy(why.to_string())
    }

    /// Whether a file could not be made for want of room, or because of a quota.
    pub fn is_for_want_of_room(&self) -> bool {
        matches!(self.of_a_file(), Some(Errno::ENOSPC | Errno::EDQUOT))
    }

    /// Whether it could not be made because the file system is read-only, as the kernel makes it after an error
    /// (`errors=remount-ro`).
    pub fn is_of_a_read_only_disk(&self) -> bool {
        self.of_a_file() == Some(Errno::EROFS)
    }

    fn of_a_file(&self) -> Option<Errno> {
        let Error::Session(berth_session::Error::File { source, .. }) = self else {
            return None;
        };
        source.raw_os_error().map(Errno::from_raw)
    }
}

/// The result type of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// For `map_err`: names what was attempted.
pub fn system(action: impl Into<String>) -> impl FnOnce(Errno) -> Error {
    move |errno| Error::System {
        action: action.into(),
        errno,
    }
}

/// The same, of a file.
pub fn file(action: &'static str, path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Error {
    move |source| berth_session::Error::file(action, path.as_ref(), source).into()
}

fn namespaces_hint(errno: Errno) -> &'static str {
    match errno {
        Errno::ENOSPC => {
            "; there are as many as one of user.max_pid_namespaces, user.max_ipc_namespaces, \
             user.max_mnt_namespaces, user.max_net_namespaces and user.max_uts_namespaces allows, or 32 PID \
             namespaces are nested"
        }
        _ => "",
    }
}

fn user_namespace_hint(errno: Errno) -> &'static str {
    match errno {
        Errno::EPERM | Errno::EACCES => {
            "in a chroot there are none (start the login service outside), and a container's seccomp \
             profile or AppArmor must allow it; user = \"off\" does without"
        }
        Errno::ENOSPC | Errno::EUSERS => {
            "there are as many as user.max_user_namespaces allows, or 32 are nested"
        }
        Errno::EINVAL => {
            "this kernel is built without them (CONFIG_USER_NS); user = \"off\" does without"
        }
        _ => "see user_namespaces(7)",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_what_to_do_where_that_is_known() {
        let namespaces = |errno| Error::Namespaces(errno).to_string();
        for limit in ["pid", "ipc", "mnt", "net", "uts"] {
            let limit = format!("user.max_{limit}_namespaces");
            assert!(namespaces(Errno::ENOSPC).contains(&limit), "{limit}");
        }
        assert!(!namespaces(Errno::EPERM).contains(';'));
        for (errno, expected) in [
            (Errno::EPERM, "a container's seccomp profile"),
            (Errno::ENOSPC, "user.max_user_namespaces"),
            (Errno::EINVAL, "CONFIG_USER_NS"),
            (Errno::ENOMEM, "user_namespaces(7)"),
        ] {
            let text = Error::UserNamespace(errno).to_string();
            assert!(text.contains(expected), "{text}");
        }
        for (errno, is_full) in [
            (Errno::ENOSPC, true),
            (Errno::EDQUOT, true),
            (Errno::EROFS, false),
            (Errno::EACCES, false),
        ] {
            let error = file("create", "/var/tmp")(errno.into());
            assert_eq!(error.is_for_want_of_room(), is_full, "{error}");
            let is_read_only = errno == Errno::EROFS;
            assert_eq!(error.is_of_a_read_only_disk(), is_read_only, "{error}");
        }
        // Such as that of the namespaces' number, or of the mounts'.
        assert!(!system("mount")(Errno::ENOSPC).is_for_want_of_room());
    }
}
