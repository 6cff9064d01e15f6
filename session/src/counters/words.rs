//! What becomes of logins, and by what they fail, in as many words as there are counters.

use crate::Error;

/// What became of a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoginResult {
    /// It has a session.
    Ok,
    /// The policy leaves it alone.
    Exempt,
    /// The policy refuses it.
    Denied,
    /// It failed before anything was changed.
    Failed,
    /// It failed, and what was changed already was taken back.
    RolledBack,
}

impl LoginResult {
    /// All of them, in the order in which they are declared, with a word for people and programs.
    pub const WORDS: [(LoginResult, &'static str); 5] = [
        (LoginResult::Ok, "ok"),
        (LoginResult::Exempt, "exempt"),
        (LoginResult::Denied, "denied"),
        (LoginResult::Failed, "failed"),
        (LoginResult::RolledBack, "rolled_back"),
    ];
}

/// Why a login failed: one for each kind of error, whatever its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // the words say it
pub enum Cause {
    Module,
    Policy,
    Account,
    Record,
    Cgroup,
    Systemd,
    SystemCall,
    File,
    Init,
    Namespaces,
    UserNamespace,
    Cap,
    Disk,
    GroupsMap,
    OwnerUid,
    Kernel,
    CannotJoin,
    HelperKilled,
}

impl Cause {
    /// All of them, in the order in which they are declared, with a word for people and programs.
    pub const WORDS: [(Cause, &'static str); 18] = [
        (Cause::Module, "module"),
        (Cause::Policy, "policy"),
        (Cause::Account, "account"),
        (Cause::Record, "record"),
        (Cause::Cgroup, "cgroup"),
        (Cause::Systemd, "systemd"),
        (Cause::SystemCall, "system_call"),
        (Cause::File, "file"),
        (Cause::Init, "init"),
        (Cause::Namespaces, "namespaces"),
        (Cause::UserNamespace, "user_namespace"),
        (Cause::Cap, "cap"),
        (Cause::Disk, "disk"),
        (Cause::GroupsMap, "groups_map"),
        (Cause::OwnerUid, "owner_uid"),
        (Cause::Kernel, "kernel"),
        (Cause::CannotJoin, "cannot_join"),
        (Cause::HelperKilled, "helper_killed"),
    ];
}

impl From<&Error> for Cause {
    fn from(error: &Error) -> Cause {
        match error {
            Error::File { .. } | Error::Held { .. } => Cause::File,
            Error::Record { .. } => Cause::Record,
            Error::Systemd { .. } | Error::Refused { .. } => Cause::Systemd,
            Error::NoCgroup2
            | Error::UnknownKeeper { .. }
            | Error::Unfreezable { .. }
            | Error::Unkillable { .. } => Cause::Cgroup,
        }
    }
}
