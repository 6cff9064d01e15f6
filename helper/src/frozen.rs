//! Logins of users whom an admin has frozen. An application that is moved to what is frozen stops there, and with it
//! whoever waits for it: so such a login is refused, unless the policy wants it to stand and nobody else would.

use berth_config::outcome::{CgroupPlace, FrozenLogin};
use berth_protocol::{JoinAbility, Request};
use berth_session::{Manager, Tree};

use crate::decide::Planned;

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
    (!is_let_in(tree, planned) && is_frozen(tree, planned)).then(|| {
        let contact = planned.berth.contact.as_ref();
        let help = contact.map_or(String::new(), |contact| format!(" Help: {contact}"));
        format!("Your sessions are frozen, and no others can be opened.{help}")
    })
}

/// Whether a login that is let in stands now.
pub fn stands(tree: &Tree, planned: &Planned) -> bool {
    is_let_in(tree, planned) && is_frozen(tree, planned)
}

/// systemd starts no unit in a slice that is frozen (seen with 257): such a login would go on where sshd is.
fn is_let_in(tree: &Tree, planned: &Planned) -> bool {
    planned.frozen_login == FrozenLogin::Freeze && tree.manager() == Manager::Berth
}

fn is_frozen(tree: &Tree, planned: &Planned) -> bool {
    if planned.berth.cgroup != CgroupPlace::Own {
        return false;
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
    places.any(|group| tree.frozen(&group).is_some())
}
