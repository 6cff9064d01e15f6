//! All accounts that NSS lists, in seconds where they are 100,000; and the names of single ones.
//!
//! A user's groups are asked of NSS as a login asks (getgrouplist), never taken from the members that a group
//! lists: an LDAP directory seldom lists groups at all, leaves their members out, or nests them. But each such
//! question reads all of /etc/group, so 100,000 of them take minutes where that has thousands of lines. So where
//! nsswitch.conf has groups of this machine's own files alone, whose members are all that there is to know, they are
//! read once. Wherever a directory has a say each user is asked for: what it answers is what a login gets, and
//! /etc/group is short there.

use std::collections::{HashMap, HashSet};
use std::ffi::CString;

use crate::facts::{Group, Login};
use crate::patience::asked;
use crate::sys::{self, GROUPS_MAX};

const NSSWITCH: &str = "/etc/nsswitch.conf";

/// Services of NSS that list every group, with every member. (`compat` may ask NIS.)
const LISTED_IN_FULL: [&str; 5] = ["files", "altfiles", "extrausers", "db", "systemd"];

/// All accounts that NSS lists, by name. Directories of many accounts (SSSD) often list none of theirs.
/// `progress` is told how many are looked up, and of how many. `None` where NSS does not answer.
pub fn accounts(progress: impl FnMut(usize, usize)) -> Option<Vec<Login>> {
    let ask = |progress| {
        let text = std::fs::read_to_string(NSSWITCH).unwrap_or_default();
        let groups = match listed_in_full(&text) {
            true => Groups::listed(),
            false => Groups::asked(),
        };
        looked_up(groups, progress)
    };
    asked(ask, progress)
}

fn looked_up(mut groups: Groups, mut progress: impl FnMut(usize, usize)) -> Vec<Login> {
    let listed = sys::accounts(|so_far| progress(0, so_far));
    let here = Login::here();
    let mut logins = Vec::with_capacity(listed.len());
    for (nth, account) in listed.iter().enumerate() {
        progress(nth, listed.len());
        // Who cannot be looked up cannot log in either.
        if let Some(groups) = groups.of(&account.name, account.gid) {
            logins.push(Login {
                user: account.name.clone(),
                uid: account.uid,
                gid: account.gid,
                groups,
                ..here.clone()
            });
        }
    }
    logins
}

/// Whether the groups that NSS gives a user are just those that list the user as a member. Of what is not surely
/// so it is said that it is not.
fn listed_in_full(nsswitch: &str) -> bool {
    let lines = |database: &str| {
        let lines = nsswitch.lines().filter_map(|line| {
            let (name, services) = line.split('#').next()?.split_once(':')?;
            (name.trim() == database).then_some(services)
        });
        lines.collect::<Vec<_>>()
    };
    let known = |word: &str| LISTED_IN_FULL.contains(&word);
    match (&lines("initgroups")[..], &lines("group")[..]) {
        ([], [services]) => services.split_whitespace().all(|word| {
            // Without a line for initgroups, all services are asked, but where one that knows nothing ends it.
            let action = word.to_ascii_uppercase();
            known(word) || ["[SUCCESS=MERGE]", "[SUCCESS=CONTINUE]"].contains(&&*action)
        }),
        // The first that knows the user ends it here.
        ([services], _) => known(services.trim()),
        _ => false,
    }
}

/// Where users' groups come from.
struct Groups {
    /// The groups that list a user, if they were read.
    listed: Option<HashMap<String, Vec<u32>>>,
    /// The names of groups, which many users share.
    names: HashMap<u32, String>,
}

impl Groups {
    fn asked() -> Groups {
        Groups {
            listed: None,
            names: HashMap::new(),
        }
    }

    fn listed() -> Groups {
        let mut names = HashMap::new();
        let mut listed: HashMap<String, Vec<u32>> = HashMap::new();
        for group in sys::groups() {
            for member in group.members {
                listed.entry(member).or_default().push(group.gid);
            }
            // As getgrgid(3) answers: the first that has it.
            names.entry(group.gid).or_insert(group.name);
        }
        Groups {
            listed: Some(listed),
            names,
        }
    }

    /// All groups of a user, the primary one first; `None` where they are more than a process can have.
    fn of(&mut self, user: &str, primary: u32) -> Option<Vec<Group>> {
        let mut gids = match &self.listed {
            None => sys::group_list(&CString::new(user).ok()?, primary)?.gids,
            Some(listed) => {
                let others = listed.get(user).map_or(&[][..], |gids| gids);
                std::iter::once(&primary).chain(others).copied().collect()
            }
        };
        let mut seen = HashSet::with_capacity(gids.len());
        gids.retain(|gid| seen.insert(*gid));
        let groups = gids.iter().map(|gid| Group {
            gid: *gid,
            name: self
                .names
                .entry(*gid)
                .or_insert_with(|| Group::of(*gid).map(|group| group.name).unwrap_or_default())
                .clone(),
        });
        (gids.len() <= GROUPS_MAX).then(|| groups.collect())
    }
}

/// The name of an account, if NSS says it in time: whoever ends a session waits for no directory.
pub fn name_of(uid: u32) -> Option<String> {
    let ask = move |_| {
        Some(
            users::get_user_by_uid(uid)?
                .name()
                .to_string_lossy()
                .into_owned(),
        )
    };
    asked(ask, |_, _| {}).flatten()
}

/// The name of the account that runs this: under sudo, of who typed it.
pub fn own_name() -> Option<String> {
    let uid = users::get_current_uid();
    // Only root has come by sudo; others may have written anything there.
    let by_sudo = std::env::var("SUDO_USER").ok().filter(|_| uid == 0);
    if let Some(user) = by_sudo.filter(|user| !user.is_empty()) {
        return Some(user);
    }
    let account = users::get_user_by_uid(uid)?;
    Some(account.name().to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_read_only_where_no_directory_has_a_say() {
        let read = |text: &str| listed_in_full(text);
        assert!(read("passwd: files sss\ngroup:  files systemd # local\n"));
        assert!(read("group: files [SUCCESS=merge] systemd\n"));
        assert!(read("group: files sss\ninitgroups: files\n"));
        for text in [
            "",
            "group: files sss\n",
            "group: compat\n",
            "group: files [NOTFOUND=return] systemd\n",
            "group: files\ngroup: files ldap\n",
            "group: files\ninitgroups: files systemd\n",
            "group: files\ninitgroups: sss\n",
        ] {
            assert!(!read(text), "{text:?}");
        }
    }

    #[test]
    fn every_account_has_the_groups_that_a_login_of_it_has() {
        let listed = looked_up(Groups::listed(), |_, _| {});
        let asked = looked_up(Groups::asked(), |_, _| {});
        assert!(listed.iter().any(|login| login.uid == 0));
        for all in [listed, asked, accounts(|_, _| {}).unwrap()] {
            assert!(all.iter().any(|login| login.user == "root"));
            for login in all {
                let sorted = |login: &Login| {
                    let mut gids: Vec<_> = login.groups.iter().map(|group| group.gid).collect();
                    gids.sort_unstable();
                    (login.uid, login.gid, gids, login.primary_group().to_owned())
                };
                let one = Login::of(&login.user).unwrap();
                assert_eq!(sorted(&login), sorted(&one), "{}", login.user);
                assert_eq!((login.host, login.at.is_some()), (one.host, true));
            }
        }
    }
}
