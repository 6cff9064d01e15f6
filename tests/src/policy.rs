//! The policy and the PAM stack of a test's machine.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Map, Value};

use crate::namespaces::PROGRAMS;

/// Where the policy of a test's machine stands.
pub const POLICY: &str = "/etc/berth/policy.toml";

/// The PAM services that log users in on a test's machine.
pub const SERVICES: &[&str] = &["sshd", "su", "su-l", "login", "cron", "atd"];

/// A policy with one rule for everybody, made of the parts that tests vary.
#[derive(Debug, Clone)]
pub struct Policy {
    /// Lines at the top of the profile.
    pub profile: String,
    /// The table `namespaces`.
    pub namespaces: String,
    /// The lines of `[defaults]`.
    pub defaults: String,
    /// Rules before the one for everybody.
    pub rules: String,
    /// Whatever else, at the end of the file.
    pub rest: String,
}

impl Default for Policy {
    /// Every namespace there is, the identity map, and a refusal when anything fails.
    fn default() -> Policy {
        Policy {
            profile: r#"logout = { grace = "1s" }"#.into(),
            namespaces: r#"user = "identity", pid = true, ipc = true, mount = true, private_tmp = "16M", private_shm = "16M""#.into(),
            defaults: String::new(),
            rules: String::new(),
            rest: String::new(),
        }
    }
}

impl Policy {
    /// The policy as a file.
    pub fn text(&self) -> String {
        format!(
            "version = 1\n\n[defaults]\n{}\n\n[profile.test]\n{}\nnamespaces = {{ {} }}\n\n\
             {}[[rule]]\nname = \"all\"\nprofile = \"test\"\n\n{}\n",
            self.defaults, self.profile, self.namespaces, self.rules, self.rest
        )
    }

    /// The default policy with other lines in its profile.
    pub fn with_profile(lines: &str) -> Policy {
        Policy {
            profile: lines.into(),
            ..Policy::default()
        }
    }

    /// The default policy with caps of the user's.
    pub fn with_user_caps(caps: &str) -> Policy {
        Policy::with_profile(&format!(
            "user = {{ {caps} }}\nlogout = {{ grace = \"1s\" }}"
        ))
    }

    /// The default policy with other namespaces.
    pub fn with_namespaces(namespaces: &str) -> Policy {
        Policy {
            namespaces: namespaces.into(),
            ..Policy::default()
        }
    }

    /// The default policy with this map in its user namespace, and nothing private but processes and mounts.
    pub fn with_map(user: &str) -> Policy {
        Policy::with_namespaces(&format!(
            "user = \"{user}\", pid = true, ipc = true, mount = true"
        ))
    }

    /// The default policy with more caps or tables at its end.
    pub fn with_rest(rest: &str) -> Policy {
        Policy {
            rest: rest.into(),
            ..Policy::default()
        }
    }
}

impl Policy {
    /// The same, with this answer to failures.
    pub fn on_error(self, answer: &str) -> Policy {
        Policy {
            defaults: format!("on_error = \"{answer}\""),
            ..self
        }
    }
}

impl Policy {
    /// The berth of an example's profile: its namespaces and privileges, without its caps.
    pub fn of_example(example: &str, profile: &str) -> Policy {
        let privileges = line(example, profile, "privileges");
        let namespaces = line(example, profile, "namespaces");
        assert!(namespaces.contains("pid = true"), "{profile}: {namespaces}");
        Policy {
            profile: format!("logout = {{ grace = \"1s\" }}\nprivileges = {{ {privileges} }}"),
            ..Policy::with_namespaces(&namespaces)
        }
    }

    /// The profiles of an example that make a berth.
    pub fn berths_of_example(example: &str) -> Vec<String> {
        let policy: Value = toml::from_str(example).expect("TOML");
        let profiles = policy["profile"].as_object().expect("profiles");
        let names = profiles.keys().cloned();
        names
            .filter(|name| keys(&policy["profile"], name, "namespaces").contains_key("pid"))
            .collect()
    }
}

/// The keys of a table of a profile of an example's, with all that it inherits.
fn line(example: &str, profile: &str, table: &str) -> String {
    let policy: Value = toml::from_str(example).expect("TOML");
    // A truth value, a number, a text and a list are written the same in both.
    let keys = keys(&policy["profile"], profile, table).into_iter();
    let keys: Vec<String> = keys
        .map(|(key, value)| format!("{key} = {value}"))
        .collect();
    keys.join(", ")
}

fn keys(profiles: &Value, profile: &str, table: &str) -> Map<String, Value> {
    let profile = &profiles[profile];
    let parent = profile["inherits"].as_str();
    let mut keys = parent.map_or_else(Map::new, |parent| keys(profiles, parent, table));
    keys.extend(profile[table].as_object().cloned().unwrap_or_default());
    keys
}

/// The PAM stack that every login service of a test's machine has.
#[derive(Debug, Clone)]
pub struct Stack {
    /// Arguments of the module, after `helper=` and `policy=`.
    pub arguments: String,
    /// The module's `helper=`.
    pub helper: String,
    /// Lines before the module's session line.
    pub before: String,
    /// Lines after the module's session line.
    pub after: String,
    /// Whether the module also stands in the account stack.
    pub account: bool,
}

impl Default for Stack {
    fn default() -> Stack {
        Stack {
            arguments: String::new(),
            helper: format!("{PROGRAMS}/berth-helper"),
            before: String::new(),
            after: String::new(),
            account: true,
        }
    }
}

impl Stack {
    /// The same, with this answer to failures where the policy could not be read.
    pub fn on_error(&self, answer: &str) -> Stack {
        Stack {
            arguments: format!("{} on_error={answer}", self.arguments),
            ..self.clone()
        }
    }

    /// The module's name and arguments.
    pub fn module(&self) -> String {
        format!(
            "{PROGRAMS}/libpam_berth.so helper={} policy={POLICY} {}",
            self.helper, self.arguments
        )
    }

    /// Writes the stack for every login service.
    pub fn install(&self) {
        let module = self.module();
        let account = if self.account {
            format!("account required {module}\n")
        } else {
            String::new()
        };
        let text = format!(
            "auth sufficient pam_permit.so\n{account}account required pam_permit.so\n\
             password required pam_deny.so\nsession required pam_permit.so\n{}\n\
             session required {module}\n{}\n",
            self.before, self.after
        );
        for service in SERVICES {
            fs::write(format!("/etc/pam.d/{service}"), &text).expect("write a PAM stack");
        }
    }
}

/// Puts a policy in place, as `root` would.
pub fn install(text: &str) {
    fs::create_dir_all("/etc/berth").expect("make /etc/berth");
    fs::write(POLICY, text).expect("write the policy");
    fs::set_permissions(POLICY, fs::Permissions::from_mode(0o644)).expect("policy's mode");
}
