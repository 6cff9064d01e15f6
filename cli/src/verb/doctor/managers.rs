//! What systemd runs for berthed users: their service managers, outside of the berths and in them.

use std::collections::BTreeSet;
use std::fs;

use berth_config::Login;
use berth_config::outcome::{Berth, UserManager};
use berth_protocol::service::MANAGER;

use super::finding::Finding;
use super::world::World;
use crate::pam_stack::manager::{self, DROP_IN};
use crate::pam_stack::wiring::Wiring;
use crate::readable::named;
use berth_config::pam_files::Folders;

pub fn check(world: &World) -> Vec<Finding> {
    if !world.has_systemd() {
        return Vec::new();
    }
    let users = |is_so: &dyn Fn(&Login, &Berth) -> bool| -> Vec<&str> {
        world
            .berths()
            .filter(|(login, berth)| is_so(login, berth))
            .map(|(login, _)| &*login.user)
            .collect()
    };
    let linger = world.path("/var/lib/systemd/linger");
    let lingers = |login: &Login, berth: &Berth| {
        berth.namespaces.any()
            && berth.namespaces.user_manager != UserManager::Isolated
            && linger.join(&login.user).exists()
    };
    let is_joined = is_joined(world);
    let has_no_caps_at_boot = |login: &Login, berth: &Berth| {
        !is_joined && !berth.user_caps.is_empty() && linger.join(&login.user).exists()
    };
    let can_be_asked = |login: &Login, berth: &Berth| {
        let manager = format!("/run/user/{}/systemd", login.uid);
        berth.namespaces.any()
            && berth.namespaces.user_manager == UserManager::Host
            && world.path(&manager).is_dir()
    };
    let may_attach = !is_attaching_denied(world);
    let in_pool = world.accounts.iter().filter_map(|(login, decision)| {
        let pool = decision.as_ref()?.pool.as_ref();
        pool.map(|_| login.uid)
    });
    let in_pool: BTreeSet<u32> = in_pool.collect();
    let can_be_moved_out = |login: &Login, berth: &Berth| {
        may_attach && (!berth.session_caps.is_empty() || in_pool.contains(&login.uid))
    };
    let mut findings = isolated(world);
    for (users, text, remedy) in [
        (
            users(&lingers),
            "linger lets these users' services run for ever, outside their berths",
            "loginctl disable-linger USER, or give them caps only",
        ),
        (
            users(&has_no_caps_at_boot),
            "linger starts these users' services at boot, without caps until their first login",
            "berth pam enable systemd-user",
        ),
        (
            users(&can_be_moved_out),
            "systemd moves what these users ask it to out of their sessions' caps and their pools",
            "the D-Bus rule of berth-policy(5), user_manager, or count on the caps of users only",
        ),
        (
            users(&can_be_asked),
            "these users' service managers run on the host: systemd-run --user leaves the berth",
            "set namespaces.user_manager to \"hidden\" (with pid and mount), or count on caps only",
        ),
    ] {
        if !users.is_empty() {
            findings.push(Finding::warn(format!("{text}: {}", named(&users)), remedy));
        }
    }
    findings
}

/// Whether the managers are sessions, too.
fn is_joined(world: &World) -> bool {
    let wiring = Wiring::of(&Folders::under(&world.root), MANAGER);
    wiring.is_ok_and(|wiring| wiring.is_right())
}

/// Whether the system bus keeps somebody from having systemd move their processes into a delegated unit of theirs.
fn is_attaching_denied(world: &World) -> bool {
    let denies = |text: String| {
        let mut elements = text.split('<');
        elements.any(|one| one.starts_with("deny") && one.contains("\"AttachProcessesToUnit\""))
    };
    let files = ["etc/dbus-1/system.d", "usr/share/dbus-1/system.d"]
        .into_iter()
        .flat_map(|folder| world.entries(folder));
    let mut texts = files.filter_map(|file| fs::read_to_string(file.path()).ok());
    texts.any(denies)
}

/// Where the policy wants the managers in the berths, Berth has to start them.
fn isolated(world: &World) -> Vec<Finding> {
    if !world.any(|berth| berth.namespaces.user_manager == UserManager::Isolated) {
        return Vec::new();
    }
    let stands = is_joined(world);
    let starts = world
        .text(DROP_IN)
        .map(|text| text.contains(&manager::start()));
    let wrong = match (stands, starts) {
        (true, Some(true)) => {
            return vec![Finding::ok(
                "Berth starts the users' service managers, in their berths",
            )];
        }
        (false, _) => format!("{MANAGER} has no pam_berth"),
        (true, None) => format!("{DROP_IN} is not there"),
        (true, Some(false)) => {
            let what = format!(
                "{DROP_IN} has root start another program than {}",
                manager::PROGRAM
            );
            return vec![Finding::fail(what, anew())];
        }
    };
    vec![Finding::fail(
        format!("{wrong}: service managers run outside, hidden from the berths"),
        match stands {
            false => format!("berth pam enable {MANAGER}"),
            true => anew(),
        },
    )]
}

fn anew() -> String {
    format!("berth pam disable {MANAGER}, and enable it again")
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::super::world::tests::Fake;
    use super::*;

    const LINES: &str = "session optional pam_berth.so close\naccount required pam_berth.so\nsession required pam_berth.so open\n";

    #[test]
    fn what_runs_for_a_berthed_user_outside_is_told() {
        let pid = "namespaces = { pid = true, mount = true }";
        let systemd = ("run/systemd/system/x", "");
        let linger = ("var/lib/systemd/linger/alice", "");
        let manager = ("run/user/1001/systemd/private", "");
        let joined = ("etc/pam.d/systemd-user", LINES);
        let caps = "user = { tasks_max = 50 }";
        let in_pool = "pool = \"cs\"\n[pool.cs]\ntasks_max = 9";
        let of_session = "session = { tasks_max = 9 }";
        let rule =
            |what| format!("<{what} send_member=\"AttachProcessesToUnit\"/>\n<deny own=\"x\"/>");
        let (allow, deny) = (rule("allow"), rule("deny"));
        let allow = ("usr/share/dbus-1/system.d/systemd1.conf", &*allow);
        let deny = ("etc/dbus-1/system.d/site.conf", &*deny);
        for (name, profile, files, expected) in [
            ("linger", pid, vec![systemd, linger], vec!["linger"]),
            ("manager", pid, vec![systemd, manager], vec!["these"]),
            (
                "both",
                pid,
                vec![systemd, linger, manager],
                vec!["linger", "these"],
            ),
            (
                "hidden",
                "namespaces = { user = \"identity\", pid = true, mount = true }",
                vec![systemd, manager],
                vec![],
            ),
            ("no-caps", "", vec![systemd, linger, manager], vec![]),
            ("caps", caps, vec![systemd, linger, manager], vec!["linger"]),
            ("joined", caps, vec![systemd, linger, joined], vec![]),
            ("no-systemd", pid, vec![linger], vec![]),
            ("pool", in_pool, vec![systemd], vec!["systemd"]),
            ("session", of_session, vec![systemd, allow], vec!["systemd"]),
            ("denied", of_session, vec![systemd, allow, deny], vec![]),
            ("elsewhere", in_pool, vec![], vec![]),
            (
                "nobody",
                pid,
                vec![systemd, ("var/lib/systemd/linger/bob", "")],
                vec![],
            ),
        ] {
            let fake = Fake::new(profile, &[], &files);
            let findings = check(&fake.0);
            let first = findings.iter().filter_map(|one| one.text.split(' ').next());
            assert_eq!(first.collect::<Vec<_>>(), expected, "{name}");
        }
    }

    #[test]
    fn a_manager_that_berth_does_not_start_is_a_failure() {
        let profile = "namespaces = { scope = \"user\", pid = true, mount = true, user_manager = \"isolated\" }";
        let stack = ("etc/pam.d/systemd-user", LINES);
        let path = DROP_IN.trim_start_matches('/');
        let drop_in = (path, &*manager::start());
        let told = |profile: &str, files: &[(&str, &str)]| {
            let files = [files, &[("run/systemd/system/x", "")]].concat();
            Fake::new(profile, &[], &files).told(check)
        };
        let good = told(profile, &[stack, drop_in]);
        assert!(matches!(good[..], [(Level::Ok, _)]), "{good:?}");
        // As one that was enabled from a tree had it: whoever can write there is root.
        let of_tree = (path, "ExecStart=+/home/alice/berth user-manager %i\n");
        for (files, says) in [
            (vec![drop_in], "has no pam_berth"),
            (vec![stack], "50-berth.conf is not there"),
            (vec![stack, of_tree], "has root start another program"),
        ] {
            let wrong = told(profile, &files);
            assert!(
                matches!(&wrong[..], [(Level::Fail, text)] if text.contains(says)),
                "{wrong:?}"
            );
        }
        assert_eq!(told("namespaces = { pid = true, mount = true }", &[]), []);
    }
}
