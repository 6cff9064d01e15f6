//! The berths that the shipped policies make.

use crate::Policy;

use super::Promise;

/// A profile of a shipped policy.
#[derive(Debug)]
pub struct Profile {
    /// Where it comes from.
    pub name: String,
    text: &'static str,
    profile: String,
}

/// Nobody is in a berth.
pub const NO_BERTH: &str = "version = 1\n[[rule]]\nname = \"none\"\naction = \"exempt\"\n";

/// The shipped policies by name, those that allow the most first. The tree is not there on a test's machine.
pub const POLICIES: [(&str, &str); 4] = [
    ("policy", include_str!("../../../packaging/policy.toml")),
    ("hpc", include_str!("../../../packaging/examples/hpc.toml")),
    (
        "tilde",
        include_str!("../../../packaging/examples/tilde.toml"),
    ),
    ("lab", include_str!("../../../packaging/examples/lab.toml")),
];

/// No shipped policy has the filter refuse user namespaces: where there is one of Berth's own its limit does.
const BY_THE_FILTER: &str = r#"version = 1
[profile.filter]
namespaces = { pid = true, ipc = true, mount = true, private_tmp = "16M" }
privileges = { nested_userns = false }
logout = { linger = "0s", grace = "1s" }
[[rule]]
name = "nobody"
user = "nobody-else"
profile = "filter"
"#;

/// Every profile that makes a berth, of every shipped policy and of that one.
pub fn all() -> Vec<Profile> {
    let of_policy = |(name, text): (&str, &'static str)| {
        let profiles = Policy::berths_of_example(text).into_iter();
        let profiles = profiles.map(|profile| Profile {
            name: format!("{name} {profile}"),
            text,
            profile,
        });
        profiles.collect::<Vec<_>>()
    };
    let policies = POLICIES.into_iter().chain([("own", BY_THE_FILTER)]);
    policies.flat_map(of_policy).collect()
}

/// One of each kind: of those with the same namespaces and privileges the first.
pub fn one_of_each() -> Vec<Profile> {
    let mut kinds = Vec::new();
    let mut profiles = all();
    profiles.retain(|profile| {
        let Policy {
            profile,
            namespaces,
            ..
        } = profile.berth();
        let kind = (profile, namespaces);
        let is_new = !kinds.contains(&kind);
        kinds.push(kind);
        is_new
    });
    profiles
}

/// One with every protection, for what the host's root tries on it.
pub fn strictest() -> Profile {
    let every = [
        Promise::UserNamespace,
        Promise::NoNestedUserns,
        Promise::OwnBerth,
        Promise::PrivateShm,
        Promise::NoManager,
        Promise::Network,
    ];
    let mut all = all().into_iter();
    let strictest = all.find(|profile| every.iter().all(|one| profile.promises(*one)));
    strictest.expect("one with every protection")
}

impl Profile {
    /// Its file as it is shipped, with a rule before all others that gives the user this profile. What a machine may
    /// not have is left out: controllers, more than two processors, a disk of its own at /srv, and a root who may raise
    /// limits. And the user logs in more than once.
    pub fn policy(&self) -> String {
        let rule = format!(
            "[[rule]]\nname = \"who tries\"\nuser = \"alice\"\nprofile = \"{}\"\n\n[[rule]]",
            self.profile
        );
        let mut text = self.text.replacen("[[rule]]", &rule, 1);
        let warn = "missing_controller = \"warn\"";
        if !text.contains(warn) {
            let inline = format!("defaults = {{ {warn}, ");
            text = text.replacen("defaults = { ", &inline, 1);
            text = text.replacen("[defaults]\n", &format!("[defaults]\n{warn}\n"), 1);
        }
        let can_raise = super::suite::has_resource_capability();
        let lines = text.lines().map(|line| {
            let (key, value) = line.split_once('=').unwrap_or_default();
            match key.trim() {
                "max_sessions" if value.trim().len() == 1 => "max_sessions = 10",
                "rlimits" if !can_raise => "",
                "allowed_cpus" | "io_write_bandwidth_max" => "",
                _ => line,
            }
        });
        lines.map(|line| format!("{line}\n")).collect()
    }

    /// Its namespaces and privileges.
    fn berth(&self) -> Policy {
        Policy::of_example(self.text, &self.profile)
    }

    /// Whether it promises this.
    pub fn promises(&self, promise: Promise) -> bool {
        let Policy {
            profile,
            namespaces,
            ..
        } = self.berth();
        let has = |text: &str| namespaces.contains(text);
        let user = has("user = \"");
        match promise {
            Promise::Namespaces => true,
            Promise::Nothing(_) => false,
            Promise::UserNamespace => user,
            Promise::NoNestedUserns => match profile.contains("nested_userns = ") {
                true => profile.contains("nested_userns = false"),
                false => user,
            },
            Promise::OwnBerth => !has("scope = \"user\""),
            Promise::PrivateShm => has("private_shm"),
            Promise::SizedTmp => has("private_tmp") && !has("private_tmp = \"disk\""),
            Promise::Network => has("net = true"),
            Promise::NoManager => user || has("user_manager = \"hidden\""),
        }
    }
}
