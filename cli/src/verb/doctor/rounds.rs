//! What time brings (windows, penalties, exceptions that end): whether somebody starts `berth apply --due` each minute.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use berth_session::systemd::{Bus, TIMER};
use nix::fcntl::{Flock, FlockArg};

use super::finding::Finding;
use super::world::World;
use crate::{due, readable};

/// The job where systemd does not run the machine.
const JOB: &str = "/etc/cron.d/berth";

/// A round that takes longer hangs: systemd and cron end one after five minutes, if it can be ended.
const LONGEST: Duration = Duration::from_secs(600);

/// Programs that read such jobs.
const CRONS: [&str; 2] = ["cron", "crond"];

pub fn check(world: &World) -> Vec<Finding> {
    let policy = world.policy.as_ref();
    let mut exceptions = world.entries("/var/lib/berth/exceptions");
    let is_due =
        policy.is_some_and(|policy| policy.is_due_each_minute()) || exceptions.next().is_some();
    if !is_due {
        return Vec::new();
    }
    hangs(world)
        .into_iter()
        .chain(never_begins(world))
        .collect()
}

/// Why there are no rounds.
fn never_begins(world: &World) -> Option<Finding> {
    let (who, remedy) = match world.has_systemd() {
        true => {
            let is_active = Bus::connect().and_then(|mut bus| bus.is_active(TIMER));
            match is_active {
                Ok(false) => (
                    format!("{TIMER} is not active"),
                    format!("systemctl start {TIMER}"),
                ),
                _ => return None,
            }
        }
        false if !world.path(JOB).exists() => (
            format!("{JOB} is not there"),
            format!("cp /usr/share/berth/cron {JOB}"),
        ),
        false if !is_cron_running(world) => (
            "no cron runs".into(),
            "start one, or have something else run `berth apply --due` each minute".into(),
        ),
        false => return None,
    };
    Some(Finding::warn(
        format!(
            "{who}: windows, penalties and exceptions are not applied to users who are logged in"
        ),
        remedy,
    ))
}

/// A round that does not end: later ones do nothing while it has the lock.
fn hangs(world: &World) -> Option<Finding> {
    let lock = File::open(world.path(due::LOCK)).ok()?;
    let age = lock.metadata().ok()?.modified().ok()?.elapsed().ok()?;
    // Not before: a round that begins just when this has the lock goes away again.
    if age < LONGEST || Flock::lock(lock, FlockArg::LockSharedNonblock).is_ok() {
        return None;
    }
    let since = readable::span(age.as_secs());
    Some(Finding::warn(
        format!(
            "a round of `berth apply --due` has not ended since {since}: windows, penalties and exceptions wait for it"
        ),
        "see what it waits for: ps -o pid,stat,wchan:32,args -C berth",
    ))
}

/// Of root's processes: users can give theirs any name. And of no setuid program: they start that by a link of any name.
fn is_cron_running(world: &World) -> bool {
    world.entries("/proc").any(|one| {
        let is_roots = one.metadata().is_ok_and(|process| process.uid() == 0);
        let name = fs::read_to_string(one.path().join("comm")).unwrap_or_default();
        // Last: of a user's program this may wait for a file system of theirs.
        let is_ordinary = || {
            let program = fs::metadata(one.path().join("exe"));
            program.is_ok_and(|program| program.mode() & libc::S_ISUID == 0)
        };
        is_roots && CRONS.contains(&name.trim_end()) && is_ordinary()
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, chown};
    use std::time::SystemTime;

    use super::super::finding::Level;
    use super::super::world::tests::Fake;
    use super::*;

    #[test]
    fn where_nobody_looks_each_minute_it_is_told_if_there_is_something_to_look_at() {
        let hog = "penalty = \"hog\"\n[penalty.hog]\ncpu_above = \"70%\"\nwindow = \"10min\"\nsteps = [\"50%\"]\n\
                   step_time = \"1min\"\nforget = \"1h\"";
        let (job, cron) = (("etc/cron.d/berth", ""), ("proc/7/comm", "cron\n"));
        let program = ("proc/7/exe", "");
        let exception = ("var/lib/berth/exceptions/1001", "");
        for (name, profile, files, says) in [
            ("well", hog, vec![job, cron, program], None),
            ("nothing", "", vec![], None),
            (
                "no-job",
                hog,
                vec![cron, program],
                Some("/etc/cron.d/berth is not there"),
            ),
            ("no-cron", hog, vec![job], Some("no cron runs")),
            ("zombie", hog, vec![job, cron], Some("no cron runs")),
            ("exception", "", vec![job, exception], Some("no cron runs")),
        ] {
            let fake = Fake::new(profile, &[], &files);
            let told = check(&fake.0);
            let text = told.first().map(|one| (one.level, &*one.text));
            match says {
                None => assert_eq!(text, None, "{name}"),
                Some(says) => {
                    assert!(
                        text.is_some_and(
                            |(level, text)| level == Level::Warn && text.starts_with(says)
                        ),
                        "{name}: {told:?}"
                    )
                }
            }
        }
        let fake = Fake::new(hog, &[], &[job, cron, program]);
        let is_told = || {
            let told = check(&fake.0);
            told.iter().any(|one| one.text.starts_with("no cron runs"))
        };
        // A user can start one by a link of that name.
        let setuid =
            |mode| fs::set_permissions(fake.0.path("/proc/7/exe"), PermissionsExt::from_mode(mode));
        setuid(0o4755).unwrap();
        assert!(is_told());
        setuid(0o755).unwrap();
        assert!(!is_told());
        chown(fake.0.path("/proc/7"), Some(1001), None).unwrap();
        assert!(is_told());
    }

    #[test]
    fn a_round_that_hangs_is_told() {
        let files = [
            ("run/berth-due.lock", ""),
            ("var/lib/berth/exceptions/1001", ""),
        ];
        let fake = Fake::new("", &[], &files);
        let lock = File::options().write(true).open(fake.0.path(due::LOCK));
        let lock = Flock::lock(lock.unwrap(), FlockArg::LockExclusive).unwrap();
        let is_told = || {
            let told = check(&fake.0);
            told.iter()
                .any(|one| one.text.contains("has not ended since 11min"))
        };
        assert!(!is_told(), "it has just begun");
        lock.set_modified(SystemTime::now() - Duration::from_secs(660))
            .unwrap();
        assert!(is_told());
        drop(lock);
        assert!(!is_told(), "it has ended");
    }
}
