//! The admin's own services that run as capped users: without a PAM session they are under nobody's caps.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::finding::Finding;
use super::world::World;
use crate::units::set_in_service;

/// Where an admin puts units. What packages bring runs as accounts of its own.
const FOLDERS: [&str; 2] = ["/etc/systemd/system", "/run/systemd/system"];

pub fn check(world: &World) -> Vec<Finding> {
    if !world.has_systemd() {
        return Vec::new();
    }
    let set = |unit: &str, key| set_in_service(&world.root, unit, key);
    let services = services(world).into_iter();
    let outside = services.filter_map(|unit| {
        let user = capped(world, &set(&unit, "User")?)?;
        set(&unit, "PAMName").is_none().then(|| {
            Finding::warn(
                format!("{unit} opens no PAM session: it runs outside the caps of {user}"),
                "PAMName=NAME below its User=, where NAME is a PAM service with Berth's lines",
            )
        })
    });
    outside.collect()
}

/// The services that have a file or drop-ins there.
fn services(world: &World) -> BTreeSet<String> {
    let entries = FOLDERS.into_iter().flat_map(|path| world.entries(path));
    let named = entries.filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        let unit = name.strip_suffix(".d").unwrap_or(&name);
        let is_own = unit.ends_with(".service") && !is_alias(&entry.path());
        is_own.then(|| unit.to_owned())
    });
    named.collect()
}

/// Whether it is only another name for a unit, or masks one.
fn is_alias(path: &Path) -> bool {
    fs::read_link(path).is_ok_and(|leads_to| leads_to.file_name() != path.file_name())
}

/// The user by name or number, if the policy has caps for them.
fn capped<'w>(world: &'w World, user: &str) -> Option<&'w str> {
    let is_user = |name: &str, uid: u32| name == user || user == uid.to_string();
    let mut accounts = world.accounts.iter();
    let (login, decision) = accounts.find(|(login, _)| is_user(&login.user, login.uid))?;
    let mut berths = world.berths();
    let (_, berth) = berths.find(|(other, _)| other.uid == login.uid)?;
    let pooled = decision.as_ref().is_some_and(|one| one.pool.is_some());
    let capped = pooled || !berth.user_caps.is_empty() || !berth.session_caps.is_empty();
    capped.then_some(&*login.user)
}

#[cfg(test)]
mod tests {
    use super::super::world::tests::Fake;
    use super::*;

    #[test]
    fn a_service_of_a_capped_user_that_opens_no_pam_session_is_told() {
        let caps = "user = { tasks_max = 50 }";
        let etc = "etc/systemd/system/bot.service";
        let run = "run/systemd/system/bot.service";
        let drop_in = "etc/systemd/system/bot.service.d/user.conf";
        let packaged = "usr/lib/systemd/system/bot.service";
        let as_alice = "[Service]\nUser = alice\n";
        let by_uid = "[Service]\nUser=1001\n";
        let joined = "[Service]\nUser=alice\nPAMName=bots\n";
        let no_more = "[Service]\nPAMName=\n";
        let pam = "[Service]\nPAMName=bots\n";
        let told = |name: &str, profile: &str, files: &[(&str, &str)]| {
            let files = [files, &[("run/systemd/system/x", "")]].concat();
            let fake = Fake::new(&format!("services-{name}"), profile, &[], &files);
            let findings = check(&fake.0).into_iter();
            findings.map(|one| one.text).collect::<Vec<_>>()
        };
        let outside = ["bot.service opens no PAM session: it runs outside the caps of alice"];
        for (name, files) in [
            ("name", &[(etc, as_alice)][..]),
            ("uid", &[(run, by_uid)]),
            ("drop-in", &[(packaged, ""), (drop_in, as_alice)]),
            ("no-more", &[(etc, joined), (drop_in, no_more)]),
        ] {
            assert_eq!(told(name, caps, files), outside, "{name}");
        }
        for (name, files) in [
            ("joined", &[(etc, joined)][..]),
            ("later", &[(etc, as_alice), (drop_in, pam)]),
            ("root", &[(etc, "[Service]\nExecStart=x\n")]),
            ("other", &[(etc, "[Service]\nUser=bob\n")]),
            ("no-service", &[(etc, "[Unit]\nUser=alice\n")]),
            ("packaged", &[(packaged, as_alice)]),
        ] {
            assert_eq!(told(name, caps, files), [""; 0], "{name}");
        }
        assert_eq!(told("no-caps", "", &[(etc, as_alice)]), [""; 0]);
        let no_systemd = Fake::new("services-none", caps, &[], &[(etc, as_alice)]);
        assert_eq!(check(&no_systemd.0), []);
    }

    #[test]
    fn another_name_of_a_service_is_not_told_again() {
        let file = "etc/systemd/system/bot.service";
        let files = [
            (file, "[Service]\nUser=alice\n"),
            ("run/systemd/system/x", ""),
        ];
        let fake = Fake::new("services-alias", "user = { tasks_max = 50 }", &[], &files);
        let alias = fake.0.path("/etc/systemd/system/alias.service");
        std::os::unix::fs::symlink("bot.service", alias).unwrap();
        assert_eq!(check(&fake.0).len(), 1);
    }
}
