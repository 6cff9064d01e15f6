//! What a login's set-up needs to know, before anything is changed.

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;

use berth_config::Login;
use berth_config::outcome::{CgroupPlace, UserNamespace};
use berth_protocol::JoinAbility;
use berth_session::{Backend, Record, SessionId, Tree, kernel_text};
use nix::unistd::Pid;

use crate::decide::Planned;
use crate::error::{Error, Result, file, system};
use crate::leader::Leader;
use crate::{caps, chroot, idmap, init, kernel, pam_group, sys};

/// What is known before anything is changed.
pub struct Prepared {
    /// The hierarchy, where the session gets a cgroup in it; and systemd's in any case, since a user's caps there go with
    /// their last session, whichever that is.
    pub tree: Option<Tree>,
    pub id: SessionId,
    pub leader: Leader,
    /// The same process, by a descriptor that is readable once it has ended.
    pub leaders_end: OwnedFd,
    /// The caps, where the session gets a cgroup.
    pub caps: Option<caps::Plan>,
    /// The UID that owns the user's namespaces.
    pub owner: u32,
    /// The maps of the user namespace, if there is one.
    pub maps: Option<init::Maps>,
}

impl Prepared {
    /// Looks at all that can be refused or worked out without a trace.
    pub fn new(
        planned: &Planned,
        join: JoinAbility,
        tree: berth_session::Result<Tree>,
        leader: Pid,
    ) -> Result<Prepared> {
        let berth = &planned.berth;
        let uid = planned.login.uid;
        kernel::is_new_enough()?;
        if berth.namespaces.mount {
            chroot::refuse()?;
        }
        let (tree, caps) = match berth.cgroup {
            CgroupPlace::Own => {
                let tree = tree?;
                let caps = caps::Plan::new(&tree, planned)?;
                (Some(tree), Some(caps))
            }
            CgroupPlace::Keep => {
                let systemds = |tree: &Tree| tree.backend() == Backend::Systemd;
                (tree.ok().filter(systemds), None)
            }
        };
        let leaders_end = sys::pidfd_open(leader)
            .map_err(system(format!("watch the login, process {leader}")))?;
        // Of a unit with `PAMName=` it is its admin's word, but for the one under which no cap of memory holds.
        let is_lowered = |score: &str| match join {
            _ if !berth.enforce => false,
            JoinAbility::Service => score == "-1000",
            _ => score.starts_with('-'),
        };
        let leader = Leader::of(leader, tree.as_ref(), is_lowered)?;
        let owner = idmap::owner(planned.owner_uid_base, uid)?;
        let maps = maps(planned, &leader)?;
        Record::prepare()?;
        Ok(Prepared {
            tree,
            id: SessionId::next()?,
            leader,
            leaders_end,
            caps,
            owner,
            maps,
        })
    }

    /// The hierarchy, where the session gets a cgroup in it. Elsewhere Berth's own processes stay with the login's.
    pub fn own_tree(&self) -> Option<&Tree> {
        self.tree.as_ref().filter(|_| self.caps.is_some())
    }
}

/// The maps of the login's user namespace, if it gets one.
fn maps(planned: &Planned, leader: &Leader) -> Result<Option<init::Maps>> {
    let own = |path: &'static str| kernel_text(path).map_err(file("read", path));
    let base = planned.owner_uid_base;
    let login = &planned.login;
    Ok(match planned.berth.namespaces.user {
        UserNamespace::Off => None,
        UserNamespace::Identity => {
            let gids = identity_of_groups(login, &own("/proc/self/gid_map")?, base)?;
            Some(init::Maps {
                uids: idmap::identity(&own("/proc/self/uid_map")?, base)?,
                gids,
            })
        }
        UserNamespace::Minimal => {
            // All that the application still sets after the join: root, the user, every group that
            // the databases or pam_group give it or will, and the terminal's group.
            let tty = nix::unistd::Group::from_name("tty").ok().flatten();
            let mut gids: BTreeSet<u32> = login.groups.iter().map(|group| group.gid).collect();
            gids.extend([0, login.gid]);
            gids.extend(leader.groups());
            gids.extend(pam_group::groups());
            gids.extend(tty.map(|tty| tty.gid.as_raw()));
            Some(init::Maps {
                uids: idmap::minimal("the login's users", [0, login.uid])?,
                gids: idmap::minimal("the login's groups", gids)?,
            })
        }
    })
}

/// `identity` of the groups, all of the login's among them: it would end in initgroups, after the join. What groups the
/// application has now is not asked: they may be those of who typed su.
fn identity_of_groups(login: &Login, own: &str, base: u32) -> Result<String> {
    let map = idmap::identity(own, base)?;
    let groups = login.groups.iter().map(|group| group.gid);
    let mut all = groups.chain([login.gid]);
    match all.find(|gid| !idmap::has(&map, *gid)) {
        None => Ok(map),
        Some(gid) => Err(Error::Group {
            gid,
            uid: login.uid,
            base,
            last: 2 * u64::from(base) - 1,
        }),
    }
}

#[cfg(test)]
mod tests {
    use berth_config::Group;

    use super::*;

    #[test]
    fn a_group_that_is_in_no_map_is_an_error_before_anything_is_changed() {
        let mut login = crate::decide::tests::planned("group-in-no-map", "", "").login;
        let mut with = |gid, own: &str| {
            login.groups.push(Group {
                name: "projects".into(),
                gid,
            });
            let made = identity_of_groups(&login, own, 2_000_000_000);
            login.groups.pop();
            made
        };
        let all = "0 0 4294967295\n";
        with(1_999_999_999, all).unwrap();
        with(4_000_000_000, all).unwrap();
        let error = with(2_000_000_005, all).unwrap_err().to_string();
        assert!(error.starts_with("group 2000000005 of user"), "{error}");
        // What a container does not have.
        with(65_536, "0 100000 65536\n").unwrap_err();
    }
}
