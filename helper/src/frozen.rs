//! Logins of users whom an admin has frozen: refused, because an application that is moved to what is frozen stops there,
//! and with it whoever waits for it.

use berth_config::outcome::CgroupPlace;
use berth_session::{Manager, Tree};

use crate::decide::Planned;

/// Why a login cannot go where it belongs, for its user.
pub fn refusal(tree: &Tree, planned: &Planned) -> Option<String> {
    if planned.berth.cgroup != CgroupPlace::Own {
        return None;
    }
    let uid = planned.login.uid;
    let pool = planned.pool.as_ref().map(|(name, _)| name.as_str());
    // Where the policy has the user now; where those are who are logged in; and, under systemd, where logind puts a
    // login before Berth is asked.
    let logind = (tree.manager() == Manager::Systemd).then(|| tree.user_in(None, uid));
    let places = [
        Some(tree.user_in(pool, uid)),
        tree.existing_user(uid),
        logind,
    ];
    let mut places = places.into_iter().flatten();
    places.any(|group| tree.frozen(&group).is_some()).then(|| {
        let contact = planned.berth.contact.as_ref();
        let help = contact.map_or(String::new(), |contact| format!(" Help: {contact}"));
        format!("Your sessions are frozen, and no others can be opened.{help}")
    })
}
