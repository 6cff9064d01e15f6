//! Which UIDs a test uses: a slot of the range, held by a lock for as long as the test's machine lives.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::PathBuf;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::unistd::{Uid, User};

/// The first UID of the first slot: above what a system gives to accounts itself, below the dynamic users. A directory may give
/// them all the same.
const FIRST_UID: u32 = 20_000;
/// How many UIDs a test may use.
pub const UIDS: u32 = 64;
/// How many tests may run at once.
const SLOTS: u32 = 400;

/// A range of UIDs that no other running test uses, and nobody else.
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
            let Ok(lock) = Flock::lock(file, FlockArg::LockExclusiveNonblock) else {
                continue;
            };
            let slot = Slot {
                number,
                _lock: lock,
            };
            if !slot.is_of_accounts()? {
                return Ok(slot);
            }
        }
        Err(io::Error::other("every range of test UIDs is in use"))
    }

    /// Whether any of its UIDs is somebody's, whose sessions and whose share of what the kernel counts are not the test's.
    fn is_of_accounts(&self) -> io::Result<bool> {
        for uid in self.first_uid()..self.first_uid() + UIDS {
            match User::from_uid(Uid::from_raw(uid)) {
                Ok(Some(_)) => return Ok(true),
                // The second where there is no file of accounts, in a guest.
                Ok(None) | Err(Errno::ENOENT) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(false)
    }

    /// The first of the slot's UIDs.
    pub fn first_uid(&self) -> u32 {
        FIRST_UID + self.number * UIDS
    }
}
