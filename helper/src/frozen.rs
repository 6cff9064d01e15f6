//! Logins of users whom an admin has frozen. An application that is moved to what is frozen stops there, and with it
//! whoever waits for it: so such a login is refused, unless the policy wants it to stand and nobody else would.

use berth_config::outcome::{CgroupPlace, FrozenLogin};
use berth_protocol::{JoinAbility, Request};
use berth_session::{Backend, Tree};

use crate::decide::Planned;
use crate::settings::UserTasks;

/// Whether nobody but the user waits for this application: it serves one login, and one from another host. Where `su` is
/// typed it would stop the admin's own terminal, where cron runs a job there would be one more each minute.
pub fn can_stand(request: &Request, service_named: bool) -> bool {
    let joined = match request.join {
        JoinAbility::Yes => true,
        JoinAbility::IfNamed => service_named,
        JoinAbility::Threaded | JoinAbility::Service | JoinAbility::Manager => false,
    };
    joined && !request.rhost.is_empty()
}

/// Why a login cannot go where it belongs, for its user.
pub fn refusal(tree: &Tree, planned: &Planned) -> Option<String> {
    (!is_let_in(tree, planned) && is_frozen(tree, planned)).then(|| message(planned))
}

/// The same of a login that is not there yet. At the user's tasks_max there is room for who cleans up, and one that stands
/// cannot; there would be no end of them, since the kernel refuses tasks to who makes them, and not to who is moved.
pub fn refusal_at_the_door(tree: &Tree, planned: &Planned) -> Option<String> {
    let is_full = || {
        let user = tree.existing_user(planned.login.uid).ok().flatten();
        let tasks = UserTasks::of(&planned.berth.user_caps);
        user.is_some_and(|user| {
            let [sessions, _] = Tree::parts(&user);
            tasks.are_used_up(&sessions)
        })
    };
    let refused = || (stands(tree, planned) && is_full()).then(|| message(planned));
    refusal(tree, planned).or_else(refused)
}

fn message(planned: &Planned) -> String {
    let contact = planned.berth.contact.as_ref();
    let help = contact.map_or(String::new(), |contact| format!(" Help: {contact}"));
    format!("Your sessions are frozen, and no others can be opened.{help}")
}

/// Whether a login that is let in stands now.
pub fn stands(tree: &Tree, planned: &Planned) -> bool {
    is_let_in(tree, planned) && is_frozen(tree, planned)
}

/// systemd starts no unit in a slice that is frozen (seen with 257): such a login would go on where sshd is.
fn is_let_in(tree: &Tree, planned: &Planned) -> bool {
    planned.frozen_login == FrozenLogin::Freeze && tree.backend() == Backend::Cgroupfs
}

fn is_frozen(tree: &Tree, planned: &Planned) -> bool {
    if planned.berth.cgroup != CgroupPlace::Own {
        return false;
    }
    let uid = planned.login.uid;
    let pool = planned.pool.as_ref().map(|(name, _)| name.as_str());
    // Where the policy has the user now; where those are who are logged in; and, under systemd, where logind puts a
    // login before Berth is asked.
    let logind = (tree.backend() == Backend::Systemd).then(|| tree.user_in(None, uid));
    let places = [
        Some(tree.user_in(pool, uid)),
        tree.existing_user(uid).ok().flatten(), // the login itself is told of what cannot be read
        logind,
    ];
    let mut places = places.into_iter().flatten();
    places.any(|group| tree.frozen(&group).is_some())
}

#[cfg(test)]
mod tests {
    use berth_config::outcome::Caps;

    use super::*;
    use crate::decide::tests::{planned, request};
    use crate::settings::folder::Folder;

    #[test]
    fn only_a_login_from_another_host_that_is_joined_can_stand() {
        use JoinAbility::*;
        for (join, is_named, rhost, expected) in [
            (Yes, false, "192.0.2.7", true),
            (Yes, true, "", false),
            (IfNamed, true, "192.0.2.7", true),
            (IfNamed, false, "192.0.2.7", false),
            (Threaded, true, "192.0.2.7", false),
        ] {
            let mut request = request(join);
            request.rhost = rhost.into();
            assert_eq!(
                can_stand(&request, is_named),
                expected,
                "{join:?} {rhost:?}"
            );
        }
    }

    /// A tree in which somebody has frozen one cgroup.
    fn frozen(cgroup: &str) -> Folder {
        Folder::with(&[(&format!("{cgroup}/cgroup.freeze"), "1\n")])
    }

    const REFUSED: &str = "Your sessions are frozen, and no others can be opened.";

    #[test]
    fn a_login_of_a_frozen_user_is_refused_or_stands_as_the_policy_says() {
        let frozen = frozen("berth/user-1001");
        let tree = frozen.tree(Backend::Cgroupfs);
        let mut alice = planned("frozen", "", "");
        assert_eq!(refusal(&tree, &alice).as_deref(), Some(REFUSED));
        assert!(!stands(&tree, &alice));
        assert!(refusal_at_the_door(&tree, &alice).is_some());
        alice.berth.contact = Some("help@example.org".into());
        let help = refusal(&tree, &alice).unwrap();
        assert_eq!(help, format!("{REFUSED} Help: help@example.org"));

        alice.frozen_login = FrozenLogin::Freeze;
        assert_eq!(refusal(&tree, &alice), None);
        assert!(stands(&tree, &alice));
        // A batch job's login does not go there, and others are not frozen.
        let mut stays = planned("frozen", "", "cgroup = \"keep\"");
        assert_eq!(refusal(&tree, &stays), None);
        stays.frozen_login = FrozenLogin::Freeze;
        assert!(!stands(&tree, &stays));
        alice.login.uid = 1002;
        assert!(!stands(&tree, &alice));
    }

    #[test]
    fn no_login_stands_on_what_is_kept_for_cleaning_up() {
        let frozen = frozen("berth/user-1001");
        std::fs::create_dir(frozen.join("berth/user-1001/sessions")).unwrap();
        let tree = frozen.tree(Backend::Cgroupfs);
        let mut alice = planned("full", "", "user = { tasks_max = 20 }");
        alice.frozen_login = FrozenLogin::Freeze;
        for (current, expected) in [("12\n", None), ("13\n", Some(REFUSED))] {
            frozen.write("berth/user-1001/sessions/pids.current", current);
            let refusal = refusal_at_the_door(&tree, &alice);
            assert_eq!(refusal.as_deref(), expected, "{current}");
            // One that is there already is not sent away.
            assert_eq!(super::refusal(&tree, &alice), None);
        }
    }

    #[test]
    fn under_systemd_a_login_of_a_frozen_user_is_always_refused_wherever_they_are_frozen() {
        for cgroup in [
            "user.slice/user-1001.slice",
            "user.slice/user-pool_cs101.slice",
            "user.slice/user-pool_cs101.slice/user-pool_cs101-1001.slice",
        ] {
            let frozen = frozen(cgroup);
            let pool = "user.slice/user-pool_cs101.slice/user-pool_cs101-1001.slice";
            std::fs::create_dir_all(frozen.join(pool)).unwrap();
            let tree = frozen.tree(Backend::Systemd);
            let mut alice = planned("slice", "", "");
            alice.pool = Some(("cs101".into(), Caps::default()));
            alice.frozen_login = FrozenLogin::Freeze;
            assert_eq!(refusal(&tree, &alice).as_deref(), Some(REFUSED), "{cgroup}");
            assert!(!stands(&tree, &alice), "{cgroup}");
        }
    }
}
