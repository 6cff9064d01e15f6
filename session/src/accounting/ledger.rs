//! The accounting file: a line of JSON for each session that has ended, the last at its end.
//!
//! Beside `FILE` stand `FILE.SECONDS`, those that were full, by when they were set aside (seconds since 1970), and
//! `FILE.lock`, which whoever changes any of them holds. It is a file of its own because it must never be renamed. In it
//! stands when one was last found too old.
//!
//! Whoever appends may be killed at any point, and the disk may be full: what comes of it is a line without an
//! end at the end of `FILE`, behind which the next one begins anew, or no `FILE`, which the next one makes.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::ops::ControlFlow;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::errno::Errno;
use nix::fcntl::{Flock, OFlag};

use crate::lock::lock_until;
use crate::regular::{entries, file_id, open_if_there};
use crate::{Entry, Error, Result};

/// How long whoever appends waits for the others. Each holds the lock for one line; one whose disk hangs
/// must not hold up all that come after.
const PATIENCE: Duration = Duration::from_secs(10);

/// Every line is shorter: each of its texts has a bound. What is not shorter is none of ours.
const LONGEST_LINE: u64 = 64 << 10;

/// How much is read at a time.
const READ: usize = 1 << 20;

/// The accounting file, and when it is full.
#[derive(Debug, Clone)]
pub struct Ledger {
    /// `FILE`.
    pub file: PathBuf,
    /// Past this size, in bytes, it is set aside.
    pub max_size: u64,
    /// How long it is then kept.
    pub keep: Duration,
}

impl Ledger {
    /// Adds a line.
    pub fn append(&self, entry: &Entry<'_>) -> Result<()> {
        let line = serde_json::to_vec(entry).map_err(|error| self.error("encode for", error))?;
        let lock = self.lock()?;
        // Not earlier: no session in a file that is set aside ended after that.
        let now = SystemTime::now();
        let full = |size: u64| size > 0 && size.saturating_add(line.len() as u64) > self.max_size;
        let set_aside = match fs::metadata(&self.file) {
            Ok(file) if full(file.size()) => self.set_aside(now),
            _ => Ok(()),
        };
        // Where it cannot be set aside it grows: no record is lost for that.
        let file = open(&self.file, 0o640)?;
        write_line(&file, &line).map_err(|error| self.error("append to", error))?;
        set_aside?;
        self.remove_old(&lock, now)
    }

    /// One that is only read.
    pub fn to_read(file: PathBuf) -> Ledger {
        Ledger {
            file,
            max_size: 0,
            keep: Duration::MAX,
        }
    }

    /// Shows every record to `each`: those that were set aside after `since` first, and then `FILE` as it was when
    /// this began. Says how many lines are none.
    pub fn read(&self, since: SystemTime, mut each: impl FnMut(&Entry<'_>)) -> Result<u64> {
        // Opened before the look at the folder: should it be set aside in between, it is found there, and known.
        let current = open_if_there(&self.file)?;
        let current_id = current.as_ref().and_then(file_id);
        let mut torn = 0;
        for (at, path) in self.aside()? {
            if at < since {
                continue; // All of its sessions had ended by then.
            }
            if let Some(file) = other(&path, current_id)? {
                let read = read_lines(file, &mut each);
                torn += read.map_err(|error| Error::file("read", &path, error))?;
            }
        }
        if let Some(file) = current {
            torn += read_lines(file, &mut each).map_err(|error| self.error("read", error))?;
        }
        Ok(torn)
    }

    /// Shows records from the last one back, until `each` has seen enough. No more is read than that takes; lines that
    /// are no record are passed over.
    pub fn read_back(&self, mut each: impl FnMut(&Entry<'_>) -> ControlFlow<()>) -> Result<()> {
        // In this order, as in `read`. What is set aside in between is read from where it was then, too.
        let current = open_if_there(&self.file)?;
        let current_id = current.as_ref().and_then(file_id);
        if let Some(file) = &current {
            let read = read_lines_back(file, &mut each);
            if read.map_err(|error| self.error("read", error))?.is_break() {
                return Ok(());
            }
        }
        for (_, path) in self.aside()?.into_iter().rev() {
            let Some(file) = other(&path, current_id)? else {
                continue;
            };
            let read = read_lines_back(&file, &mut each);
            let read = read.map_err(|error| Error::file("read", &path, error))?;
            if read.is_break() {
                break;
            }
        }
        Ok(())
    }

    /// Waits for whoever else appends.
    fn lock(&self) -> Result<Flock<File>> {
        let path = self.beside("lock");
        // Root's alone: whoever can open a file can lock it.
        let file = open(&path, 0o600)?;
        lock_until(file, &path, Instant::now() + PATIENCE)
    }

    /// Gives `FILE` its other name, which nothing has.
    fn set_aside(&self, now: SystemTime) -> Result<()> {
        let since_1970 = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut seconds = since_1970.as_secs();
        let mut to = self.beside(&seconds.to_string());
        while to.exists() {
            seconds = seconds.saturating_add(1);
            to = self.beside(&seconds.to_string());
        }
        fs::rename(&self.file, to).map_err(|error| self.error("set aside", error))
    }

    /// Removes what was set aside long enough ago.
    fn remove_old(&self, lock: &File, now: SystemTime) -> Result<()> {
        let mut aside = self.aside()?;
        aside.retain(|(at, _)| now.duration_since(*at).is_ok_and(|age| age > self.keep));
        if !aside.is_empty() && self.believes(lock, now)? {
            for (_, path) in aside {
                fs::remove_file(&path).map_err(|error| Error::file("remove", &path, error))?;
            }
        }
        Ok(())
    }

    /// Whether the clock is believed: it has gone on since the last look that it told of here, neither for too short a time to
    /// have been set right again nor with a leap. A dead battery's 2099 must not cost all that is kept.
    fn believes(&self, mut lock: &File, now: SystemTime) -> Result<bool> {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        // What is no number is no look either.
        let looked = io::read_to_string(lock.take(32)).unwrap_or_default();
        let since = looked.parse().ok().map(Duration::from_secs);
        let gone_on = since.and_then(|since| now.checked_sub(since));
        if gone_on.is_some_and(|time| time < self.keep / 100) {
            return Ok(false);
        }
        let written = lock.set_len(0);
        written
            .and_then(|()| lock.write_all(now.as_secs().to_string().as_bytes()))
            .map_err(|error| Error::file("write", &self.beside("lock"), error))?;
        Ok(gone_on.is_some_and(|time| time <= self.keep / 10))
    }

    /// What was set aside, and when, the oldest first.
    fn aside(&self) -> Result<Vec<(SystemTime, PathBuf)>> {
        let entries = entries(match self.file.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        })?;
        let name = self.file.file_name().unwrap_or_default().to_string_lossy();
        let time = |found: &str| {
            let seconds = found.strip_prefix(&*name)?.strip_prefix('.')?;
            let digits = seconds.bytes().all(|byte| byte.is_ascii_digit());
            let seconds = seconds.parse().ok().filter(|_| digits)?;
            UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
        };
        let mut aside: Vec<_> = entries
            .into_iter()
            .filter_map(|entry| Some((time(entry.file_name().to_str()?)?, entry.path())))
            .collect();
        aside.sort();
        Ok(aside)
    }

    fn beside(&self, extension: &str) -> PathBuf {
        let mut path = self.file.clone().into_os_string();
        path.push(".");
        path.push(extension);
        path.into()
    }

    fn error(&self, action: &str, source: impl Into<io::Error>) -> Error {
        Error::file(action, &self.file, source)
    }
}

/// Opens a file for appending, or makes it. Not one that others could have put there, nor a link or a FIFO.
fn open(path: &Path, mode: u32) -> Result<File> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let open = || {
        let file = OpenOptions::new()
            .read(true) // its last byte
            .append(true)
            .create(true)
            .mode(mode)
            .custom_flags(flags.bits())
            .open(path)?;
        let found = file.metadata()?;
        let own = found.uid() == nix::unistd::geteuid().as_raw() && found.mode() & 0o022 == 0;
        match found.is_file() && own {
            true => Ok(file),
            false => Err(io::Error::other(
                "it must be a regular file of root's that nobody else may write to",
            )),
        }
    };
    open().map_err(|error| Error::file("open", path, error))
}

/// Writes a line whole, in one call, behind whatever a writer before did not finish.
fn write_line(mut file: &File, line: &[u8]) -> io::Result<()> {
    let size = file.metadata()?.size();
    let mut bytes = Vec::with_capacity(line.len() + 2);
    if let Some(last) = size.checked_sub(1) {
        let mut byte = [0];
        file.read_exact_at(&mut byte, last)?;
        if byte != *b"\n" {
            bytes.push(b'\n');
        }
    }
    bytes.extend_from_slice(line);
    bytes.push(b'\n');
    let written = file.write(&bytes)?;
    if written == bytes.len() {
        return Ok(());
    }
    // A part of a line is of no use. If it cannot be taken back, the next line begins anew.
    let _ = file.set_len(size);
    Err(io::Error::from(Errno::ENOSPC))
}

/// Opens a file that was set aside, unless it was too old just now, or is the one that this is known by.
fn other(path: &Path, known: Option<(u64, u64)>) -> Result<Option<File>> {
    Ok(open_if_there(path)?.filter(|file| file_id(file) != known))
}

/// Shows the records of a file from the last one back.
fn read_lines_back(
    file: &File,
    each: &mut impl FnMut(&Entry<'_>) -> ControlFlow<()>,
) -> io::Result<ControlFlow<()>> {
    let mut end = file.metadata()?.size();
    // The rest of the line that begins before what was read last, and whether it is too long to be one, and not kept.
    let (mut rest, mut cut) = (Vec::new(), false);
    while end > 0 {
        let start = end.saturating_sub(LONGEST_LINE);
        let length = usize::try_from(end - start).unwrap_or(0);
        let mut text = vec![0; length];
        file.read_exact_at(&mut text, start)?;
        if !cut {
            text.append(&mut rest);
        }
        let newline = text.iter().position(|byte| *byte == b'\n');
        let whole = match newline {
            _ if start == 0 => 0,
            Some(first) => first + 1,
            None => text.len(),
        };
        let (begun, whole) = text.split_at_checked(whole).unwrap_or_default();
        let lines = whole.rsplit(|byte| *byte == b'\n');
        // The beginning of one that was cut is no line either.
        for line in lines.skip(usize::from(cut)) {
            if is_too_long(line) {
                continue;
            }
            if let Ok(entry) = serde_json::from_slice(line) {
                if each(&entry).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
        cut = is_too_long(begun.strip_suffix(b"\n").unwrap_or(begun)) || cut && newline.is_none();
        rest = begun.to_vec();
        end = start;
    }
    Ok(ControlFlow::Continue(()))
}

fn is_too_long(line: &[u8]) -> bool {
    line.len() as u64 >= LONGEST_LINE
}

/// Shows the records of a file, and says how many of its lines are none.
fn read_lines(file: File, each: &mut impl FnMut(&Entry<'_>)) -> io::Result<u64> {
    let mut reader = BufReader::with_capacity(READ, file);
    let mut line = Vec::new();
    let mut torn = 0;
    let mut inside = false; // of a line that is longer than any of ours
    loop {
        line.clear();
        if (&mut reader)
            .take(LONGEST_LINE)
            .read_until(b'\n', &mut line)?
            == 0
        {
            return Ok(torn);
        }
        let begun = inside;
        inside = line.last() != Some(&b'\n');
        match serde_json::from_slice(&line) {
            _ if begun => {}
            Ok(entry) if !(inside && is_too_long(&line)) => each(&entry),
            _ => torn += 1,
        }
    }
}
