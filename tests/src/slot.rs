//! Which UIDs a test uses: a slot of the range, held by a lock for as long as the test's machine lives.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::PathBuf;

use nix::fcntl::{Flock, FlockArg};

/// The first UID of the first slot: above what a system gives to accounts, below the dynamic users.
const FIRST_UID: u32 = 20_000;
/// How many UIDs a test may use.
pub const UIDS: u32 = 64;
/// How many tests may run at once.
const SLOTS: u32 = 400;

/// A range of UIDs that no other running test uses.
#[derive(Debug)]
pub struct Slot {
    number: u32,
    _lock: Flock<File>,
}

impl Slot {
    /// Takes the first free slot.
    pub fn take() -> io::Result<Slot> {
        let directory = PathBuf::from("/run/lock/berth-tests");
        std::fs::create_dir_all(&directory)?;
        for number in 0..SLOTS {
            let file = OpenOptions::new()
                .create(true)
                .truncate(false)
                .write(true)
                .open(directory.join(number.to_string()))?;
            if let Ok(lock) = Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                return Ok(Slot {
                    number,
                    _lock: lock,
                });
            }
        }
        Err(io::Error::other("every range of test UIDs is in use"))
    }

    /// The first of the slot's UIDs.
    pub fn first_uid(&self) -> u32 {
        FIRST_UID + self.number * UIDS
    }
}
