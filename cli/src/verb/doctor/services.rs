//! The admin's own services that run as capped users: without a PAM session they are under nobody's caps.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use berth_config::Login;
use berth_session::systemd::slice;

use super::finding::Finding;
use super::world::World;
use crate::slices::{instance, set_in_service};

/// Where an admin puts units. What packages bring runs as accounts of its own.
const FOLDERS: [&str; 2] = ["/etc/systemd/system", "/run/systemd/system"];

/// Folders in there, in which links say what is started with another unit: of a template's instances there need be no more.
const ENABLED: [&str; 2] = [".wants", ".requires"];

pub fn check(world: &World) -> Vec<Finding> {
    if !world.has_systemd() {
        return Vec::new();
    }
    let services = services(world).into_iter();
    services
        .filter_map(|unit| {
            let set = |key| set_in_service(&world.root, &unit, key);
            let (login, pool) = capped(world, &set("User")?)?;
            let is_inside = |slice: &String| is_below(slice, pool, login.uid);
            (set("PAMName").is_none() && !set("Slice").as_ref().is_some_and(is_inside)).then(|| {
                let user = &login.user;
                Finding::warn(
                    format!("{unit} opens no PAM session: it runs outside the caps of {user}"),
                    "PAMName=NAME below its User=, where NAME is a PAM service with Berth's lines",
                )
            })
        })
        .collect()
}

/// Whether a slice is that of a user, or below it.
fn is_below(unit: &str, pool: Option<&str>, uid: u32) -> bool {
    [None, pool].into_iter().any(|pool| {
        let users = slice(pool, uid);
        let below = users.strip_suffix(".slice").map(|stem| format!("{stem}-"));
        unit == users || below.is_some_and(|below| unit.starts_with(&below))
    })
}

/// The services that have a file or drop-ins there, and the enabled instances of templates.
fn services(world: &World) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for folder in FOLDERS {
        for entry in world.entries(folder) {
            let name = entry.file_name().to_string_lossy().into_owned();
            if ENABLED.iter().any(|kind| name.ends_with(kind)) {
                let links = world
                    .entries(&format!("{folder}/{name}"))
                    .map(|link| link.file_name());
                let links = links.filter_map(|link| link.into_string().ok());
                names.extend(links.filter(|name| is_service(name) && instance(name).is_some()));
            }
            let unit = name.strip_suffix(".d").unwrap_or(&name);
            if is_service(unit) && !is_alias(&entry.path()) {
                names.insert(unit.to_owned());
            }
        }
    }
    names
}

fn is_service(unit: &str) -> bool {
    unit.ends_with(".service")
}

/// Whether it is only another name for a unit, or masks one.
fn is_alias(path: &Path) -> bool {
    fs::read_link(path).is_ok_and(|leads_to| leads_to.file_name() != path.file_name())
}

/// The user by name or number, and their pool, if the policy has caps for them.
fn capped<'w>(world: &'w World, user: &str) -> Option<(&'w Login, Option<&'w str>)> {
    let is_user = |name: &str, uid: u32| name == user || user == uid.to_string();
    let mut accounts = world.accounts.iter();
    let (login, decision) = accounts.find(|(login, _)| is_user(&login.user, login.uid))?;
    let mut berths = world.berths();
    let (_, berth) = berths.find(|(other, _)| other.uid == login.uid)?;
    let pool = decision.as_ref().and_then(|one| one.pool.as_deref());
    let capped = pool.is_some() || !berth.user_caps.is_empty() || !berth.session_caps.is_empty();
    capped.then_some((login, pool))
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
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
        let told = |profile: &str, files: &[(&str, &str)]| {
            let files = [files, &[("run/systemd/system/x", "")]].concat();
            Fake::new(profile, &[], &files).told(check)
        };
        let outside = "bot.service opens no PAM session: it runs outside the caps of alice";
        let outside = [(Level::Warn, outside.to_owned())];
        for (name, files) in [
            ("name", &[(etc, as_alice)][..]),
            ("uid", &[(run, by_uid)]),
            ("drop-in", &[(packaged, ""), (drop_in, as_alice)]),
            ("no-more", &[(etc, joined), (drop_in, no_more)]),
            (
                "another-slice",
                &[(etc, "[Service]\nUser=alice\nSlice=user-10.slice\n")],
            ),
        ] {
            assert_eq!(told(caps, files), outside, "{name}");
        }
        for (name, files) in [
            ("joined", &[(etc, joined)][..]),
            ("later", &[(etc, as_alice), (drop_in, pam)]),
            ("root", &[(etc, "[Service]\nExecStart=x\n")]),
            ("other", &[(etc, "[Service]\nUser=bob\n")]),
            ("no-service", &[(etc, "[Unit]\nUser=alice\n")]),
            ("packaged", &[(packaged, as_alice)]),
            (
                "slice",
                &[(etc, "[Service]\nUser=alice\nSlice=user-1001.slice\n")],
            ),
            (
                "below",
                &[(etc, "[Service]\nUser=alice\nSlice=user-1001-bots.slice\n")],
            ),
        ] {
            assert_eq!(told(caps, files), [], "{name}");
        }
        assert_eq!(told("", &[(etc, as_alice)]), []);
        let no_systemd = Fake::new(caps, &[], &[(etc, as_alice)]);
        assert_eq!(check(&no_systemd.0), []);
    }

    #[test]
    fn the_instance_of_a_template_that_is_enabled_is_told_wherever_the_template_is() {
        let wants = "etc/systemd/system/multi-user.target.wants";
        let told = |files: &[(&str, &str)], instance: &str| {
            let link = format!("{wants}/{instance}");
            let files = [files, &[("run/systemd/system/x", ""), (&link, "")]].concat();
            let caps = "user = { tasks_max = 50 }";
            Fake::new(caps, &[], &files).told(check)
        };
        let template = "usr/lib/systemd/system/sync@.service";
        let (text, alices) = ("[Service]\nUser=%i\n", "sync@alice.service");
        let drop_in = "etc/systemd/system/sync@.service.d/pam.conf";
        let expected = "sync@alice.service opens no PAM session: it runs outside the caps of alice";
        let expected = [(Level::Warn, expected.to_owned())];
        assert_eq!(told(&[(template, text)], alices), expected);
        assert_eq!(told(&[(template, text)], "sync@bob.service"), []);
        let pam = (drop_in, "[Service]\nPAMName=bots\n");
        assert_eq!(told(&[(template, text), pam], alices), []);
        let own = (
            "etc/systemd/system/sync@alice.service",
            "[Service]\nUser=bob\n",
        );
        assert_eq!(told(&[(template, text), own], alices), []);
    }

    #[test]
    fn another_name_of_a_service_is_not_told_again() {
        let file = "etc/systemd/system/bot.service";
        let files = [
            (file, "[Service]\nUser=alice\n"),
            ("run/systemd/system/x", ""),
        ];
        let fake = Fake::new("user = { tasks_max = 50 }", &[], &files);
        let alias = fake.0.path("/etc/systemd/system/alias.service");
        std::os::unix::fs::symlink("bot.service", alias).unwrap();
        assert_eq!(check(&fake.0).len(), 1);
    }
}
