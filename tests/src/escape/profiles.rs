//! The berths that the shipped policies make.

use crate::Policy;

use super::Promise;

/// A profile of a shipped policy.
#[derive(Debug)]
pub struct Profile {
    /// Where it comes from.
    pub name: &'static str,
    text: &'static str,
    profile: &'static str,
}

const LAB: &str = include_str!("../../../packaging/examples/lab.toml");
const TILDE: &str = include_str!("../../../packaging/examples/tilde.toml");

const fn profile(name: &'static str, text: &'static str, profile: &'static str) -> Profile {
    Profile {
        name,
        text,
        profile,
    }
}

/// Those that differ in their namespaces and privileges.
pub const PROFILES: [Profile; 7] = [
    profile(
        "policy.toml",
        include_str!("../../../packaging/policy.toml"),
        "default",
    ),
    profile(
        "hpc",
        include_str!("../../../packaging/examples/hpc.toml"),
        "login",
    ),
    profile("tilde, paid", TILDE, "paid"),
    profile("tilde, free", TILDE, "free"),
    profile("tilde, web", TILDE, "web"),
    profile("lab", LAB, "base"),
    profile("lab, exam", LAB, "exam"),
];

/// The one with every protection, for what the host's root tries on it.
pub const STRICTEST: &Profile = &PROFILES[6];

/// Nobody is in a berth.
pub const NO_BERTH: &str = "version = 1\n[[rule]]\nname = \"none\"\naction = \"exempt\"\n";

impl Profile {
    /// A policy that gives everybody this berth.
    pub fn policy(&self) -> Policy {
        Policy::of_example(self.text, self.profile)
    }

    /// Whether it promises this.
    pub fn promises(&self, promise: Promise) -> bool {
        let Policy {
            profile,
            namespaces,
            ..
        } = self.policy();
        let has = |text: &str| namespaces.contains(text);
        let user = has("user = \"");
        match promise {
            Promise::Namespaces => true,
            Promise::Nothing(_) => false,
            Promise::UserNamespace => user,
            Promise::NoNestedUserns => user && !profile.contains("nested_userns = true"),
            Promise::OwnBerth => !has("scope = \"user\""),
            Promise::PrivateShm => has("private_shm"),
            Promise::Network => has("net = true"),
            Promise::NoManager => user || has("user_manager = \"hidden\""),
        }
    }
}
