//! What logins came to, counted since boot, for `berth metrics`.
//!
//! The file has a few slots, each with every counter. Who counts takes the lock of a slot that nobody holds, and writes
//! the slot in one call: nobody waits, a process that is killed in the middle lets go of its lock with the kernel's help,
//! and what a stopped one holds is one slot. The counts are the sums over the slots. Whatever goes wrong costs
//! the count, and never the login.

mod words;

pub use words::{Cause, LoginResult};

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc;

use crate::Result;
use crate::regular::read_if_there;

/// In /run, so that a boot begins anew; not in [`crate::STATE`], which somebody may remove while the machine is up.
const FILE: &str = "/run/berth-counters";

/// As many can count in the same microseconds. All slots together are one page: none is without room where another has.
const SLOTS: usize = 8;

/// Numbers in a slot.
const WORDS: usize = 64;

/// Of a slot, in bytes.
const SIZE: usize = WORDS * 8;

/// Counts changes of what is in a slot. One of another version is begun anew.
const LAYOUT: u64 = 2;

/// Where in a slot what stands: the layout, when the slot was begun (milliseconds since 1970), and the counters.
const CREATED: usize = 1;
const SUM: usize = 2;
const OUTCOMES: usize = 3;
const CAUSES: usize = OUTCOMES + LoginResult::WORDS.len();
const TIMES: usize = CAUSES + Cause::WORDS.len();
const _: () = assert!(TIMES + BOUNDS.len() < WORDS && SLOTS * SIZE <= 4096);

/// The upper bounds of the set-up times that are counted together, in microseconds; beyond the last there is one more.
pub const BOUNDS: [u64; 13] = [
    1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    5_000_000, 10_000_000,
];

/// The counters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counters {
    words: [u64; WORDS],
}

impl Counters {
    /// Counts a login that has a session, `took` after its request.
    pub fn count_opened(took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let time = BOUNDS.partition_point(|bound| us > *bound);
        count_in(
            Path::new(FILE),
            &[
                (OUTCOMES + LoginResult::Ok as usize, 1),
                (TIMES + time, 1),
                (SUM, us),
            ],
        );
    }

    /// Counts a login that has none.
    pub fn count(outcome: LoginResult) {
        count_in(Path::new(FILE), &[(OUTCOMES + outcome as usize, 1)]);
    }

    /// Counts one that has none because something failed.
    pub fn count_failure(outcome: LoginResult, cause: Cause) {
        let words = [
            (OUTCOMES + outcome as usize, 1),
            (CAUSES + cause as usize, 1),
        ];
        count_in(Path::new(FILE), &words);
    }

    /// What was counted. Nothing was, where there is no file.
    pub fn read() -> Result<Counters> {
        Counters::read_from(Path::new(FILE))
    }

    fn read_from(path: &Path) -> Result<Counters> {
        let mut sums = [0_u64; WORDS];
        let mut bytes = read_if_there(path)?.unwrap_or_default();
        bytes.resize(SLOTS * SIZE, 0);
        for slot in bytes.chunks_exact(SIZE).map(words) {
            let created = slot.get(CREATED).copied().unwrap_or_default();
            if slot.first() != Some(&LAYOUT) {
                continue;
            }
            for (at, (sum, word)) in sums.iter_mut().zip(slot).enumerate() {
                if at == CREATED && (*sum == 0 || created < *sum) {
                    *sum = created;
                } else if at > CREATED {
                    *sum = sum.saturating_add(word);
                }
            }
        }
        Ok(Counters { words: sums })
    }

    /// Since when is counted; `None` if nothing was.
    pub fn created(&self) -> Option<SystemTime> {
        let created = self.word(CREATED);
        (created > 0).then(|| UNIX_EPOCH.checked_add(Duration::from_millis(created)))?
    }

    /// How many logins came to this.
    pub fn outcome(&self, outcome: LoginResult) -> u64 {
        self.word(OUTCOMES + outcome as usize)
    }

    /// How many logins failed by this.
    pub fn cause(&self, cause: Cause) -> u64 {
        self.word(CAUSES + cause as usize)
    }

    /// How many logins took no longer than each of [`BOUNDS`] and more than the one before, and at the end how many took
    /// longer than all.
    pub fn times(&self) -> impl Iterator<Item = u64> + '_ {
        (TIMES..=TIMES + BOUNDS.len()).map(|at| self.word(at))
    }

    /// What all set-ups took together.
    pub fn time(&self) -> Duration {
        Duration::from_micros(self.word(SUM))
    }

    fn word(&self, at: usize) -> u64 {
        self.words.get(at).copied().unwrap_or_default()
    }
}

/// Adds to counters. That may fail, and then it was not to be.
fn count_in(path: &Path, added: &[(usize, u64)]) {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        // Nobody but root may open it: whoever can open a file can lock it.
        .mode(0o600)
        .custom_flags(flags.bits())
        .open(path);
    let Ok(file) = file else { return };
    // Those who come together begin at different slots.
    let first = std::process::id() as usize;
    let free = (0..SLOTS)
        .map(|nth| first.wrapping_add(nth) % SLOTS)
        .find(|slot| lock(&file, *slot).is_ok());
    if let Some(slot) = free {
        let _ = add(&file, slot, added);
    }
    // The lock goes with the descriptor.
}

/// Takes a slot's lock, of this open file and not of the process; fails at once if another has it.
fn lock(file: &File, slot: usize) -> nix::Result<()> {
    let lock = libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: (slot * SIZE) as libc::off_t,
        l_len: SIZE as libc::off_t,
        l_pid: 0,
    };
    fcntl(file.as_fd(), FcntlArg::F_OFD_SETLK(&lock)).map(drop)
}

fn add(file: &File, slot: usize, added: &[(usize, u64)]) -> io::Result<()> {
    let at = (slot * SIZE) as u64;
    let mut bytes = [0; SIZE];
    // One that was never written may lie behind the file's end.
    let _ = file.read_at(&mut bytes, at)?;
    let mut slot = words(&bytes);
    if slot.first() != Some(&LAYOUT) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.map_or(0, |now| now.as_millis() as u64);
        slot = [0; WORDS];
        for (to, word) in slot.iter_mut().zip([LAYOUT, now]) {
            *to = word;
        }
    }
    for (at, more) in added {
        if let Some(word) = slot.get_mut(*at) {
            *word = word.saturating_add(*more);
        }
    }
    for (to, word) in bytes.chunks_exact_mut(8).zip(slot) {
        to.copy_from_slice(&word.to_ne_bytes());
    }
    // Within a page, so whole or not at all, whoever is killed and whoever reads.
    file.write_at(&bytes, at).map(drop)
}

fn words(bytes: &[u8]) -> [u64; WORDS] {
    let mut words = [0; WORDS];
    for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(8)) {
        *word = bytes.try_into().map_or(0, u64::from_ne_bytes);
    }
    words
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::path::PathBuf;

    use super::*;
    use crate::own_folder::Folder;

    const OK: usize = OUTCOMES + LoginResult::Ok as usize;

    /// A file that is removed at the end.
    struct Here(PathBuf, #[allow(dead_code)] Folder);

    impl Here {
        fn new() -> Here {
            let folder = Folder::new();
            Here(folder.join("counters"), folder)
        }

        fn count(&self) {
            count_in(&self.0, &[(OK, 1)]);
        }

        fn ok(&self) -> u64 {
            Counters::read_from(&self.0)
                .unwrap()
                .outcome(LoginResult::Ok)
        }
    }

    #[test]
    fn each_counter_has_a_place_of_its_own() {
        let here = Here::new();
        assert_eq!(Counters::read_from(&here.0).unwrap().created(), None);
        for (nth, (outcome, _)) in LoginResult::WORDS.into_iter().enumerate() {
            count_in(&here.0, &[(OUTCOMES + outcome as usize, nth as u64 + 1)]);
        }
        for (nth, (cause, _)) in Cause::WORDS.into_iter().enumerate() {
            count_in(&here.0, &[(CAUSES + cause as usize, nth as u64 + 100)]);
        }
        for nth in 0..=BOUNDS.len() {
            count_in(&here.0, &[(TIMES + nth, nth as u64 + 1000)]);
        }
        let counters = Counters::read_from(&here.0).unwrap();
        let outcomes: Vec<u64> = LoginResult::WORDS
            .map(|(one, _)| counters.outcome(one))
            .into();
        assert_eq!(outcomes, (1..=5).collect::<Vec<_>>());
        let causes: Vec<u64> = Cause::WORDS.map(|(one, _)| counters.cause(one)).into();
        assert_eq!(causes, (100..118).collect::<Vec<_>>());
        assert!(counters.times().eq(1000..1014));
        assert!(counters.created().unwrap() <= SystemTime::now());
        let mut words: Vec<_> = Cause::WORDS.map(|(_, word)| word).into();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), Cause::WORDS.len());
    }

    #[test]
    fn many_at_once_lose_nothing_while_there_are_slots() {
        let here = Here::new();
        std::thread::scope(|scope| {
            for _ in 0..SLOTS / 2 {
                scope.spawn(|| (0..500).for_each(|_| here.count()));
            }
        });
        assert_eq!(here.ok(), 4 * 500);
        assert_eq!(std::fs::metadata(&here.0).unwrap().len() % 512, 0);
    }

    #[test]
    fn who_holds_a_slot_holds_up_nobody() {
        let here = Here::new();
        here.count();
        let held: Vec<File> = (0..SLOTS)
            .map(|slot| {
                let file = File::options().read(true).write(true).open(&here.0);
                let file = file.unwrap();
                lock(&file, slot).unwrap();
                if slot == SLOTS - 2 {
                    here.count(); // The last one is free.
                }
                file
            })
            .collect();
        assert_eq!(here.ok(), 2);
        here.count(); // Lost, and at once.
        assert_eq!(here.ok(), 2);
        drop(held);
        here.count();
        assert_eq!(here.ok(), 3);
    }

    #[test]
    fn a_file_that_cannot_be_written_costs_the_count_alone() {
        let (here, other) = (Here::new(), Here::new());
        std::fs::write(&other.0, "mine").unwrap();
        symlink(&other.0, &here.0).unwrap();
        here.count();
        assert_eq!(std::fs::read(&other.0).unwrap(), b"mine");
        count_in(Path::new("/no/such/folder"), &[(OK, 1)]);
        count_in(Path::new("/dev/full"), &[(OK, 1)]);
        assert!(Counters::read_from(Path::new("/dev/null")).is_err());
        assert!(Counters::read_from(Path::new("/")).is_err());
    }

    #[test]
    fn a_damaged_file_is_begun_anew() {
        let here = Here::new();
        std::fs::write(&here.0, [0xff; 5000]).unwrap();
        assert_eq!(here.ok(), 0);
        here.count();
        assert_eq!(here.ok(), 1);
    }
}
