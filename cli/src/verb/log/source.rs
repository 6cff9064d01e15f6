//! Where Berth's lines are: systemd's journal, or a file of a syslog daemon's.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use berth_config::LocalTime;
use serde_json::Value;

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

/// How much of a file is its end.
const END: u64 = 1 << 20;

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

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
    /// Behind so many bytes of the file.
    Byte(u64),
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
                let since = Place::Time(since).as_option();
                let all = [OF_BERTH.into(), "--priority=warning".into(), since];
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
                let since = since.map(|since| Place::Time(since).as_option());
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
                // Opened before the other: should it be set aside in between, it is found there, and known.
                let log = File::open(file).map_err(|error| self.unreadable(&error))?;
                let id = |file: &File| file.metadata().ok().map(|file| (file.dev(), file.ino()));
                let mut before = file.clone().into_os_string();
                before.push(".1");
                let now = SystemTime::now();
                // It is there only if something was set aside already.
                let before = File::open(before).ok();
                if let Some(before) = before.filter(|before| id(before) != id(&log)) {
                    let lines = lines(before).map_while(Result::ok);
                    lines.for_each(|line| last.push(of_syslog(&line, now)));
                }
                let mut end = 0;
                let mut log = BufReader::new(log);
                while let Some(line) =
                    next_line(&mut log).map_err(|error| self.unreadable(&error))?
                {
                    // One that is still being written comes whole when the log is followed.
                    if line.ends_with(b"\n") {
                        end += line.len() as u64;
                        last.push(of_syslog(&String::from_utf8_lossy(&line), now));
                    }
                }
                Place::Byte(end)
            }
        };
        Ok((last.events.into(), place))
    }

    /// Gives each event from a place on to `show`, until that has seen enough.
    pub fn follow(
        &self,
        from: &Place,
        mut show: impl FnMut(&Event) -> io::Result<()>,
    ) -> Result<(), Exit> {
        let output = match self {
            Source::Journal => journal(["--follow".into(), "--no-tail".into(), from.as_option()])?,
            // Goes on with the new file, too, when the old one is set aside.
            Source::File(file) => {
                let arguments = [
                    "-F".into(),
                    from.as_option().into(),
                    "--".into(),
                    file.clone().into_os_string(),
                ];
                output("tail", arguments)?
            }
        };
        for line in lines(output) {
            let line = line.map_err(|error| self.unreadable(&error))?;
            let event = self.event(&line, SystemTime::now());
            if event.is_some_and(|event| show(&event).is_err()) {
                break;
            }
        }
        Ok(())
    }

    /// What a line of it tells.
    fn event(&self, line: &str, now: SystemTime) -> Option<Event> {
        match self {
            Source::Journal => of_journal(&serde_json::from_str(line).ok()?),
            Source::File(_) => of_syslog(line, now),
        }
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

impl Place {
    /// As an option of the program that reads on from there.
    fn as_option(&self) -> String {
        match self {
            Place::Time(time) => {
                let since_1970 = time.duration_since(UNIX_EPOCH).unwrap_or_default();
                format!("--since=@{}", since_1970.as_secs())
            }
            Place::Cursor(cursor) => format!("--after-cursor={cursor}"),
            Place::Byte(byte) => format!("--bytes=+{}", byte.saturating_add(1)),
        }
    }
}

/// The end of a file. Its first line is cut, and so none of Berth's.
fn end_of(file: &Path) -> io::Result<File> {
    let mut file = File::open(file)?;
    let size = file.metadata()?.len();
    file.seek(SeekFrom::Start(size.saturating_sub(END)))?;
    Ok(file)
}

/// The next line with what ends it.
fn next_line(log: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    let length = log.read_until(b'\n', &mut line)?;
    Ok((length > 0).then_some(line))
}

/// The lines of a log. What is no UTF-8 is none of Berth's, and does no harm.
fn lines(log: impl Read) -> impl Iterator<Item = io::Result<String>> {
    let mut log = BufReader::new(log);
    std::iter::from_fn(move || {
        let line = next_line(&mut log).transpose()?;
        Some(line.map(|line| String::from_utf8_lossy(&line).into_owned()))
    })
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
        .stderr(Stdio::null()) // tail tells of each file that it goes on with
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

fn text<'a>(entry: &'a Value, key: &str) -> Option<&'a str> {
    entry.get(key)?.as_str()
}

/// `{"__REALTIME_TIMESTAMP":"…","SYSLOG_IDENTIFIER":"berth","MESSAGE":"…"}`
fn of_journal(entry: &Value) -> Option<Event> {
    let microseconds = text(entry, "__REALTIME_TIMESTAMP")?.parse().ok()?;
    let time = UNIX_EPOCH.checked_add(Duration::from_micros(microseconds))?;
    // A message with bytes that are no text is a list of numbers; none of Berth's is.
    Event::parse(
        time,
        text(entry, "SYSLOG_IDENTIFIER")?,
        text(entry, "MESSAGE")?,
    )
}

/// `Nov 24 10:12:07 host berth[4821]: …`, or with a time as RFC 3339 has it.
fn of_syslog(line: &str, now: SystemTime) -> Option<Event> {
    let (time, rest) = match line.split_once(' ') {
        Some((stamp, rest)) if stamp.contains('T') => (LocalTime::from_rfc3339(stamp)?, rest),
        _ => (without_year(line.get(..15)?, now)?, line.get(16..)?),
    };
    let (_host, rest) = rest.split_once(' ')?;
    let (program, text) = rest.split_once(": ")?;
    Event::parse(time, program.split('[').next()?, text.trim_end())
}

/// `Nov 24 10:12:07`: the last one that is past. A minute more, since daemons write their own time.
fn without_year(stamp: &str, now: SystemTime) -> Option<SystemTime> {
    let mut words = stamp.split_whitespace();
    let month = words.next()?;
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    let (day, time) = (words.next()?, words.next()?);
    let now = now.checked_add(Duration::from_secs(60))?;
    let this_year = LocalTime::of(now)?.year;
    [this_year, this_year.checked_sub(1)?]
        .into_iter()
        .filter_map(|year| {
            LocalTime::parse(&format!("{year:04}-{month:02}-{day:0>2} {time}"))?.moment()
        })
        .find(|moment| *moment <= now)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SystemTime {
        LocalTime::parse(text).unwrap().moment().unwrap()
    }

    #[test]
    fn lines_of_both_kinds_of_daemons_are_read() {
        let now = at("2026-11-24 12:00:00");
        for line in [
            "Nov 24 10:12:07 lab1 berth[4821]: close session=3",
            "Nov 24 10:12:07 lab1 berth: close session=3",
        ] {
            let event = of_syslog(line, now).unwrap();
            assert_eq!(event.time, at("2026-11-24 10:12:07"));
            assert_eq!(
                (event.word.as_str(), event.get("session")),
                ("close", Some("3"))
            );
        }
        let event =
            of_syslog("2026-11-24T10:12:07.123456+01:00 lab1 berth[1]: close", now).unwrap();
        assert_eq!(
            Some(event.time),
            LocalTime::from_rfc3339("2026-11-24T10:12:07+01:00")
        );
        for line in [
            "",
            "Nov",
            "Nov 24 10:12:07 lab1",
            "last message repeated 2 times, é, and more",
        ] {
            assert_eq!(of_syslog(line, now), None, "{line}");
        }
    }

    #[test]
    fn a_program_that_fails_is_no_log_without_events() {
        let said = |script: &str| {
            let output = output("sh", ["-c", script].map(OsString::from)).unwrap();
            lines(output).collect::<io::Result<Vec<_>>>()
        };
        assert_eq!(said("echo a; echo b").unwrap(), ["a\n", "b\n"]);
        assert_eq!(said("true").unwrap(), [""; 0]);
        let error = said("echo a; exit 3").unwrap_err().to_string();
        assert_eq!(error, "sh: exit status: 3");
    }

    #[test]
    fn a_time_without_its_year_is_the_last_one_that_is_past() {
        let now = at("2026-01-02 00:10:00");
        for (stamp, time) in [
            ("Jan  2 00:09:59", "2026-01-02 00:09:59"),
            ("Jan  2 00:10:30", "2026-01-02 00:10:30"),
            ("Dec 31 23:00:00", "2025-12-31 23:00:00"),
            ("Jan  3 00:00:00", "2025-01-03 00:00:00"),
        ] {
            assert_eq!(without_year(stamp, now), Some(at(time)), "{stamp}");
        }
    }

    #[test]
    fn no_more_events_are_kept_than_are_asked_for() {
        let mut last = Last::new(10, |event| event.get("user") == Some("alice"));
        let line = |number, user| {
            format!("Nov 24 10:12:07 lab1 berth[4821]: close session={number} user={user}")
        };
        let now = at("2026-11-24 12:00:00");
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

    #[test]
    fn an_entry_of_the_journal_is_read() {
        let line = r#"{"__REALTIME_TIMESTAMP":"1764000000000000","SYSLOG_IDENTIFIER":"berth","MESSAGE":"cap user=alice"}"#;
        let of_journal = |line| of_journal(&serde_json::from_str(line).unwrap());
        let event = of_journal(line).unwrap();
        assert_eq!(event.get("user"), Some("alice"));
        let line = r#"{"__REALTIME_TIMESTAMP":"1","SYSLOG_IDENTIFIER":"berth","MESSAGE":[1,2]}"#;
        assert_eq!(of_journal(line), None);
        assert_eq!(of_journal("{}"), None);
    }
}
