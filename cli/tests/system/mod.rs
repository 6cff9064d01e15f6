//! A system of its own for the verbs about the policy, below a folder of the test's.

// Each test uses what it needs of it.
#![allow(dead_code)]

use std::path::PathBuf;
use std::process::Command;

#[path = "../ran/mod.rs"]
pub mod ran;

pub use ran::{Folder, Ran, needs_root};

/// A system of its own: what `--root` names.
pub struct System {
    pub root: Folder,
}

impl System {
    pub fn new(policy: &str) -> System {
        let system = System {
            root: Folder::new(),
        };
        system.edit(policy);
        system
    }

    pub fn policy(&self) -> PathBuf {
        self.root.join("etc/berth/policy.toml")
    }

    pub fn edit(&self, policy: &str) {
        self.root.write("etc/berth/policy.toml", policy);
    }

    pub fn berth(&self, verb: &str, arguments: &[&str]) -> Ran {
        let root = self.root.to_str().unwrap();
        let mut all = vec![verb, "--root", root];
        all.extend(arguments);
        berth(&all)
    }
}

pub fn berth(arguments: &[&str]) -> Ran {
    let mut berth = Command::new(env!("CARGO_BIN_EXE_berth"));
    Ran::of(berth.args(arguments).env_remove("SUDO_USER"))
}

/// Runs berth with files of its own mounted on some of the machine's, and only for it.
pub fn with_files(system: &System, files: &[(&str, &str)], arguments: &[&str]) -> Ran {
    let mut mounts = String::new();
    for (nth, (over, text)) in files.iter().enumerate() {
        let file = system.root.write(format!("over-{nth}"), text);
        mounts.push_str(&format!("mount --bind {} {over} && ", file.display()));
    }
    let script = format!("{mounts} exec \"$@\"");
    let mut berth = Command::new("unshare");
    berth.args(["--mount", "sh", "-c", &script, "sh"]);
    Ran::of(berth.arg(env!("CARGO_BIN_EXE_berth")).args(arguments))
}
