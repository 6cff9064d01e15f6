//! What systemd runs for berthed users outside their berths: their service managers.

use super::finding::Finding;
use super::world::{World, named};

const TOPIC: &str = "managers";

pub fn check(world: &World) -> Vec<Finding> {
    if !world.path("/run/systemd/system").is_dir() {
        return Vec::new();
    }
    let isolated = || world.berths().filter(|(_, berth)| berth.namespaces.any());
    let users = |is_so: &dyn Fn(&str, u32) -> bool| -> Vec<&str> {
        isolated()
            .filter(|(login, _)| is_so(&login.user, login.uid))
            .map(|(login, _)| &*login.user)
            .collect()
    };
    let lingers = |user: &str, _| world.path("/var/lib/systemd/linger").join(user).exists();
    let runs = |_: &str, uid| world.path(&format!("/run/user/{uid}/systemd")).is_dir();
    let mut findings = Vec::new();
    for (users, text, remedy) in [
        (
            users(&lingers),
            "linger lets these users' services run for ever, outside their berths",
            "loginctl disable-linger USER, or give them caps only",
        ),
        (
            users(&runs),
            "these users' service managers run on the host: systemd-run --user leaves the berth",
            "namespaces.user_manager, once it is there; until then count on caps only",
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
