//! Sessions that stay open while something is measured.

use std::fs::File;
use std::io::{Read, Write};

use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, fork};

use crate::pam::{self, WITH, WITHOUT};
use crate::sample::pipes;

/// Open sessions. Dropped, they end.
#[derive(Debug)]
pub struct Crowd {
    logins: Vec<Pid>,
    /// Each login reads here, until nobody can write any more.
    over: File,
    keep: Option<File>,
}

impl Crowd {
    /// None yet.
    pub fn new() -> Crowd {
        let (over, keep) = pipes();
        Crowd {
            logins: Vec::new(),
            over,
            keep: Some(keep),
        }
    }

    /// Opens a session in a process of its own.
    pub fn log_in(&mut self, user: &str) {
        self.log_in_by(WITH, user);
    }

    /// The same without Berth.
    pub fn log_in_without_berth(&mut self, user: &str) {
        self.log_in_by(WITHOUT, user);
    }

    fn log_in_by(&mut self, service: &str, user: &str) {
        let (mut opened, mut say_opened) = pipes();
        // SAFETY: as in sample.rs.
        match unsafe { fork() }.expect("fork") {
            ForkResult::Child => {
                drop((opened, self.keep.take()));
                let session = pam::open(service, user);
                let said = say_opened.write_all(&[u8::from(session.is_ok())]);
                // The end of file ends all sessions.
                let waited = self.over.read(&mut [0]);
                drop((said, waited));
                if let Ok(session) = session {
                    session.close();
                }
                // SAFETY: ends the process without running what its parent registered.
                unsafe { libc::_exit(0) }
            }
            ForkResult::Parent { child } => self.logins.push(child),
        }
        drop(say_opened);
        let mut one = [0];
        opened.read_exact(&mut one).expect("a login");
        assert_eq!(one, [1], "a login failed");
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.logins.len()
    }

    /// Whether this process is one that logged in.
    pub fn has(&self, process: i32) -> bool {
        self.logins.iter().any(|login| login.as_raw() == process)
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.keep.take();
        for login in self.logins.drain(..) {
            waitpid(login, None).expect("wait");
        }
    }
}
