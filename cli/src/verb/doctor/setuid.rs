//! Programs of the machine that do nothing in a berth whose processes gain no privileges.

use std::collections::HashSet;
use std::os::unix::fs::PermissionsExt;

use super::finding::Finding;
use super::world::World;
use crate::readable::named;

/// Those that people use (docs/inside.md has what each says). newuidmap is for those that have subids.
const PROGRAMS: [&str; 9] = [
    "at",
    "chfn",
    "chsh",
    "crontab",
    "fusermount3",
    "newgrp",
    "newuidmap",
    "passwd",
    "sudo",
];

/// As they stand where they are privileged on this machine.
const PRIVILEGED: u32 = 0o6000;

pub fn check(world: &World) -> Vec<Finding> {
    let without = world
        .berths()
        .filter(|(_, berth)| berth.privileges.no_new_privs);
    let users: Vec<_> = without.map(|(login, _)| login).collect();
    let subids = world.text("/etc/subuid").unwrap_or_default();
    let owners = subids.lines().filter_map(|line| line.split(':').next());
    let owners: HashSet<&str> = owners.collect();
    let has_subids = users
        .iter()
        .any(|login| owners.contains(&*login.user) || owners.contains(&*login.uid.to_string()));
    let is_inert = |name: &str| {
        let program = world.path(&format!("/usr/bin/{name}"));
        let mode = program.metadata().map(|file| file.permissions().mode());
        mode.is_ok_and(|mode| mode & PRIVILEGED != 0) && (name != "newuidmap" || has_subids)
    };
    let inert: Vec<_> = PROGRAMS.into_iter().filter(|name| is_inert(name)).collect();
    if users.is_empty() || inert.is_empty() {
        return Vec::new();
    }
    let users: Vec<&str> = users.iter().map(|login| &*login.user).collect();
    vec![Finding::ok(format!(
        "by no_new_privs these do nothing for {}: {}",
        named(&users),
        inert.join(", ")
    ))]
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::world::tests::Fake;
    use super::*;

    #[test]
    fn programs_that_do_nothing_under_no_new_privs_are_named_and_no_others() {
        let told = |profile: &str, subuid: &str| {
            let programs = ["crontab", "newuidmap", "passwd", "sudo"];
            let paths = programs.map(|name| format!("usr/bin/{name}"));
            let mut files: Vec<_> = paths.iter().map(|path| (&**path, "")).collect();
            files.push(("etc/subuid", subuid));
            let fake = Fake::new(profile, &[], &files);
            for (path, mode) in paths.iter().zip([0o2755, 0o4755, 0o4755, 0o755]) {
                fs::set_permissions(fake.0.path(path), fs::Permissions::from_mode(mode)).unwrap();
            }
            check(&fake.0)
        };
        let fact = |programs: &str| {
            let text = format!("by no_new_privs these do nothing for alice: {programs}");
            [Finding::ok(text)]
        };
        let inert = "namespaces = { user = \"identity\" }";
        assert_eq!(told(inert, "bob:1:2\n"), fact("crontab, passwd"));
        for subuid in ["alice:1:2\n", "bob:1:2\n1001:3:4\n"] {
            let expected = fact("crontab, newuidmap, passwd");
            assert_eq!(told(inert, subuid), expected);
        }
        assert_eq!(told("", "alice:1:2\n"), []);
    }
}
