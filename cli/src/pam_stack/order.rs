//! What may not stand on the wrong side of pam_berth in a session stack.

use berth_config::pam_files::Entry;

/// Modules that need the host, and what goes wrong inside a berth.
const HOSTS: [(&str, &str); 13] = [
    ("pam_systemd", "logind cannot see the login"),
    ("pam_mount", "it may not mount"),
    ("pam_namespace", "it may not mount"),
    ("pam_keyinit", "it replaces the berth's keyring"),
    ("pam_loginuid", "it may not set the audit login UID"),
    (
        "pam_limits",
        "it may not raise a limit, and lifts the policy's",
    ),
    ("pam_selinux", "it may not set the context"),
    ("pam_apparmor", "it may not change the profile"),
    ("pam_umask", "it may not raise a limit or the priority"),
    ("pam_lastlog", "it may not write the host's lastlog"),
    ("pam_mkhomedir", "it may not make a home directory"),
    ("pam_motd", "it cannot run the host's scripts"),
    ("pam_group", "the berth's groups are fixed by then"),
];

/// Modules that undo at the close what they did on the host.
const UNDOES: [&str; 6] = [
    "pam_systemd",
    "pam_mount",
    "pam_namespace",
    "pam_keyinit",
    "pam_lastlog",
    "pam_krb5",
];

/// What runs after the join.
pub fn after_the_join(session: &[Entry]) -> Vec<Entry> {
    let after = session.iter().skip_while(|entry| !entry.opens());
    after.filter(|entry| !entry.is_berth()).cloned().collect()
}

/// Why it should not.
pub fn why_not_after(entry: &Entry) -> &'static str {
    let known = HOSTS.iter().find(|(name, _)| entry.is(name));
    known.map_or("it runs inside the berth", |(_, why)| why)
}

/// What undoes something at the close before the application is back on the host: that is what stands
/// above the line that goes back.
pub fn before_the_way_back(session: &[Entry]) -> Vec<&Entry> {
    let back = |entry: &&Entry| entry.is_berth() && !entry.has("open");
    let above = session.iter().take_while(|entry| !back(entry));
    above
        .filter(|entry| UNDOES.iter().any(|name| entry.is(name)))
        .collect()
}
