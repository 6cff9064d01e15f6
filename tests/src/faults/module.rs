//! Where the module is in the memory of the program that has loaded it.

use std::fs;
use std::process::Command;

use nix::unistd::Pid;

use super::point::Place;

/// The module's file.
pub const FILE: &str = "/berth/libpam_berth.so";

/// The functions that make system calls.
const FUNCTIONS: [(&str, Place); 3] = [
    ("pam_sm_acct_mgmt", Place::Account),
    ("pam_sm_open_session", Place::Open),
    ("pam_sm_close_session", Place::Close),
];

/// Where the module's functions begin in its file.
#[derive(Debug, Clone, Copy)]
pub struct Module {
    functions: [(u64, Place); 3],
}

impl Module {
    /// Asks nm(1).
    pub fn read() -> Module {
        let said = Command::new("nm").args(["-D", FILE]).output().expect("nm");
        let said = String::from_utf8_lossy(&said.stdout);
        let offset = |name: &str| {
            let mut lines = said.lines().map(|line| line.split_whitespace());
            let line = lines.find(|line| line.clone().nth(2) == Some(name));
            let offset = line.and_then(|mut line| u64::from_str_radix(line.next()?, 16).ok());
            offset.unwrap_or_else(|| panic!("the module has no {name}: {said}"))
        };
        Module {
            functions: FUNCTIONS.map(|(name, place)| (offset(name), place)),
        }
    }

    /// Where they begin in a program, if the module's text is mapped by now.
    pub fn functions_in(&self, pid: Pid) -> Option<[(u64, Place); 3]> {
        let maps = fs::read_to_string(format!("/proc/{pid}/maps")).ok()?;
        let mut own = maps.lines().filter(|line| line.ends_with(FILE));
        // The first page of the file is where the others are counted from; the text comes after it.
        let base = own.next()?.split('-').next()?;
        let base = u64::from_str_radix(base, 16).ok()?;
        own.find(|line| line.contains(" r-xp "))?;
        Some(self.functions.map(|(offset, place)| (base + offset, place)))
    }
}
