//! The kernel: old enough to lack something, or told to refuse it.

use berth_session::kernel::{OLDEST, is_too_old};

use super::finding::Finding;
use super::world::World;
use crate::machine_lacks::forbidden;

/// What keeps users from user namespaces of their own, with the value that does.
const REFUSALS: [(&str, u64); 2] = [
    ("kernel.unprivileged_userns_clone", 0),
    ("kernel.apparmor_restrict_unprivileged_userns", 1),
];

pub fn check(world: &World) -> Vec<Finding> {
    let release = world.text("/proc/sys/kernel/osrelease").unwrap_or_default();
    let release = release.trim();
    let mut findings: Vec<Finding> = too_old(release).into_iter().collect();
    findings.extend(limits(world));
    findings.extend(refusals(world));
    findings.extend(ping(world));
    findings.extend(hidden(world));
    if findings.is_empty() {
        findings.push(Finding::ok(format!(
            "{release}: cgroup.kill, setns on a pidfd"
        )));
    }
    findings.extend(pressure(world));
    findings.extend(core_dumps(world));
    findings
}

/// Who waits how long for what.
fn pressure(world: &World) -> Option<Finding> {
    (!world.path("/proc/pressure").is_dir()).then(|| {
        Finding::warn(
            "no PSI (pressure stall information): top, show, list and metrics cannot say who waits for CPU, memory or \
             disk",
            "put psi=1 on the kernel's command line; this needs a kernel with CONFIG_PSI",
        )
    })
}

fn too_old(release: &str) -> Option<Finding> {
    is_too_old(release).then(|| {
        Finding::fail(
            format!("Linux {release} is older than {OLDEST}: logins are refused"),
            "run a newer kernel",
        )
    })
}

fn limits(world: &World) -> impl Iterator<Item = Finding> {
    let forbidden = forbidden(|path| world.number(path), |needed| world.any(needed));
    forbidden.into_iter().map(|(kind, file)| {
        Finding::fail(
            format!("user.{file} is 0: no login can have the {kind} namespace of its profile"),
            format!("remove it from /etc/sysctl.d, and: sysctl user.{file}=65536"),
        )
    })
}

fn refusals(world: &World) -> impl Iterator<Item = Finding> {
    let is_wanted = world.any(|berth| berth.privileges.nested_userns);
    let refusals = REFUSALS.into_iter().filter(move |(name, value)| {
        let file = format!("/proc/sys/{}", name.replace('.', "/"));
        is_wanted && world.number(&file) == Some(*value)
    });
    refusals.map(|(name, value)| {
        Finding::warn(
            format!("{name} is {value}: nested_userns gives users nothing here"),
            "remove it from /etc/sysctl.d, or nested_userns from the policy",
        )
    })
}

fn ping(world: &World) -> Option<Finding> {
    let range = world.text("/proc/sys/net/ipv4/ping_group_range")?;
    let is_lost = is_empty(&range) && world.any(|berth| berth.privileges.no_new_privs);
    is_lost.then(|| {
        Finding::warn(
            "net.ipv4.ping_group_range is empty: ping does not work under no_new_privs",
            "sysctl net.ipv4.ping_group_range=\"0 2147483647\"",
        )
    })
}

fn hidden(world: &World) -> Option<Finding> {
    let mounts = world.text("/proc/self/mountinfo")?;
    let (hidepid, remedy) = hidden_from_root(&mounts)?;
    Some(Finding::warn(
        format!(
            "/proc has {hidepid}: keepers keep CAP_SYS_PTRACE, to see whom they end; and to berth-metrics@.service, \
             which has no capability, every session is dead"
        ),
        remedy,
    ))
}

fn core_dumps(world: &World) -> Option<Finding> {
    let pattern = world.text("/proc/sys/kernel/core_pattern")?;
    let program = pattern.trim().strip_prefix('|')?;
    let program = program.split_whitespace().next().unwrap_or_default();
    Some(Finding::ok(format!(
        "core dumps go to {program}, which runs as root on the host, also those out of a berth"
    )))
}

/// Whether /proc hides processes also from root, if without capabilities and in no group but its own (`hidepid`, proc(5)); and
/// what to do.
fn hidden_from_root(mounts: &str) -> Option<(&str, String)> {
    let proc = mounts.lines().rev().find_map(|line| {
        let (mount, options) = line.split_once(" - proc ")?;
        (mount.split(' ').nth(4) == Some("/proc")).then_some(options)
    })?;
    let mut options = proc.split([' ', ',']);
    let hidepid = options.clone().find(|one| one.starts_with("hidepid="))?;
    match hidepid {
        "hidepid=off" => None,
        "hidepid=ptraceable" => Some((hidepid, "mount it with hidepid=invisible".into())),
        _ => {
            let gid = options.find_map(|one| one.strip_prefix("gid="))?;
            let remedy = format!(
                "systemctl edit berth-metrics@.service: [Service] SupplementaryGroups={gid}"
            );
            Some((hidepid, remedy))
        }
    }
}

/// Whether a range of groups has none: from 1 to 0, as the kernel has it at first (icmp(7)).
fn is_empty(range: &str) -> bool {
    let mut ends = range.split_whitespace().map(str::parse::<u64>);
    matches!((ends.next(), ends.next()), (Some(Ok(first)), Some(Ok(last))) if first > last)
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::super::world::tests::Fake;
    use super::*;

    const USER: &str = "namespaces = { user = \"identity\", pid = true, mount = true }";

    fn levels(profile: &str, files: &[(&str, &str)]) -> Vec<Level> {
        let files = [files, &[("proc/pressure/cpu", "")]].concat();
        let told = Fake::new(profile, &[], &files).told(check).into_iter();
        told.map(|(level, _)| level).collect()
    }

    #[test]
    fn a_kernel_that_tells_no_pressure_is_a_finding_of_its_own() {
        for (release, level) in [("6.1.0\n", Level::Ok), ("5.10.0\n", Level::Fail)] {
            let files = [("proc/sys/kernel/osrelease", release)];
            let told = Fake::new(USER, &[], &files).told(check);
            assert_eq!(told.len(), 2, "{told:?}");
            assert_eq!([told[0].0, told[1].0], [level, Level::Warn]);
            assert!(told[1].1.starts_with("no PSI "), "{told:?}");
        }
        let files = [("proc/pressure/cpu", "")];
        let told = Fake::new(USER, &[], &files).told(check);
        assert!(
            told.iter().all(|(_, text)| !text.contains("PSI")),
            "{told:?}"
        );
    }

    #[test]
    fn a_proc_that_hides_processes_from_root_too_is_told() {
        let remedy = |options: &str| {
            let line = format!("22 27 0:21 / /proc rw,nosuid shared:5 - proc proc rw{options}\n");
            hidden_from_root(&line).map(|(_, remedy)| remedy)
        };
        for harmless in ["", ",gid=26", ",gid=26,hidepid=off", ",hidepid=invisible"] {
            assert_eq!(remedy(harmless), None, "{harmless}");
        }
        let group = remedy(",gid=26,hidepid=invisible").unwrap();
        assert!(group.ends_with("SupplementaryGroups=26"), "{group}");
        assert!(remedy(",hidepid=ptraceable").is_some());
        let hides = "22 27 0:21 / /proc rw - proc proc rw,gid=26,hidepid=noaccess\n";
        let files = [("proc/self/mountinfo", hides)];
        assert_eq!(levels(USER, &files), [Level::Warn]);
    }

    #[test]
    fn what_the_kernel_lacks_or_refuses_is_told_if_the_policy_needs_it() {
        let release = |text| ("proc/sys/kernel/osrelease", text);
        let good = release("6.1.0-31-amd64\n");
        assert_eq!(levels(USER, &[good]), [Level::Ok]);
        assert_eq!(levels(USER, &[release("5.10.0\n")]), [Level::Fail]);
        let none = ("proc/sys/user/max_user_namespaces", "0\n");
        assert_eq!(levels(USER, &[good, none]), [Level::Fail]);
        let pid = "namespaces = { pid = true, mount = true }";
        assert_eq!(levels(pid, &[good, none]), [Level::Ok]);
        let none = ("proc/sys/user/max_pid_namespaces", "0\n");
        assert_eq!(levels(pid, &[good, none]), [Level::Fail]);
        let nested = format!("{USER}\nprivileges = {{ nested_userns = true }}");
        let armour = (
            "proc/sys/kernel/apparmor_restrict_unprivileged_userns",
            "1\n",
        );
        assert_eq!(levels(&nested, &[good, armour]), [Level::Warn]);
        let clone = ("proc/sys/kernel/unprivileged_userns_clone", "0\n");
        assert_eq!(levels(&nested, &[good, clone]), [Level::Warn]);
        assert_eq!(levels(USER, &[good, clone]), [Level::Ok]);
        let ping = |range| ("proc/sys/net/ipv4/ping_group_range", range);
        let (nobody, some) = (ping("1\t0\n"), ping("0\t2147483647\n"));
        assert_eq!(levels(USER, &[good, nobody]), [Level::Warn]);
        assert_eq!(levels(USER, &[good, some]), [Level::Ok]);
        assert_eq!(levels("", &[good, nobody]), [Level::Ok]);
    }

    #[test]
    fn who_gets_core_dumps_is_told() {
        let release = ("proc/sys/kernel/osrelease", "6.1.0\n");
        let told = |pattern| {
            let files = [
                release,
                ("proc/pressure/cpu", ""),
                ("proc/sys/kernel/core_pattern", pattern),
            ];
            let told = Fake::new(USER, &[], &files).told(check).into_iter();
            told.skip(1).map(|(_, text)| text).collect::<Vec<_>>()
        };
        assert!(told("|/usr/share/apport/apport %p\n")[0].contains("/usr/share/apport/apport, "));
        assert_eq!(told("core\n"), [""; 0]);
    }
}
