//! Where Berth's lines are: systemd's journal, or a file of a syslog daemon's.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use berth_session::{file_id, open_file};
use serde_json::Value;

use super::entry::{of_journal, of_syslog, text};
use super::event::Event;
use crate::caller;
use crate::exit::{Exit, not_so};

/// There if journald takes messages.
const JOURNAL: &str = "/run/systemd/journal/socket";

/// Where syslog daemons have AUTHPRIV: Debian's, EL's.
const FILES: [&str; 2] = ["/var/log/auth.log", "/var/log/secure"];

/// The facility of Berth's lines and of every PAM module's, by its number (syslog(3)).
const AUTHPRIV: &str = "SYSLOG_FACILITY=10";

/// The helper's lines and the command's, and not the module's.
const OF_BERTH: &str = "SYSLOG_IDENTIFIER=berth";

/// How long until a file is looked at again.
const AGAIN: Duration = Duration::from_millis(250);

/// How much of a file is its end.
const END: u64 = 1 << 20;

/// A log.
#[derive(Debug)]
pub enum Source {
    Journal,
    File(PathBuf),
}

/// A place in a log.
#[derive(Debug)]
pub enum Place {
    /// In the journal, where nothing of Berth's is yet.
    Time(SystemTime),
    /// Behind this entry of the journal.
    Cursor(String),
    /// Behind what was read of the file.
    Behind(Growing),
}

/// A file that a syslog daemon writes.
#[derive(Debug)]
pub struct Growing {
    path: PathBuf,
    log: BufReader<File>,
    /// One that is still being written.
    line: Vec<u8>,
}

/// What a program prints, for as long as this is there. Its end is an error if the program failed.
struct Output {
    name: &'static str,
    lines: ChildStdout,
    program: Child,
}

impl Read for Output {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.lines.read(buffer)?;
        if length == 0 && !buffer.is_empty() {
            let status = self.program.wait()?;
            if !status.success() {
                return Err(io::Error::other(format!("{}: {status}", self.name)));
            }
        }
        Ok(length)
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        let _ = self.program.kill(); // It may have ended.
        let _ = self.program.wait();
    }
}

/// The last events that are wanted: no more are kept, however many a log has.
struct Last<F> {
    most: usize,
    wanted: F,
    events: VecDeque<Event>,
}

impl<F: Fn(&Event) -> bool> Last<F> {
    fn new(most: usize, wanted: F) -> Last<F> {
        Last {
            most,
            wanted,
            events: VecDeque::new(),
        }
    }

    /// The next one.
    fn push(&mut self, event: Option<Event>) {
        self.events.extend(event.filter(&self.wanted));
        if self.events.len() > self.most {
            self.events.pop_front();
        }
    }

    /// Those of a journal that begins with the last. What is before those that are wanted is not read.
    fn backwards(&mut self, log: impl Read, mut look: impl FnMut(&Value)) -> io::Result<()> {
        for line in lines(log) {
            let entry = serde_json::from_str(&line?).unwrap_or_default();
            look(&entry);
            if self.events.len() >= self.most {
                break;
            }
            let event = of_journal(&entry).filter(&self.wanted);
            event
                .into_iter()
                .for_each(|event| self.events.push_front(event));
        }
        Ok(())
    }
}

impl Source {
    /// The file that is named, or this machine's log.
    pub fn find(file: Option<&Path>) -> Result<Source, Exit> {
        if let Some(file) = file {
            return Ok(Source::File(file.into()));
        }
        caller::only_root("see what happened to everybody")?;
        Source::here().ok_or_else(|| {
            not_so(format!(
                "no log: there is no journald, and none of {} (a syslog daemon's)",
                FILES.join(", ")
            ))
        })
    }

    /// This machine's log.
    fn here() -> Option<Source> {
        if Path::new(JOURNAL).exists() {
            return Some(Source::Journal);
        }
        let file = FILES.iter().map(Path::new).find(|file| file.exists());
        file.map(|file| Source::File(file.into()))
    }

    /// The last events that are wanted of what this machine's log has of Berth's since a time, as a warning or worse: of a
    /// file no more than its end. Nothing, where it cannot be read.
    pub fn lately(since: SystemTime, most: usize, wanted: impl Fn(&Event) -> bool) -> Vec<Event> {
        let mut last = Last::new(most, |event| event.time >= since && wanted(event));
        match Source::here() {
            Some(Source::Journal) => {
                let all = [
                    OF_BERTH.into(),
                    "--priority=warning".into(),
                    self::since(since),
                ];
                // What was read before an error is so.
                let _ = journal_backwards(all).map(|log| last.backwards(log, |_| ()));
            }
            Some(Source::File(file)) => {
                let now = SystemTime::now();
                let lines = end_of(&file).ok().into_iter().flat_map(lines);
                let lines = lines.map_while(Result::ok);
                lines.for_each(|line| last.push(of_syslog(&line, now)));
            }
            None => {}
        }
        last.events.into()
    }

    /// The last events up to now that are wanted, and where the log ends.
    pub fn until_now(
        &self,
        since: Option<SystemTime>,
        most: usize,
        wanted: impl Fn(&Event) -> bool,
    ) -> Result<(Vec<Event>, Place), Exit> {
        let mut last = Last::new(most, wanted);
        let place = match self {
            Source::Journal => {
                let mut place = None;
                let since = since.map(self::since);
                let find = |entry: &Value| {
                    let cursor = text(entry, "__CURSOR").map(String::from);
                    place = place.take().or(cursor.map(Place::Cursor));
                };
                let now = SystemTime::now();
                last.backwards(journal_backwards(since)?, find)
                    .map_err(|error| self.unreadable(&error))?;
                place.unwrap_or(Place::Time(now))
            }
            Source::File(file) => {
                let mut log = Growing::open(file).map_err(|error| self.unreadable(&error))?;
                log.up_to_now(&mut last)
                    .map_err(|error| self.unreadable(&error))?;
                Place::Behind(log)
            }
        };
        Ok((last.events.into(), place))
    }

    /// Gives each event from a place on to `show`, until that has seen enough.
    pub fn follow(
        &self,
        from: Place,
        mut show: impl FnMut(&Event) -> Result<(), Exit>,
    ) -> Result<(), Exit> {
        let from = match from {
            Place::Behind(log) => return log.follow(|error| self.unreadable(&error), show),
            Place::Time(time) => since(time),
            Place::Cursor(cursor) => format!("--after-cursor={cursor}"),
        };
        for line in lines(journal(["--follow".into(), "--no-tail".into(), from])?) {
            let line = line.map_err(|error| self.unreadable(&error))?;
            let entry = serde_json::from_str(&line).unwrap_or_default();
            of_journal(&entry).map_or(Ok(()), |event| show(&event))?;
        }
        Ok(())
    }

    /// Why the log cannot be read.
    fn unreadable(&self, error: &io::Error) -> Exit {
        let what = match self {
            Source::Journal => Path::new("the journal"),
            Source::File(file) => file,
        };
        Exit::from(error).because(format!("cannot read {}: {error}", what.display()))
    }
}

impl Growing {
    fn open(path: &Path) -> io::Result<Growing> {
        Ok(Growing {
            path: path.into(),
            log: BufReader::new(File::open(path)?),
            line: Vec::new(),
        })
    }

    /// The next line, if there is one that is whole.
    fn line(&mut self) -> io::Result<Option<String>> {
        self.log.read_until(b'\n', &mut self.line)?;
        let is_whole = self.line.ends_with(b"\n");
        let line = is_whole.then(|| std::mem::take(&mut self.line));
        Ok(line.map(|line| String::from_utf8_lossy(&line).into_owned()))
    }

    /// All that is in it, and before that what was set aside last.
    fn up_to_now<F: Fn(&Event) -> bool>(&mut self, last: &mut Last<F>) -> io::Result<()> {
        let mut before = self.path.clone().into_os_string();
        before.push(".1");
        let now = SystemTime::now();
        // It is there only if something was set aside already; and if that was after this was opened, it is this.
        let before = open_file(before).ok();
        if let Some(before) = before.filter(|before| file_id(before) != file_id(self.log.get_ref()))
        {
            let lines = lines(before).map_while(Result::ok);
            lines.for_each(|line| last.push(of_syslog(&line, now)));
        }
        while let Some(line) = self.line()? {
            last.push(of_syslog(&line, now));
        }
        Ok(())
    }

    /// The file that has taken its place; or itself, if it was cut. It is read from the beginning.
    fn next(&mut self) -> Option<File> {
        let next = open_file(&self.path).ok()?; // For a moment there is none.
        let is_another = file_id(&next) != file_id(self.log.get_ref());
        let length = next.metadata().ok()?.len();
        let is_cut = self.log.stream_position().is_ok_and(|at| length < at);
        (is_another || is_cut).then_some(next)
    }

    /// Gives each event from here on to `show`, until that has seen enough.
    fn follow(
        mut self,
        unreadable: impl Fn(io::Error) -> Exit,
        mut show: impl FnMut(&Event) -> Result<(), Exit>,
    ) -> Result<(), Exit> {
        let mut next = None;
        loop {
            while let Some(line) = self.line().map_err(&unreadable)? {
                let event = of_syslog(&line, SystemTime::now());
                event.map_or(Ok(()), |event| show(&event))?;
            }
            match next.take() {
                Some(next) => {
                    self.log = BufReader::new(next);
                    self.line.clear();
                }
                // The daemon writes into the old one for a moment more.
                None => {
                    next = self.next();
                    sleep(AGAIN);
                }
            }
        }
    }
}

/// As journalctl has it.
fn since(time: SystemTime) -> String {
    let since_1970 = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("--since=@{}", since_1970.as_secs())
}

/// The end of a file. Its first line is cut, and so none of Berth's.
fn end_of(file: &Path) -> io::Result<File> {
    let mut file = File::open(file)?;
    let size = file.metadata()?.len();
    file.seek(SeekFrom::Start(size.saturating_sub(END)))?;
    Ok(file)
}

/// The lines of a log. What is no UTF-8 is none of Berth's, and does no harm.
fn lines(log: impl Read) -> impl Iterator<Item = io::Result<String>> {
    let lines = BufReader::new(log).split(b'\n');
    lines.map(|line| Ok(String::from_utf8_lossy(&line?).into_owned()))
}

/// Of root's processes alone, by the kernel's word: anybody can write to the journal in Berth's name.
fn journal(arguments: impl IntoIterator<Item = String>) -> Result<Output, Exit> {
    let all = ["--quiet", "--no-pager", "--output=json", AUTHPRIV, "_UID=0"].map(OsString::from);
    output(
        "journalctl",
        all.into_iter()
            .chain(arguments.into_iter().map(OsString::from)),
    )
}

/// The same, the last first.
fn journal_backwards(arguments: impl IntoIterator<Item = String>) -> Result<Output, Exit> {
    journal(["--reverse".to_owned()].into_iter().chain(arguments))
}

fn output(
    name: &'static str,
    arguments: impl IntoIterator<Item = OsString>,
) -> Result<Output, Exit> {
    let started = Command::new(name)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let missing = |error: &io::Error| not_so(format!("cannot run {name}: {error}"));
    let mut program = started.map_err(|error| missing(&error))?;
    let lines = program.stdout.take();
    let lines = lines.ok_or_else(|| missing(&io::ErrorKind::BrokenPipe.into()))?;
    Ok(Output {
        name,
        lines,
        program,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::own_folder::Folder;

    #[test]
    fn a_file_that_is_set_aside_meanwhile_is_read_once_and_the_next_from_its_beginning() {
        let folder = Folder::new();
        let file = folder.join("log");
        let before = file.with_extension("1");
        let line =
            |session: u32| format!("Nov 24 10:12:07 lab1 berth[1]: close session={session}\n");
        std::fs::write(&file, line(1) + &line(2) + "Nov 24 10:12:07 lab1 be").unwrap();
        let mut log = Growing::open(&file).unwrap();
        std::fs::rename(&file, &before).unwrap();
        let mut last = Last::new(10, |_| true);
        log.up_to_now(&mut last).unwrap();
        assert_eq!(last.events.len(), 2);
        assert!(log.next().is_none(), "for a moment there is none");
        // Longer than the old one was when that was read.
        let new: Vec<u32> = (3..9).collect();
        let text: String = new.iter().map(|session| line(*session)).collect();
        std::fs::write(&file, text).unwrap();
        let mut told = Vec::new();
        let unreadable = |error: io::Error| panic!("{error}");
        let done = log.follow(unreadable, |event| {
            told.extend(event.number("session"));
            match told.len() {
                6 => Err(Exit::Done),
                _ => Ok(()),
            }
        });
        assert_eq!(done, Err(Exit::Done));
        assert_eq!(told, [3, 4, 5, 6, 7, 8]);
        let mut log = Growing::open(&file).unwrap();
        log.up_to_now(&mut last).unwrap();
        assert!(log.next().is_none());
        std::fs::write(&file, line(10)).unwrap();
        assert!(log.next().is_some(), "it was cut");
    }

    #[test]
    fn a_program_that_fails_is_no_log_without_events() {
        let said = |script: &str| {
            let output = output("sh", ["-c", script].map(OsString::from)).unwrap();
            lines(output).collect::<io::Result<Vec<_>>>()
        };
        assert_eq!(said("echo a; echo b").unwrap(), ["a", "b"]);
        assert_eq!(said("true").unwrap(), [""; 0]);
        let error = said("echo a; exit 3").unwrap_err().to_string();
        assert_eq!(error, "sh: exit status: 3");
    }

    #[test]
    fn no_more_events_are_kept_than_are_asked_for() {
        let mut last = Last::new(10, |event| event.get("user") == Some("alice"));
        let line = |number, user| {
            format!("Nov 24 10:12:07 lab1 berth[4821]: close session={number} user={user}")
        };
        let now = SystemTime::now();
        for number in 0..10_000 {
            last.push(of_syslog(&line(number, "alice"), now));
            last.push(of_syslog(&line(number, "bob"), now));
            assert!(last.events.len() <= 10);
        }
        let sessions: Vec<_> = last
            .events
            .iter()
            .map(|one| one.number("session"))
            .collect();
        assert_eq!(sessions, (9990..10_000).map(Some).collect::<Vec<_>>());
    }
}
