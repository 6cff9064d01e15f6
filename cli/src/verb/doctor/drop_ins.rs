//! Drop-ins of systemd's that take a cap of the policy's away.

use std::collections::BTreeMap;

use berth_config::outcome::Outcome;

use super::finding::Finding;
use super::world::World;
use crate::readable::named;
use crate::slices;

pub fn check(world: &World) -> Vec<Finding> {
    if !world.has_systemd() {
        return Vec::new();
    }
    // Whom each of them is about.
    let mut found: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    let enforced = world.accounts.iter().filter_map(|(login, decision)| {
        let decision = decision.as_ref()?;
        match &decision.outcome {
            Outcome::Berth(berth) if berth.enforce => Some((login, &decision.pool, berth)),
            _ => None,
        }
    });
    for (login, pool, berth) in enforced {
        let keys = slices::keys(&berth.user_caps);
        let others = slices::others(&world.root, login, pool.as_deref(), &keys);
        for other in others.into_iter().filter(|other| other.wins) {
            let (name, value, path) = (other.name, &other.value, other.path.display());
            let text =
                format!("{path} sets {name}={value} after Berth's, and wins at a daemon-reload");
            found.entry(text).or_default().push(&login.user);
        }
    }
    let found = found.into_iter().map(|(text, users)| {
        Finding::warn(
            format!("{text}: {}", named(&users)),
            "take the line out, or rename the file so that it sorts before 50-",
        )
    });
    found.collect()
}

#[cfg(test)]
mod tests {
    use super::super::world::tests::Fake;
    use super::*;

    #[test]
    fn a_drop_in_that_wins_over_the_policy_is_told_and_no_other() {
        let profile = "user = { memory_max = \"1G\" }";
        let systemd = ("run/systemd/system/x", "");
        let early = (
            "etc/systemd/system/user-.slice.d/10-a.conf",
            "[Slice]\nMemoryMax=2G\n",
        );
        let late = (
            "etc/systemd/system/user-.slice.d/99-a.conf",
            "[Slice]\nMemoryMax=3G\nTasksMax=9\n",
        );
        let of_one = |slice: &str| format!("etc/systemd/system/{slice}.d/99-a.conf");
        let (outside, inside) = (of_one("user-1001.slice"), of_one("user-pool_cs-1001.slice"));
        let text = "[Slice]\nMemoryMax=3G\n";
        let own = "run/systemd/transient/user-pool_cs-1001.slice.d/50-MemoryMax.conf";
        let in_pool = format!("{profile}\npool = \"cs\"\n[pool.cs]\ntasks_max = 9");
        for (name, files, count) in [
            ("pool", vec![systemd, (&inside, text)], 1),
            ("outside", vec![systemd, (&outside, text)], 0),
            ("own", vec![systemd, (own, text)], 0),
        ] {
            let fake = Fake::new(&in_pool, &[], &files);
            assert_eq!(check(&fake.0).len(), count, "{name}");
        }
        for (name, files, count) in [
            ("early", vec![systemd, early], 0),
            ("late", vec![systemd, early, late], 1),
            ("no-systemd", vec![late], 0),
        ] {
            let fake = Fake::new(profile, &[], &files);
            let findings = check(&fake.0);
            assert_eq!(findings.len(), count, "{name}: {findings:?}");
            for finding in findings {
                let text = &finding.text;
                assert!(
                    text.contains("99-a.conf sets MemoryMax=3G") && text.ends_with(": alice"),
                    "{text}"
                );
            }
        }
    }
}
