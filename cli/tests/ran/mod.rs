//! What a program said, who runs it, and a folder for it.

// Each test uses what it needs of it.
#![allow(dead_code)]

use std::process::{Command, Output};

use serde_json::Value;

#[path = "../../../tests/src/own_folder.rs"]
mod own_folder;

pub use own_folder::Folder;

/// How it ended, and what it said.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Ran {
    pub fn of(command: &mut Command) -> Ran {
        command.output().unwrap().into()
    }

    /// What a program printed that must succeed.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.out
    }

    /// What a program printed as JSON, however it ended.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Ran {
        Ran {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// What is put before a command for this user to run it.
pub fn somebody(uid: u32) -> String {
    format!("setpriv --reuid={uid} --regid={uid} --clear-groups")
}

/// Files of anybody else's are refused, and nobody else can make a mount namespace.
#[track_caller]
pub fn needs_root() {
    assert!(
        nix::unistd::geteuid().is_root(),
        "this test must be run by root"
    );
}
