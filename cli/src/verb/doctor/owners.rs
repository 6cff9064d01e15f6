//! The UIDs that own berths' user namespaces: nobody else may have them.

use std::fs;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use berth_config::Login;
use berth_config::outcome::UserNamespace;
use berth_protocol::INIT;
use berth_session::runs_no_helper;

use super::finding::Finding;
use super::world::World;
use crate::readable::named;

pub fn check(world: &World) -> Vec<Finding> {
    let needed = world.any(|berth| berth.namespaces.user != UserNamespace::Off);
    let Some(policy) = world.policy.as_ref().filter(|_| needed) else {
        return Vec::new();
    };
    let base = u64::from(policy.owner_uid_base());
    // The owner is the base and a UID below the base.
    let range = base..2 * base;
    let uids = format!("{base}-{}", range.end - 1);
    let mut told = Vec::new();
    let taken = taken(world, &range);
    if !taken.is_empty() {
        let taken = named(&taken);
        told.push(format!(
            "UIDs {uids} are Berth's, and accounts have some: {taken}"
        ));
    }
    let refused = in_groups(world, &range);
    if !refused.is_empty() {
        let refused = named(&refused);
        told.push(format!(
            "no berth can have GIDs {uids}, and these users are in such a group, so they cannot log in: {refused}"
        ));
    }
    for file in ["/etc/subuid", "/etc/subgid"] {
        let text = world.text(file).unwrap_or_default();
        let given = given(&text, &range);
        if !given.is_empty() {
            let given = named(&given);
            told.push(format!(
                "{file} gives some of {uids}, which are Berth's, to {given}"
            ));
        }
    }
    let strangers = strangers(world, &range);
    if !strangers.is_empty() {
        let strangers = named(&strangers.iter().map(String::as_str).collect::<Vec<_>>());
        told.push(format!(
            "processes run under UIDs of {uids}, which are Berth's: {strangers}"
        ));
    }
    if told.is_empty() {
        return vec![Finding::ok(format!("UIDs {uids} are nobody's"))];
    }
    let remedy = "set defaults.owner_uid_base to a free range";
    let told = told.into_iter();
    told.map(|what| Finding::fail(what, remedy)).collect()
}

/// Accounts that have a UID of an owner's.
fn taken<'w>(world: &'w World, range: &Range<u64>) -> Vec<&'w str> {
    let accounts = world.accounts.iter().map(|(login, _)| login);
    accounts
        .filter(|login| range.contains(&u64::from(login.uid)))
        .map(|login| &*login.user)
        .collect()
}

/// Users whose berth would need a group with the GID of an owner's UID.
fn in_groups<'w>(world: &'w World, range: &Range<u64>) -> Vec<&'w str> {
    let has_group = |login: &&Login| {
        let groups = login.groups.iter().map(|group| group.gid);
        let mut all = groups.chain([login.gid]);
        all.any(|gid| range.contains(&u64::from(gid)))
    };
    let berths = world.berths();
    let identity = berths.filter(|(_, berth)| berth.namespaces.user == UserNamespace::Identity);
    let refused = identity.map(|(login, _)| login).filter(has_group);
    refused.map(|login| &*login.user).collect()
}

/// Who has some of them by a line of subuid(5).
fn given<'t>(text: &'t str, range: &Range<u64>) -> Vec<&'t str> {
    let lines = text.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let user = fields.next()?;
        let first: u64 = fields.next()?.trim().parse().ok()?;
        let count: u64 = fields.next()?.trim().parse().ok()?;
        let end = first.saturating_add(count);
        (first < range.end && range.start < end).then_some(user)
    });
    lines.collect()
}

/// Processes under an owner's UID that are not Berth's own.
fn strangers(world: &World, range: &Range<u64>) -> Vec<String> {
    let mut found: Vec<String> = world
        .entries("/proc")
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse::<u32>().ok()?;
            let status = world.text(&format!("/proc/{pid}/status"))?;
            let field = |name: &str| {
                let mut lines = status.lines();
                lines.find_map(|line| Some(line.strip_prefix(name)?.trim()))
            };
            let name = field("Name:")?;
            let mut uids = field("Uid:")?.split_whitespace();
            let theirs = uids.any(|uid| uid.parse().is_ok_and(|uid| range.contains(&uid)));
            (theirs && !is_own(&entry.path(), name)).then(|| format!("{name} ({pid})"))
        })
        .collect();
    found.sort();
    found
}

/// Whether a process is Berth's own. Users can give theirs any name, and files too; a program of root's they cannot make.
fn is_own(process: &Path, name: &str) -> bool {
    // Last: of a user's program this may wait for a file system of theirs.
    let is_users = || {
        let program = fs::metadata(process.join("exe"));
        program.is_ok_and(|program| program.uid() != 0)
    };
    let names = [INIT.to_bytes(), b"berth-helper"];
    names.contains(&name.as_bytes()) && !runs_no_helper(process) && !is_users()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{chown, symlink};

    use super::super::finding::Level;
    use super::super::world::tests::Fake;
    use super::*;

    const USER: &str = "namespaces = { user = \"identity\" }";

    #[test]
    fn nobody_else_may_have_an_owners_uid() {
        let process = "Name:\tx\nUid:\t2000001001\t0\t0\t0\n";
        let init = "Name:\tberth-init\nUid:\t2000001001\t0\t0\t0\n";
        for (name, files, level) in [
            ("free", ("etc/subuid", "alice:100000:65536\n"), Level::Ok),
            (
                "subuid",
                ("etc/subuid", "alice:1999999999:2\n"),
                Level::Fail,
            ),
            ("before", ("etc/subuid", "alice:1999999999:1\n"), Level::Ok),
            ("subgid", ("etc/subgid", "bob:3999999999:1\n"), Level::Fail),
            ("process", ("proc/12/status", process), Level::Fail),
            ("init", ("proc/12/status", init), Level::Ok),
        ] {
            let fake = Fake::new(USER, &[], &[files]);
            let findings = check(&fake.0);
            assert_eq!(findings.len(), 1, "{name}: {findings:?}");
            assert_eq!(findings[0].level, level, "{name}: {findings:?}");
        }
        for (exe, level) in [
            ("/usr/libexec/berth-helper", Level::Ok),
            ("/usr/libexec/berth-helper (deleted)", Level::Ok),
            ("/usr/bin/sleep", Level::Fail),
            ("../../berth-helper", Level::Fail),
        ] {
            let files = [("proc/12/status", init), ("berth-helper", "")];
            let fake = Fake::new(USER, &[], &files);
            chown(fake.0.path("/berth-helper"), Some(1001), None).unwrap();
            symlink(exe, fake.0.path("/proc/12/exe")).unwrap();
            let findings = check(&fake.0);
            assert_eq!(findings[0].level, level, "{exe}: {findings:?}");
        }
        let process = "Name:\tx\x1b]0;y\u{202e}\nUid:\t2000001001\t0\t0\t0\n";
        let fake = Fake::new(USER, &[], &[("proc/12/status", process)]);
        let told = check(&fake.0)[0].lines("owners");
        assert!(told.contains(": x\u{fffd}]0;y\u{fffd} (12)\n"), "{told:?}");
        let mut fake = Fake::new(USER, &[], &[]);
        let mut other = fake.0.accounts[0].clone();
        other.0.uid = 2_000_000_000;
        other.0.user = "bob".into();
        fake.0.accounts.push(other);
        let findings = check(&fake.0);
        assert!(
            findings[0].text.ends_with("accounts have some: bob"),
            "{findings:?}"
        );
        for (user, level) in [("identity", Level::Fail), ("minimal", Level::Ok)] {
            let profile = USER.replace("identity", user);
            let mut fake = Fake::new(&profile, &["projects"], &[]);
            fake.0.accounts[0].0.groups[0].gid = 2_000_000_005;
            let findings = check(&fake.0);
            assert_eq!(findings[0].level, level, "{findings:?}");
        }
        let fake = Fake::new("", &[], &[("etc/subuid", "a:2000000000:9\n")]);
        assert_eq!(check(&fake.0), []);
    }
}
