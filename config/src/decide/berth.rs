//! A profile made into a berth: what is not set has its default here, and only here.

use std::time::Duration;

use crate::contents::Contents;
use crate::outcome::{
    Berth, Caps, CgroupPlace, Logout, MissingController, Namespaces, OnError, PrivateTmp,
    Privileges, Propagation, Rlimit, Scope, UserManager, UserNamespace,
};
use crate::setting::{joined, value};
use crate::tables::{Profile, Rule};

/// Time between SIGTERM and the kill.
const GRACE: Duration = Duration::from_secs(5);

pub(crate) fn berth(
    contents: &Contents,
    rule: &Rule,
    profile: &Profile,
    user_caps: Caps,
    session_caps: Caps,
) -> Berth {
    let defaults = &contents.defaults;
    let keys = &profile.keys;
    Berth {
        profile: joined(rule.profiles()),
        on_error: on_error(contents, profile),
        missing_controller: value(&defaults.missing_controller)
            .copied()
            .unwrap_or(MissingController::Deny),
        contact: value(&keys.contact)
            .or(value(&defaults.contact))
            .map(|line| line.as_str().to_owned())
            .filter(|line| !line.is_empty()),
        enforce: enforces(profile),
        notify: value(&keys.notify).copied().unwrap_or(true),
        motd: value(&keys.motd).copied().unwrap_or(false),
        max_sessions: value(&keys.max_sessions).and_then(|count| count.0),
        cgroup: value(&keys.cgroup).copied().unwrap_or(CgroupPlace::Own),
        user_caps,
        session_caps,
        rlimits: rlimits(profile),
        namespaces: namespaces(profile),
        privileges: privileges(profile),
        logout: Logout {
            linger: match value(&profile.logout.linger) {
                None => Some(Duration::ZERO),
                Some(linger) => linger.0.map(|span| span.duration()),
            },
            grace: value(&profile.logout.grace).map_or(GRACE, |span| span.duration()),
        },
    }
}

/// Whether it is more than on trial.
pub(crate) fn enforces(profile: &Profile) -> bool {
    value(&profile.keys.enforce).copied().unwrap_or(true)
}

/// What a failure does to a login with this profile. One that is on trial refuses nobody.
pub(crate) fn on_error(contents: &Contents, profile: &Profile) -> OnError {
    if !enforces(profile) {
        return OnError::Allow;
    }
    value(&profile.keys.on_error)
        .or(value(&contents.defaults.on_error))
        .copied()
        .unwrap_or(OnError::Deny)
}

fn rlimits(profile: &Profile) -> Vec<Rlimit> {
    profile
        .rlimits
        .iter()
        .filter_map(|(resource, setting)| {
            let value = setting.value?;
            Some(Rlimit {
                resource: *resource,
                soft: value.soft,
                hard: value.hard,
            })
        })
        .collect()
}

fn namespaces(profile: &Profile) -> Namespaces {
    let table = &profile.namespaces;
    let on = |setting| value(setting).copied().unwrap_or(false);
    Namespaces {
        scope: value(&table.scope).copied().unwrap_or(Scope::Session),
        user: value(&table.user).copied().unwrap_or(UserNamespace::Off),
        pid: on(&table.pid),
        ipc: on(&table.ipc),
        mount: on(&table.mount),
        uts: on(&table.uts),
        net: on(&table.net),
        private_tmp: value(&table.private_tmp).map_or(PrivateTmp::Off, |room| room.0),
        tmp_keep: value(&table.tmp_keep)
            .map(|names| names.iter().map(|name| name.as_str().to_owned()).collect())
            .unwrap_or_default(),
        private_shm: value(&table.private_shm).and_then(|room| room.0),
        propagation: value(&table.propagation)
            .copied()
            .unwrap_or(Propagation::Slave),
        user_manager: user_manager(profile),
    }
}

/// What is written, or else hidden where no privilege is to be gained, and where that can be done.
pub(crate) fn user_manager(profile: &Profile) -> UserManager {
    let default = match can_hide(profile) && no_new_privs(profile) {
        true => UserManager::Hidden,
        false => UserManager::Host,
    };
    value(&profile.namespaces.user_manager)
        .copied()
        .unwrap_or(default)
}

/// Its sockets are covered in a mount namespace; without a PID namespace they would be reached through
/// /proc/PID/root of any process of the user's outside.
pub(crate) fn can_hide(profile: &Profile) -> bool {
    let on = |setting| value(setting).copied().unwrap_or(false);
    on(&profile.namespaces.pid) && on(&profile.namespaces.mount)
}

pub(crate) fn has_user_namespace(profile: &Profile) -> bool {
    value(&profile.namespaces.user).is_some_and(|user| *user != UserNamespace::Off)
}

pub(crate) fn no_new_privs(profile: &Profile) -> bool {
    value(&profile.privileges.no_new_privs)
        .copied()
        .unwrap_or_else(|| has_user_namespace(profile))
}

fn privileges(profile: &Profile) -> Privileges {
    let table = &profile.privileges;
    let isolated = has_user_namespace(profile);
    Privileges {
        no_new_privs: no_new_privs(profile),
        // Without a user namespace of the berth's own, only who writes `nested_userns = false` asks
        // for the filter: a profile of caps alone leaves Apptainer, flatpak and browsers as they are.
        nested_userns: value(&table.nested_userns).copied().unwrap_or(!isolated),
    }
}
