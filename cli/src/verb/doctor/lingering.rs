//! What systemd runs for berthed users outside their berths: their service managers.

use berth_config::Login;
use berth_config::outcome::{Berth, UserManager};

use super::finding::Finding;
use super::world::{World, named};

const TOPIC: &str = "managers";

pub fn check(world: &World) -> Vec<Finding> {
    if !world.path("/run/systemd/system").is_dir() {
        return Vec::new();
    }
    let users = |is_so: &dyn Fn(&Login, &Berth) -> bool| -> Vec<&str> {
        world
            .berths()
            .filter(|(login, berth)| berth.namespaces.any() && is_so(login, berth))
            .map(|(login, _)| &*login.user)
            .collect()
    };
    let lingers = |login: &Login, _: &Berth| {
        let linger = world.path("/var/lib/systemd/linger");
        linger.join(&login.user).exists()
    };
    let can_be_asked = |login: &Login, berth: &Berth| {
        let manager = format!("/run/user/{}/systemd", login.uid);
        berth.namespaces.user_manager == UserManager::Host && world.path(&manager).is_dir()
    };
    let mut findings = Vec::new();
    for (users, text, remedy) in [
        (
            users(&lingers),
            "linger lets these users' services run for ever, outside their berths",
            "loginctl disable-linger USER, or give them caps only",
        ),
        (
            users(&can_be_asked),
            "these users' service managers run on the host: systemd-run --user leaves the berth",
            "set namespaces.user_manager to \"hidden\" (with pid and mount), or count on caps only",
        ),
    ] {
        if !users.is_empty() {
            findings.push(Finding::warn(
                TOPIC,
                format!("{text}: {}", named(&users)),
                remedy,
            ));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::world::tests::Fake;
    use super::*;

    #[test]
    fn what_runs_for_a_berthed_user_outside_is_told() {
        let pid = "namespaces = { pid = true, mount = true }";
        let systemd = ("run/systemd/system/x", "");
        let linger = ("var/lib/systemd/linger/alice", "");
        let manager = ("run/user/1001/systemd/private", "");
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
            ("caps", "", vec![systemd, linger, manager], vec![]),
            ("no-systemd", pid, vec![linger], vec![]),
            (
                "nobody",
                pid,
                vec![systemd, ("var/lib/systemd/linger/bob", "")],
                vec![],
            ),
        ] {
            let fake = Fake::new(&format!("managers-{name}"), profile, &[], &files);
            let findings = check(&fake.0);
            let first = findings.iter().filter_map(|one| one.text.split(' ').next());
            assert_eq!(first.collect::<Vec<_>>(), expected, "{name}");
        }
    }
}
