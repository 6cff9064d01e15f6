//! Security modules that confine programs: SELinux without Berth's policy module, applications under AppArmor.

use std::path::Path;

use berth_protocol::HELPER;
use berth_session::selinux_context;

use super::finding::Finding;
use super::world::World;

/// The context that the policy module gives it.
const CONTEXT: &str = ":berth_helper_exec_t:";

/// Applications that are joined.
const APPLICATIONS: [&str; 6] = ["sshd", "sshd-session", "cron", "crond", "atd", "login"];

const DOCUMENT: &str = "install.md, \"Under AppArmor and SELinux\"";

pub fn check(world: &World) -> Vec<Finding> {
    let context = selinux_context(&world.path(HELPER)).unwrap_or_default();
    let selinux = selinux(world, &String::from_utf8_lossy(&context));
    selinux.into_iter().chain(apparmor(world)).collect()
}

fn selinux(world: &World, context: &str) -> Vec<Finding> {
    let Some(enforce) = world.number("/sys/fs/selinux/enforce") else {
        return Vec::new();
    };
    let mut findings = Vec::new();
    if !context.contains(CONTEXT) {
        let remedy = "install it (packaging/selinux, or the package berth-selinux)";
        findings.push(match enforce {
            0 => Finding::warn(
                "SELinux is permissive; if it were enforcing, logins would fail without Berth's policy module",
                remedy,
            ),
            _ => Finding::fail(
                "SELinux is enforcing and Berth's policy module is not in: logins follow on_error",
                remedy,
            ),
        });
    }
    // sshd asks for its own context, to label the terminal, and has no /proc/self in there.
    if enforce != 0 && world.any(|berth| berth.namespaces.pid) {
        findings.push(Finding::fail(
            "SELinux is enforcing: sshd ends each login that has a terminal and a PID namespace",
            "set pid = false",
        ));
    }
    findings
}

/// Whoever runs confined: each profile of theirs once.
fn apparmor(world: &World) -> Vec<Finding> {
    let confined = world.entries("/proc").filter_map(|entry| {
        let process = Path::new("/proc").join(entry.file_name());
        let read = |file: &str| world.text(&process.join(file).display().to_string());
        let name = read("comm")?;
        let name = *APPLICATIONS.iter().find(|one| **one == name.trim())?;
        let profile = read("attr/apparmor/current")?;
        let profile = profile.trim().strip_suffix(" (enforce)")?;
        Some((name, profile.to_owned()))
    });
    let mut confined: Vec<_> = confined.collect();
    confined.sort_unstable();
    confined.dedup();
    let told = confined.into_iter().map(|(name, profile)| {
        Finding::warn(
            format!("{name} runs under the AppArmor profile {profile}, which has to allow what Berth does in it"),
            DOCUMENT,
        )
    });
    told.collect()
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::super::world::tests::Fake;
    use super::*;

    #[test]
    fn what_selinux_refuses_is_told() {
        let levels = |profile: &str, enforce: &str, context: &str| {
            let files = [("sys/fs/selinux/enforce", enforce)];
            let told = selinux(&Fake::new(profile, &[], &files).0, context);
            told.into_iter().map(|one| one.level).collect::<Vec<_>>()
        };
        let (without, with) = (
            "system_u:object_r:bin_t:s0\0",
            "system_u:object_r:berth_helper_exec_t:s0\0",
        );
        assert_eq!(levels("", "1", without), [Level::Fail]);
        assert_eq!(levels("", "1", ""), [Level::Fail]);
        assert_eq!(levels("", "0", without), [Level::Warn]);
        assert_eq!(levels("", "1", with), []);
        let pid = "namespaces = { pid = true, mount = true }";
        assert_eq!(levels(pid, "1", with), [Level::Fail]);
        assert_eq!(levels(pid, "0", with), []);
        assert_eq!(Fake::new(pid, &[], &[]).told(check), []);
    }

    #[test]
    fn an_application_under_apparmor_is_told_once() {
        let told = |profile: &str| {
            let files = [
                ("proc/7/comm", "sshd\n"),
                ("proc/7/attr/apparmor/current", profile),
                ("proc/8/comm", "sshd\n"),
                ("proc/8/attr/apparmor/current", profile),
                ("proc/9/comm", "nginx\n"),
                ("proc/9/attr/apparmor/current", "nginx (enforce)\n"),
            ];
            Fake::new("", &[], &files).told(check)
        };
        let confined = told("/usr/sbin/sshd (enforce)\n");
        assert_eq!(confined.len(), 1, "{confined:?}");
        assert!(
            confined[0]
                .1
                .starts_with("sshd runs under the AppArmor profile /usr/sbin/sshd,")
        );
        assert_eq!(told("unconfined\n"), []);
        assert_eq!(told("/usr/sbin/sshd (complain)\n"), []);
    }
}
