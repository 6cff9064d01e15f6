//! PAM's stacks: pam_berth in each that logs people in, and nothing on its wrong side.

use std::fs;

use berth_config::outcome::UserNamespace;
use berth_protocol::service::JOINED;

use super::finding::Finding;
use super::world::World;
use crate::pam_stack::open::open;
use crate::pam_stack::order::{before_the_way_back, why_not_after};
use crate::pam_stack::wiring::{Wiring, Wrong};
use berth_config::pam_files::Folders;

pub fn check(world: &World) -> Vec<Finding> {
    if !world.any(|_| true) {
        return Vec::new(); // Nobody would notice.
    }
    let folders = Folders::under(&world.root);
    let way_back =
        world.any(|berth| berth.namespaces.any() && berth.namespaces.user == UserNamespace::Off);
    let mut right = Vec::new();
    let mut findings = Vec::new();
    for service in JOINED {
        match of_service(&folders, service, way_back) {
            Some(wrong) if wrong.is_empty() => right.push(service),
            wrong => findings.extend(wrong.into_iter().flatten()),
        }
    }
    findings.extend(sshd(world));
    if !right.is_empty() {
        let right = right.join(", ");
        findings.insert(
            0,
            Finding::ok(format!("pam_berth is in the right place in {right}")),
        );
    }
    findings
}

/// What is wrong with a service's stack. None of one that is not here, or whose lines stand elsewhere and are told of there.
fn of_service(folders: &Folders, service: &str, way_back: bool) -> Option<Vec<Finding>> {
    let wiring = match Wiring::of(folders, service) {
        Ok(wiring) => wiring,
        Err(error) => {
            return Some(vec![Finding::fail(
                format!("{service}: {error}"),
                "repair it",
            )]);
        }
    };
    let mut findings = match wiring {
        Wiring::Absent | Wiring::Never(_) | Wiring::Through(_) => return None,
        Wiring::Disabled => {
            let what = match service {
                "cron" | "crond" | "atd" => "jobs",
                _ => "logins",
            };
            return Some(vec![Finding::fail(
                format!("{service} has no pam_berth: its {what} run outside their users' caps"),
                format!("berth pam enable {service}"),
            )]);
        }
        Wiring::Enabled | Wiring::ByHand => Vec::new(),
        Wiring::Wrong(Wrong::After(after)) => {
            let wrong = after.iter().map(|entry| {
                let (place, module, why) = (entry.place(), &entry.module, why_not_after(entry));
                Finding::fail(
                    format!("{place}: {module} runs after pam_berth: {why}"),
                    format!("berth pam enable {service} moves Berth's lines to the end"),
                )
            });
            wrong.collect()
        }
        Wiring::Wrong(why) => {
            let remedy = match why {
                // Berth's line stands last, where it belongs.
                Wrong::Skipped("session", _) => {
                    "make that line \"required\" or \"optional\"".into()
                }
                _ => format!("take these lines out, then: berth pam enable {service}"),
            };
            vec![Finding::fail(format!("{service}: {why}"), remedy)]
        }
    };
    let (_, text) = folders.read(service).ok()?; // gone just now
    if let Some(open) = open(folders, service, &text) {
        findings.push(Finding::fail(
            format!("{service}: {}", open.what),
            format!(
                "in its file, {}; then: berth pam enable {service}",
                open.remedy
            ),
        ));
    }
    if way_back {
        let session = folders.modules(service, &text, "session");
        let before = before_the_way_back(&session).into_iter();
        findings.extend(before.map(|entry| {
            let (place, module) = (entry.place(), &entry.module);
            Finding::warn(
                format!("{place}: {module} cleans up inside the berth at logout"),
                "put this first: session optional pam_berth.so close",
            )
        }));
    }
    Some(findings)
}

/// Without PAM sshd logs people in past Berth.
fn sshd(world: &World) -> Option<Finding> {
    let main = world.text("/etc/ssh/sshd_config")?;
    // The first value counts, and Debian and EL include the folder first of all.
    let entries = world.entries("/etc/ssh/sshd_config.d");
    let mut drop_ins: Vec<_> = entries.map(|entry| entry.path()).collect();
    drop_ins.retain(|path| path.extension().is_some_and(|end| end == "conf"));
    drop_ins.sort();
    let drop_ins = drop_ins
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok());
    let texts: Vec<String> = drop_ins.chain([main]).collect();
    let mut lines = texts.iter().flat_map(|text| text.lines().map(str::trim));
    let value = lines.find_map(|line| {
        let mut words = line.split(|c: char| c.is_whitespace() || c == '=');
        let key = words.next()?;
        let mut values = words.filter(|word| !word.is_empty());
        key.eq_ignore_ascii_case("usepam")
            .then(|| values.next().unwrap_or_default())
    });
    match value {
        Some(value) if value.eq_ignore_ascii_case("yes") => None,
        _ => Some(Finding::fail(
            "sshd does not use PAM, so its logins get no berth",
            "UsePAM yes in /etc/ssh/sshd_config",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::super::world::tests::Fake;
    use super::*;

    const OFF: &str = "namespaces = { pid = true, mount = true }";
    const SSHD: (&str, &str) = ("etc/ssh/sshd_config", "#UsePAM no\nUsePAM yes\n");

    fn told(stack: &str, config: (&str, &str)) -> Vec<(Level, String)> {
        let files = [("etc/pam.d/sshd", stack), config];
        Fake::new(OFF, &[], &files).told(check)
    }

    const GOOD: &str = "session  optional  pam_berth.so close\nsession required pam_unix.so\n\
                        account  required  pam_berth.so\naccount required pam_unix.so\n\
                        session  required  pam_berth.so open\n";

    #[test]
    fn a_good_stack_is_said_to_be_good_and_one_without_berth_is_a_failure() {
        let good = told(GOOD, SSHD);
        assert_eq!(
            good,
            [(Level::Ok, "pam_berth is in the right place in sshd".into())]
        );
        let none = told("session required pam_unix.so\n", SSHD);
        assert_eq!(none.len(), 1, "{none:?}");
        assert_eq!(none[0].0, Level::Fail);
        assert!(none[0].1.contains("logins run outside"), "{none:?}");
    }

    /// As where users come from SSSD.
    #[test]
    fn a_stack_without_berth_is_a_failure_also_where_nobody_is_listed_who_would_get_one() {
        let files = [("etc/pam.d/sshd", "session required pam_unix.so\n"), SSHD];
        let mut fake = Fake::new(OFF, &[], &files);
        fake.lists_nobody();
        let levels: Vec<Level> = check(&fake.0).iter().map(|one| one.level).collect();
        assert_eq!(levels, [Level::Fail]);
    }

    #[test]
    fn a_line_of_sshd_config_may_be_indented() {
        let config = (SSHD.0, " \tUsePAM yes\n");
        let good = [(Level::Ok, "pam_berth is in the right place in sshd".into())];
        assert_eq!(told(GOOD, config), good);
    }

    #[test]
    fn each_module_after_the_join_is_named_with_what_goes_wrong() {
        let stack = format!("{GOOD}session optional pam_systemd.so\nsession required pam_x.so\n");
        let wrong = told(&stack, SSHD);
        let texts: Vec<&str> = wrong.iter().map(|(_, text)| &**text).collect();
        assert_eq!(
            texts,
            [
                "sshd:6: pam_systemd.so runs after pam_berth: logind cannot see the login",
                "sshd:7: pam_x.so runs after pam_berth: it runs inside the berth",
            ]
        );
        assert!(wrong.iter().all(|(level, _)| *level == Level::Fail));
    }

    #[test]
    fn what_cleans_up_before_the_way_back_is_named() {
        let stack = "session optional pam_keyinit.so force revoke\nsession required pam_unix.so\n\
                     account required pam_berth.so\naccount required pam_unix.so\n\
                     session required pam_berth.so\n";
        let warned = told(stack, SSHD);
        assert_eq!(
            warned,
            [(
                Level::Warn,
                "sshd:1: pam_keyinit.so cleans up inside the berth at logout".into()
            )]
        );
    }

    #[test]
    fn what_may_end_the_stack_before_the_join_is_a_failure() {
        let below = GOOD.replace("account  required  pam_berth.so\n", "");
        let below = format!("{below}account required pam_berth.so\n");
        for (stack, remedy) in [
            (
                GOOD.replace("session required pam_unix", "session sufficient pam_unix"),
                "make that line",
            ),
            // To put it above is what enable does.
            (
                below.replace("account required pam_unix", "account sufficient pam_unix"),
                "take these lines out",
            ),
        ] {
            let wrong = check(&Fake::new(OFF, &[], &[("etc/pam.d/sshd", &stack), SSHD]).0);
            let [wrong, ..] = &wrong[..] else {
                panic!("{stack}")
            };
            assert!(wrong.text.contains("pam_berth is skipped"), "{wrong:?}");
            assert!(
                wrong.remedy.as_ref().unwrap().starts_with(remedy),
                "{wrong:?}"
            );
        }
    }

    #[test]
    fn a_stack_that_is_open_by_berths_lines_is_a_failure() {
        let open = told(&GOOD.replace("account required pam_unix.so\n", ""), SSHD);
        assert_eq!(open.len(), 1, "{open:?}");
        assert_eq!(open[0].0, Level::Fail);
        assert!(open[0].1.contains("no account line of its own"), "{open:?}");
    }

    #[test]
    fn an_sshd_with_pam_is_known_however_that_is_written() {
        let config = ("etc/ssh/sshd_config", "usepam=Yes\n");
        assert_eq!(told(GOOD, config).len(), 1);
    }

    #[test]
    fn an_sshd_without_pam_is_a_failure() {
        for text in ["#UsePAM yes\n", "usepam=no\nUsePAM yes\n"] {
            let wrong = told(GOOD, ("etc/ssh/sshd_config", text));
            assert_eq!(wrong.len(), 2, "{wrong:?}");
            assert!(wrong[1].1.contains("does not use PAM"), "{wrong:?}");
        }
    }
}
