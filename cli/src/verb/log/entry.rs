//! One entry of a log: of the journal's, or a line of a syslog daemon's.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use berth_config::LocalTime;
use serde_json::Value;

use super::event::Event;

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// A field of the journal's.
pub fn text<'a>(entry: &'a Value, key: &str) -> Option<&'a str> {
    entry.get(key)?.as_str()
}

/// `{"__REALTIME_TIMESTAMP":"…","SYSLOG_IDENTIFIER":"berth","MESSAGE":"…"}`
pub fn of_journal(entry: &Value) -> Option<Event> {
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
pub fn of_syslog(line: &str, now: SystemTime) -> Option<Event> {
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
