//! A login: who, from where, through which service.

use std::ffi::CString;

use serde::{Deserialize, Serialize};

use super::LocalTime;
use crate::sys;

/// All that rules can test of a login.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Login {
    /// The account's name, as NSS spells it.
    pub user: String,
    /// The account's UID.
    pub uid: u32,
    /// The account's primary GID.
    pub gid: u32,
    /// The primary group and all supplementary ones.
    pub groups: Vec<Group>,
    /// The PAM service.
    pub service: String,
    /// `PAM_TTY`, or empty.
    pub tty: String,
    /// `PAM_RHOST`, or empty.
    pub rhost: String,
    /// `PAM_RUSER`, or empty.
    pub ruser: String,
    /// The machine's host name.
    pub host: String,
    /// The local time; `None` is a time that no window holds.
    pub at: Option<LocalTime>,
}

/// A group of a login.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Its GID.
    pub gid: u32,
    /// Its name; empty where NSS knows none (no rule can then test it).
    pub name: String,
}

/// Why a name could not be turned into a login.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// NSS answered that there is no such account, or could not answer at all.
    #[error(
        "user {0:?} is not known here (asked NSS: /etc/passwd, LDAP, SSSD as nsswitch.conf says)"
    )]
    UnknownUser(String),
    /// The name is none that an account can have.
    #[error("{0:?} cannot be a user name")]
    BadName(String),
    /// NSS cannot say which groups the user is in, or what one is called: any rule about groups might be meant.
    #[error("NSS cannot name the groups of user {user:?}: {error}")]
    Groups {
        /// The account.
        user: String,
        /// What NSS said.
        error: String,
    },
    /// NSS lists more groups than a process can have.
    #[error("user {0:?} has more groups than the kernel allows (65536)")]
    TooManyGroups(String),
}

/// The name of a terminal by which rules test it: `tty1`, also where it is told as a path, as by util-linux's login.
pub fn tty_name(tty: &str) -> &str {
    tty.strip_prefix("/dev/").unwrap_or(tty)
}

impl Login {
    /// The same user by another door: the PAM service, terminal, remote host and remote user, in this order.
    pub fn through(&self, [service, tty, rhost, ruser]: [&str; 4]) -> Login {
        Login {
            service: service.into(),
            tty: tty.into(),
            rhost: rhost.into(),
            ruser: ruser.into(),
            ..self.clone()
        }
    }

    /// By ssh from no host in particular: what is asked for where nobody logs in.
    pub fn by_ssh(&self) -> Login {
        self.through(["sshd", "ssh", "", ""])
    }

    /// By this service, with the terminal that it tells: sshd has none yet, and says `ssh`.
    pub fn set_service(&mut self, service: &str) {
        service.clone_into(&mut self.service);
        let tty = if service == "sshd" { "ssh" } else { "" };
        tty.clone_into(&mut self.tty);
    }

    /// Nobody's yet, on this host and now.
    pub fn here() -> Login {
        Login {
            host: sys::host_name().unwrap_or_default(),
            at: LocalTime::now(),
            ..Login::default()
        }
    }

    /// An account of which only this is known.
    pub fn known_as(user: &str, uid: u32) -> Login {
        Login {
            user: user.into(),
            uid,
            ..Login::default()
        }
    }

    /// Looks an account up through NSS. The host name and the time are this machine's and now;
    /// service, tty, rhost and ruser are empty, for the caller to fill in.
    pub fn of(user: &str) -> Result<Login, LookupError> {
        let c_name = CString::new(user).map_err(|_| LookupError::BadName(user.into()))?;
        if user.is_empty() {
            return Err(LookupError::BadName(user.into()));
        }
        let account =
            users::get_user_by_name(user).ok_or_else(|| LookupError::UnknownUser(user.into()))?;
        let unnamed = |error: std::io::Error| LookupError::Groups {
            user: user.into(),
            error: error.to_string(),
        };
        let gid = account.primary_group_id();
        let listed =
            sys::group_list(&c_name, gid).ok_or_else(|| LookupError::TooManyGroups(user.into()))?;
        // Without its groups a user of a directory would pass by the rules for them. Who stands here is held up by no
        // directory.
        match listed.unreached {
            Some(error) if !sys::is_local(user) => return Err(unnamed(error)),
            _ => {}
        }
        let mut gids = listed.gids;
        // Some services list the primary group twice, or a group once for each source.
        let mut seen = std::collections::HashSet::with_capacity(gids.len());
        gids.retain(|gid| seen.insert(*gid));
        let groups = gids.into_iter().map(Group::of).collect::<Result<_, _>>();
        let groups = groups.map_err(unnamed)?;
        Ok(Login {
            user: account.name().to_string_lossy().into_owned(),
            uid: account.uid(),
            gid,
            groups,
            ..Login::here()
        })
    }

    /// Whether this is another name's login, too: the same name, or another of the same UID.
    pub fn is(&self, user: &str) -> bool {
        self.user == user || Login::of(user).is_ok_and(|other| other.uid == self.uid)
    }

    /// The name of the primary group; empty where NSS knows none.
    pub fn primary_group(&self) -> &str {
        self.groups
            .iter()
            .find(|group| group.gid == self.gid)
            .map_or("", |group| &group.name)
    }
}

impl Group {
    pub(crate) fn of(gid: u32) -> std::io::Result<Group> {
        let name = sys::group_name(gid)?.unwrap_or_default();
        Ok(Group { gid, name })
    }
}
