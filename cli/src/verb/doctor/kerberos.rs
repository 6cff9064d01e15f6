//! Kerberos tickets, which a private /tmp and a user namespace hide.

use berth_config::outcome::{PrivateTmp, UserNamespace};

use super::finding::Finding;
use super::world::World;

pub fn check(world: &World) -> Vec<Finding> {
    let Some(text) = world.text("/etc/krb5.conf") else {
        return Vec::new();
    };
    let name = text.lines().find_map(|line| {
        let (key, value) = line.split_once('=')?;
        (key.trim() == "default_ccache_name").then(|| value.trim())
    });
    // MIT's own default.
    let name = name.unwrap_or("FILE:/tmp/krb5cc_%{uid}");
    let hidden_tmp = world.any(|berth| {
        let kept = berth.namespaces.tmp_keep.iter();
        berth.namespaces.private_tmp != PrivateTmp::Off
            && !kept.clone().any(|name| name.starts_with("krb5cc"))
    });
    // Keyrings belong to a user namespace. Without one the login keeps what it has.
    let hidden_keys = world.any(|berth| berth.namespaces.user != UserNamespace::Off);
    let in_tmp = name.contains("/tmp/");
    let remedy = "krb5.conf: default_ccache_name = KCM:";
    if in_tmp && hidden_tmp {
        vec![Finding::warn(
            "private_tmp hides /tmp/krb5cc_*: rpc.gssd and other logins do not find the tickets",
            remedy,
        )]
    } else if name.starts_with("KEYRING:") && hidden_keys {
        vec![Finding::warn(
            "a user namespace has keyrings of its own: tickets in KEYRING: do not reach the berth",
            remedy,
        )]
    } else {
        vec![Finding::ok(format!("tickets are in {name}"))]
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::super::world::tests::Fake;
    use super::*;

    #[test]
    fn tickets_that_a_berth_hides_are_warned_of() {
        let tmp = "namespaces = { mount = true, private_tmp = \"disk\" }";
        let pid = "namespaces = { pid = true, mount = true }";
        let file = "[libdefaults]\n";
        let user = "namespaces = { user = \"identity\", pid = true, mount = true }";
        let keyring = "[libdefaults]\n default_ccache_name = KEYRING:persistent:%{uid}\n";
        let kcm = "[libdefaults]\n default_ccache_name = KCM:\n";
        for (name, profile, text, level) in [
            ("file", tmp, file, Level::Warn),
            ("no-tmp", pid, file, Level::Ok),
            ("keyring", user, keyring, Level::Warn),
            ("no-user", pid, keyring, Level::Ok),
            ("caps", "", keyring, Level::Ok),
            ("kcm", tmp, kcm, Level::Ok),
        ] {
            let files = [("etc/krb5.conf", text)];
            let fake = Fake::new(profile, &[], &files);
            let findings = check(&fake.0);
            assert_eq!(findings.len(), 1, "{name}");
            assert_eq!(findings[0].level, level, "{name}: {findings:?}");
        }
        assert_eq!(check(&Fake::new(tmp, &[], &[]).0), []);
    }
}
