//! A policy written to a folder of its own, and a machine to check it on.
#![allow(dead_code)] // not every test needs all of it

use std::path::PathBuf;

use berth_config::{Checked, Diagnostic, Login, Machine, PamStack, Policy, Trust, check_files};

#[path = "../../../tests/src/own_folder.rs"]
mod own_folder;

use own_folder::Folder;

pub struct Written {
    pub folder: Folder,
}

impl Written {
    pub fn new(text: &str) -> Written {
        let written = Written {
            folder: Folder::new(),
        };
        std::fs::write(written.path(), text).unwrap();
        written
    }

    pub fn path(&self) -> PathBuf {
        self.folder.join("policy.toml")
    }

    pub fn check(&self) -> Checked {
        check_files(&[self.path()], Trust::Anybody, None).unwrap()
    }

    pub fn check_on(&self, site: &Site) -> Checked {
        check_files(&[self.path()], Trust::Anybody, Some(site)).unwrap()
    }
}

/// A policy of which there is nothing to say, without its first line.
#[track_caller]
pub fn policy(text: &str) -> Policy {
    let checked = Written::new(&format!("version = 1\n{text}")).check();
    assert_eq!(checked.diagnostics, []);
    checked.policy.unwrap()
}

/// A diagnostic in one line.
pub fn short(diagnostic: &Diagnostic) -> String {
    let mut text = match &diagnostic.place {
        Some(place) => format!("{}:{} ", place.line, place.column),
        None => String::new(),
    };
    text.push_str(&format!("{} | {}", diagnostic.message, diagnostic.label));
    for note in &diagnostic.notes {
        text.push_str(&format!(" | {note}"));
    }
    text
}

/// A machine with 64G, 16 CPUs, and what a test says.
#[derive(Default)]
pub struct Site {
    pub systemd: bool,
    pub users: Vec<&'static str>,
    pub groups: Vec<&'static str>,
    /// How often it was asked for a group.
    pub asked: std::cell::Cell<u32>,
    pub without_berth: Vec<&'static str>,
    pub refuse_only: Vec<&'static str>,
    pub sudoers: Vec<Login>,
    pub accounting_problem: Option<&'static str>,
    pub program_problem: Option<&'static str>,
}

impl berth_config::Site for Site {
    fn systemd(&self) -> bool {
        self.systemd
    }
    fn has_user(&self, name: &str) -> bool {
        self.users.contains(&name)
    }
    fn has_group(&self, name: &str) -> bool {
        self.asked.set(self.asked.get() + 1);
        self.groups.contains(&name)
    }
    fn pam_stack(&self, service: &str) -> PamStack {
        match (&self.without_berth, &self.refuse_only) {
            (without, _) if without.contains(&service) => PamStack::WithoutBerth,
            (_, refuse) if refuse.contains(&service) => PamStack::RefusesOnly,
            _ => PamStack::Absent,
        }
    }
    fn pam_services(&self) -> Vec<String> {
        ["sshd", "cron", "su"].map(String::from).into()
    }
    fn sudoers(&self) -> Vec<Login> {
        self.sudoers.clone()
    }
    fn machine(&self) -> Option<Machine> {
        Some(machine())
    }
    fn files_max(&self) -> Option<u64> {
        Some(1 << 20)
    }
    fn accounting_problem(&self, _: &std::path::Path) -> Option<String> {
        self.accounting_problem.map(String::from)
    }
    fn program_problem(&self, _: &berth_config::value::PathGlob) -> Option<String> {
        self.program_problem.map(String::from)
    }
    fn path_problem(&self, path: &std::path::Path) -> Option<String> {
        path.starts_with("/home").then(|| "it is somebody's".into())
    }
    fn disk_problem(&self, path: &std::path::Path) -> Option<String> {
        path.starts_with("/nfs").then(|| "it has no disk".into())
    }
}

pub fn machine() -> Machine {
    use berth_config::value::IdSet;
    Machine {
        memory: 64 << 30,
        cpus: IdSet::parse("0-15").unwrap(),
        memory_nodes: IdSet::parse("0-1").unwrap(),
        tasks: 32_768,
    }
}

/// A login by sshd of a user in some groups, the first of which is the primary one.
pub fn login(user: &str, uid: u32, groups: &[&str]) -> Login {
    let groups: Vec<_> = groups
        .iter()
        .zip(100..)
        .map(|(name, gid)| berth_config::Group {
            gid,
            name: (*name).to_owned(),
        })
        .collect();
    Login {
        user: user.into(),
        uid,
        gid: 100,
        groups,
        service: "sshd".into(),
        tty: "ssh".into(),
        rhost: "192.0.2.7".into(),
        ruser: String::new(),
        host: "lab1".into(),
        at: None,
    }
}
