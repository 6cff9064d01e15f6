//! Berthed users who are root on the host by a daemon: no berth holds them.

use super::finding::Finding;
use super::world::World;
use crate::readable::named;

/// Groups whose members can have anything done on the host.
const GROUPS: [&str; 5] = ["docker", "lxd", "incus-admin", "libvirt", "disk"];

pub fn check(world: &World) -> Vec<Finding> {
    let mut findings = Vec::new();
    for group in GROUPS {
        let members: Vec<&str> = world
            .berths()
            .filter(|(login, _)| login.groups.iter().any(|one| one.name == group))
            .map(|(login, _)| &*login.user)
            .collect();
        if !members.is_empty() {
            findings.push(Finding::warn(
                format!(
                    "{group} makes its members root on the host, past their berths: {}",
                    named(&members)
                ),
                format!("take them out of {group}, or exempt the group"),
            ));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::world::tests::Fake;
    use super::*;

    #[test]
    fn a_berthed_member_of_docker_is_named() {
        let fake = Fake::new("", &["users", "docker"], &[]);
        let findings = check(&fake.0);
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert!(
            findings[0].text.ends_with("their berths: alice"),
            "{findings:?}"
        );
        assert_eq!(check(&Fake::new("", &["users"], &[]).0), []);
    }
}
