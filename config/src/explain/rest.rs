//! What is of one login alone: its session's caps, limits, namespaces, privileges, its end.

use super::Shown;
use crate::facts::Machine;
use crate::outcome::{
    Berth, Limit, Namespaces, PrivateTmp, Propagation, Scope, UserManager, UserNamespace,
};
use crate::policy::Policy;
use crate::setting::{Mark, mark, value};
use crate::tables::{Profile, ProfileKeys};
use crate::value::{bytes_text, duration_text};

impl Policy {
    /// A line for each thing that was set, and for what follows from it.
    pub(super) fn tell_login(
        &self,
        profile: &Profile,
        berth: &Berth,
        machine: &Machine,
    ) -> Vec<Shown> {
        let mut lines = self.tell_caps(&profile.session, &berth.session_caps, machine);
        for line in &mut lines {
            line.key = format!("session.{}", line.key);
        }
        self.tell_keys(profile, berth, &mut lines);
        self.tell_defaults(profile, berth, &mut lines);
        if !berth.enforce {
            let on_error = lines.iter_mut().filter(|line| line.key == "on_error");
            on_error.for_each(|line| line.because = Some("because enforce = false".into()));
        }
        for (resource, setting) in &profile.rlimits {
            let limit = berth
                .rlimits
                .iter()
                .find(|limit| limit.resource == *resource);
            if let Some(limit) = limit {
                let text = match limit.soft == limit.hard {
                    true => number(limit.soft),
                    false => format!("{}:{}", number(limit.soft), number(limit.hard)),
                };
                let key = format!("rlimits.{}", resource.name());
                lines.push(self.shown(key, text, setting.mark()));
            }
        }
        self.tell_namespaces(profile, berth, &mut lines);
        self.tell_privileges(profile, berth, &mut lines);
        for (key, mark) in profile.logout.marks() {
            let text = match key {
                "linger" => berth.logout.linger.map_or("infinity".into(), duration_text),
                _ => duration_text(berth.logout.grace),
            };
            lines.push(self.shown(key, text, mark));
        }
        lines
    }

    fn tell_keys(&self, profile: &Profile, berth: &Berth, lines: &mut Vec<Shown>) {
        // All of them, so that the next one cannot be forgotten.
        let ProfileKeys {
            // How it was written, not what it comes to.
            description: _,
            inherits: _,
            // The user's, which are told with their caps.
            pool: _,
            penalty: _,
            enforce,
            on_error,
            contact,
            notify,
            motd,
            max_sessions,
            cgroup,
        } = &profile.keys;
        let sessions = berth.max_sessions;
        let sessions = sessions.map_or("infinity".into(), |sessions| sessions.to_string());
        let told = [
            ("enforce", mark(enforce), berth.enforce.to_string()),
            ("on_error", mark(on_error), berth.on_error.word().into()),
            (
                "contact",
                mark(contact),
                berth.contact.clone().unwrap_or_default(),
            ),
            ("notify", mark(notify), berth.notify.to_string()),
            ("motd", mark(motd), berth.motd.to_string()),
            ("max_sessions", mark(max_sessions), sessions),
            ("cgroup", mark(cgroup), berth.cgroup.word().into()),
        ];
        for (key, mark, text) in told {
            lines.extend(mark.map(|mark| self.shown(key, text, mark)));
        }
    }

    /// What `[defaults]` says that the profile does not.
    fn tell_defaults(&self, profile: &Profile, berth: &Berth, lines: &mut Vec<Shown>) {
        let own: Vec<&str> = profile.keys.marks().iter().map(|(key, _)| *key).collect();
        for (key, mark) in self.contents.defaults.marks() {
            let text = match key {
                _ if own.contains(&key) => continue,
                "on_error" => berth.on_error.word().into(),
                "contact" => berth.contact.clone().unwrap_or_default(),
                "missing_controller" => berth.missing_controller.word().into(),
                // Whom no rule matches is told with the rules; the rest is no login's.
                _ => continue,
            };
            lines.push(self.shown(key, text, mark));
        }
    }

    /// One line for each place that namespaces are set in.
    fn tell_namespaces(&self, profile: &Profile, berth: &Berth, lines: &mut Vec<Shown>) {
        let mut groups: Vec<(Mark, Vec<String>)> = Vec::new();
        for (key, mark) in profile.namespaces.marks() {
            let Some(text) = namespace_text(key, &berth.namespaces) else {
                continue;
            };
            let same = |group: &&mut (Mark, Vec<String>)| {
                group.0.at.file == mark.at.file
                    && group.0.at.line == mark.at.line
                    && group.0.profile == mark.profile
            };
            match groups.iter_mut().find(same) {
                Some((_, texts)) => texts.push(text),
                None => groups.push((mark, vec![text])),
            }
        }
        for (mark, texts) in groups {
            lines.push(self.shown("namespaces", texts.join(" "), mark));
        }
    }

    fn tell_privileges(&self, profile: &Profile, berth: &Berth, lines: &mut Vec<Shown>) {
        let user = berth.namespaces.user.word();
        let table = &profile.privileges;
        let held = berth.privileges;
        for (key, set, holds) in [
            ("no_new_privs", &table.no_new_privs, held.no_new_privs),
            ("nested_userns", &table.nested_userns, held.nested_userns),
        ] {
            match set {
                Some(setting) if value(set).is_some() => {
                    lines.push(self.shown(key, holds.to_string(), setting.mark()));
                }
                _ if berth.namespaces.user != UserNamespace::Off => lines.push(implied(
                    key,
                    holds.to_string(),
                    format!("because user = \"{user}\""),
                )),
                _ => {}
            }
        }
        let is_hidden = berth.namespaces.user_manager == UserManager::Hidden;
        if is_hidden && value(&profile.namespaces.user_manager).is_none() {
            let because = "because no_new_privs = true".into();
            lines.push(implied("user_manager", "hidden".into(), because));
        }
    }
}

/// A value that follows from another.
fn implied(key: &str, value: String, because: String) -> Shown {
    Shown {
        key: key.into(),
        value,
        because: Some(because),
        ..Shown::default()
    }
}

fn number(limit: Limit) -> String {
    match limit {
        Limit::Finite(value) => value.to_string(),
        Limit::Infinity => "infinity".into(),
    }
}

/// One key of the namespaces, if it asks for anything.
fn namespace_text(key: &str, namespaces: &Namespaces) -> Option<String> {
    let on = |on: bool| on.then(|| key.to_owned());
    let word = |on: bool, word: &str| on.then(|| format!("{key}={word}"));
    match key {
        "scope" => word(namespaces.scope != Scope::Session, namespaces.scope.word()),
        "user" => word(
            namespaces.user != UserNamespace::Off,
            namespaces.user.word(),
        ),
        "pid" => on(namespaces.pid),
        "ipc" => on(namespaces.ipc),
        "mount" => on(namespaces.mount),
        "uts" => on(namespaces.uts),
        "net" => on(namespaces.net),
        "private_tmp" => match namespaces.private_tmp {
            PrivateTmp::Off => None,
            PrivateTmp::Disk => Some("private_tmp=disk".into()),
            PrivateTmp::Tmpfs(bytes) => Some(format!("private_tmp={}", bytes_text(bytes))),
        },
        "tmp_keep" => Some(format!("tmp_keep={}", namespaces.tmp_keep.join(","))),
        "private_shm" => namespaces
            .private_shm
            .map(|bytes| format!("private_shm={}", bytes_text(bytes))),
        "propagation" => word(
            namespaces.propagation != Propagation::Slave,
            namespaces.propagation.word(),
        ),
        "user_manager" => word(
            namespaces.user_manager != UserManager::Host,
            namespaces.user_manager.word(),
        ),
        _ => None,
    }
}
