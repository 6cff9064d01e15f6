//! A system of its own for the verbs about the policy, below a folder of the test's.

// Each test uses what it needs of it.
#![allow(dead_code)]

use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

#[path = "../ran/mod.rs"]
pub mod ran;

pub use ran::{Ran, needs_root};

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A system of its own: what `--root` names.
pub struct System {
    pub root: PathBuf,
}

impl System {
    pub fn new(policy: &str) -> System {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("berth-cli-{}-{number}", std::process::id());
        let root = std::env::temp_dir().join(name);
        std::fs::create_dir_all(root.join("etc/berth")).unwrap();
        let system = System { root };
        system.edit(policy);
        system
    }

    pub fn policy(&self) -> PathBuf {
        self.root.join("etc/berth/policy.toml")
    }

    pub fn edit(&self, policy: &str) {
        std::fs::write(self.policy(), policy).unwrap();
    }

    pub fn berth(&self, verb: &str, arguments: &[&str]) -> Ran {
        let root = self.root.to_str().unwrap();
        let mut all = vec![verb, "--root", root];
        all.extend(arguments);
        berth(&all)
    }
}

impl Drop for System {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.root).unwrap();
    }
}

pub fn berth(arguments: &[&str]) -> Ran {
    let mut berth = Command::new(env!("CARGO_BIN_EXE_berth"));
    Ran::of(berth.args(arguments).env_remove("SUDO_USER"))
}

pub fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap()
}

/// Runs berth with files of its own mounted on some of the machine's, and only for it.
pub fn with_files(system: &System, files: &[(&str, &str)], arguments: &[&str]) -> Ran {
    let mut mounts = String::new();
    for (nth, (over, text)) in files.iter().enumerate() {
        let file = system.root.join(format!("over-{nth}"));
        std::fs::write(&file, text).unwrap();
        mounts.push_str(&format!("mount --bind {} {over} && ", file.display()));
    }
    let script = format!("{mounts} exec \"$@\"");
    let mut berth = Command::new("unshare");
    berth.args(["--mount", "sh", "-c", &script, "sh"]);
    Ran::of(berth.arg(env!("CARGO_BIN_EXE_berth")).args(arguments))
}
