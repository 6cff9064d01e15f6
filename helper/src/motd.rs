//! The line at login that tells users what they have.

use std::time::Duration;

use berth_config::outcome::{Caps, Limit};
use berth_config::value::{Percent, bytes_text, duration_text};

use crate::decide::Planned;
use crate::mounts::WITHOUT_DISK;

/// The line, if the policy wants one and there is something to tell. Who makes a berth for whose /tmp the disk has no
/// room is told that in any case.
pub fn line(planned: &Planned, has_small_tmp: bool) -> Option<String> {
    let size = bytes_text(WITHOUT_DISK);
    let small = has_small_tmp
        .then(|| format!("the disk cannot be written: /tmp and /var/tmp have {size} together"));
    let caps = planned.berth.motd.then(|| parts(planned, "you have"));
    let parts: Vec<_> = small.into_iter().chain(caps.unwrap_or_default()).collect();
    (!parts.is_empty()).then(|| format!("berth: {}", parts.join("; ")))
}

/// What would be if the profile were enforced, for the log.
pub fn unenforced(planned: &Planned) -> Option<String> {
    let mut parts = parts(planned, "the user has");
    let namespaces = planned.namespace_names();
    if !namespaces.is_empty() {
        parts.push(format!("own {namespaces}"));
    }
    let most = planned.berth.max_sessions;
    parts.extend(most.map(|most| format!("max_sessions {most}")));
    match planned.berth.logout.linger {
        Some(Duration::ZERO) => {}
        Some(linger) => parts.push(format!("linger {}", duration_text(linger))),
        None => parts.push("linger infinity".into()),
    }
    (!parts.is_empty()).then(|| format!("enforce = false; with it {}", parts.join("; ")))
}

/// The caps of a login, of whom they are first.
fn parts(planned: &Planned, user: &str) -> Vec<String> {
    let berth = &planned.berth;
    let pool = planned.pool.as_ref();
    let parts = [
        told(user, &berth.user_caps),
        told("this login", &berth.session_caps),
        pool.and_then(|(name, caps)| told(&format!("all in {name} together"), caps)),
    ];
    parts.into_iter().flatten().collect()
}

/// The caps that people run into.
fn told(whose: &str, caps: &Caps) -> Option<String> {
    let percent = |us_per_second| Percent::what_of(us_per_second, 1_000_000).to_string();
    let told = [
        ("memory_high", finite(caps.memory_high).map(bytes_text)),
        ("memory_max", finite(caps.memory_max).map(bytes_text)),
        ("cpu_quota", finite(caps.cpu_quota).map(percent)),
        (
            "tasks_max",
            finite(caps.tasks_max).map(|max| max.to_string()),
        ),
    ];
    let told = told.into_iter();
    let told: Vec<String> = told
        .filter_map(|(cap, value)| Some(format!("{cap} {}", value?)))
        .collect();
    (!told.is_empty()).then(|| format!("{whose} {}", told.join(", ")))
}

fn finite(limit: Option<Limit>) -> Option<u64> {
    match limit? {
        Limit::Finite(value) => Some(value),
        Limit::Infinity => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_run_into_is_told_and_no_more() {
        let caps = Caps {
            memory_max: Some(Limit::Finite(3 << 30)),
            memory_high: Some(Limit::Infinity),
            cpu_quota: Some(Limit::Finite(125_000)),
            tasks_max: Some(Limit::Finite(256)),
            io_weight: Some(50),
            ..Caps::default()
        };
        let line = told("you have", &caps);
        let expected = "you have memory_max 3G, cpu_quota 12.5%, tasks_max 256";
        assert_eq!(line.as_deref(), Some(expected));
        assert_eq!(
            told(
                "you have",
                &Caps {
                    io_weight: Some(50),
                    ..Caps::default()
                }
            ),
            None
        );
    }
    #[test]
    fn a_login_is_told_its_caps_if_the_policy_says_so_and_there_are_any() {
        let planned = |profile: &str| crate::decide::tests::planned("motd", "", profile);
        let caps = "user = { tasks_max = 64 }\n";
        assert_eq!(
            line(&planned(&format!("motd = true\n{caps}")), false).as_deref(),
            Some("berth: you have tasks_max 64")
        );
        assert_eq!(
            line(&planned(&format!("motd = false\n{caps}")), false),
            None
        );
        assert_eq!(line(&planned("motd = true\n"), false), None);
        let small = "berth: the disk cannot be written: /tmp and /var/tmp have 16M together";
        assert_eq!(line(&planned(caps), true).as_deref(), Some(small));
        assert_eq!(
            line(&planned(&format!("motd = true\n{caps}")), true),
            Some(format!("{small}; you have tasks_max 64"))
        );
        // Nor has the log anything where nothing would be.
        assert_eq!(unenforced(&planned("")), None);
        let namespaces = unenforced(&planned("namespaces = { ipc = true }"));
        assert_eq!(
            namespaces.as_deref(),
            Some("enforce = false; with it own ipc")
        );
    }
}
