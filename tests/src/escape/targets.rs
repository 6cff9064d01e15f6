//! What the attempts aim at: names and values that the stage has written down.

use std::collections::BTreeMap;
use std::path::PathBuf;

use nix::unistd::Pid;

/// Where the stage writes them, in the shell's language.
pub const FILE: &str = "/berth/targets";

/// The names and values.
#[derive(Debug, Clone)]
pub struct Targets(BTreeMap<String, String>);

impl Targets {
    /// Reads them. What stands in the environment counts more.
    pub fn read() -> Targets {
        let text = std::fs::read_to_string(FILE).unwrap_or_default();
        let lines = text.lines().filter_map(|line| line.split_once('='));
        let mut all: BTreeMap<String, String> = lines
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        all.extend(std::env::vars());
        Targets(all)
    }

    /// The same, with a number that was found here, unless the stage has named one.
    pub fn with(&self, name: &str, number: Option<i32>) -> Targets {
        let mut all = self.0.clone();
        let number = number.map_or(String::new(), |number| number.to_string());
        all.entry(name.into()).or_insert(number);
        Targets(all)
    }

    /// What a shell is to have in its environment.
    pub fn all(&self) -> impl Iterator<Item = (&String, &String)> {
        self.0.iter()
    }

    /// A value, empty if it is not there.
    pub fn text(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// A path.
    pub fn path(&self, name: &str) -> PathBuf {
        PathBuf::from(self.text(name))
    }

    /// A number. Without one there is nothing to aim at.
    pub fn number(&self, name: &str) -> u32 {
        let text = self.text(name);
        text.parse().unwrap_or_else(|_| panic!("{name}={text}"))
    }

    /// A process.
    pub fn pid(&self, name: &str) -> Pid {
        Pid::from_raw(i32::try_from(self.number(name)).expect("a PID"))
    }

    /// A file of a process's under /proc.
    pub fn file(&self, process: &str, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{name}", self.number(process)))
    }
}
