//! Local wall-clock time, to the second.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::sys;

/// A date and a time of day as the wall clock shows them. The order is that of time within one
/// offset from UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LocalTime {
    /// The year, 0 to 9999.
    pub year: u16,
    /// The month, 1 to 12.
    pub month: u8,
    /// The day of the month, 1 to 31.
    pub day: u8,
    /// The hour, 0 to 23.
    pub hour: u8,
    /// The minute, 0 to 59.
    pub minute: u8,
    /// The second, 0 to 60.
    pub second: u8,
}

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)] // the names say it
pub enum Weekday {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

impl Weekday {
    /// All of them, Monday first.
    pub(crate) const ALL: [Weekday; 7] = [
        Weekday::Mon,
        Weekday::Tue,
        Weekday::Wed,
        Weekday::Thu,
        Weekday::Fri,
        Weekday::Sat,
        Weekday::Sun,
    ];

    /// The day before.
    pub fn before(self) -> Weekday {
        match self {
            Weekday::Mon => Weekday::Sun,
            Weekday::Tue => Weekday::Mon,
            Weekday::Wed => Weekday::Tue,
            Weekday::Thu => Weekday::Wed,
            Weekday::Fri => Weekday::Thu,
            Weekday::Sat => Weekday::Fri,
            Weekday::Sun => Weekday::Sat,
        }
    }
}

impl LocalTime {
    /// The time now, in the machine's time zone.
    pub fn now() -> Option<LocalTime> {
        LocalTime::of(SystemTime::now())
    }

    /// A moment, in the machine's time zone.
    pub fn of(moment: SystemTime) -> Option<LocalTime> {
        LocalTime::with_offset(moment).map(|(time, _)| time)
    }

    /// A moment as RFC 3339 writes it, with the zone's offset.
    pub fn rfc3339(moment: SystemTime) -> Option<String> {
        let (time, offset) = LocalTime::with_offset(moment)?;
        let minutes = offset.abs() / 60;
        let sign = if offset < 0 { '-' } else { '+' };
        let stamp = time.to_string().replace(' ', "T");
        Some(format!(
            "{stamp}{sign}{:02}:{:02}",
            minutes / 60,
            minutes % 60
        ))
    }

    /// Reads what [`LocalTime::rfc3339`] writes, and any other offset, `Z` too. Fractions of a second are
    /// passed over.
    pub fn from_rfc3339(text: &str) -> Option<SystemTime> {
        let local = LocalTime::parse(text.get(..19)?)?;
        let offset = text.get(19..)?;
        let offset = match offset.strip_prefix('.') {
            Some(fraction) => fraction.trim_start_matches(|c: char| c.is_ascii_digit()),
            None => offset,
        };
        let seconds = match (offset.get(..1)?, offset.get(1..)?) {
            ("Z" | "z", "") => 0,
            (sign @ ("+" | "-"), offset) => {
                let (hours, minutes) = offset.split_once(':')?;
                let (hours, minutes) = (number(hours, 2)?, number(minutes, 2)?);
                let east = 3600 * i64::from(hours) + 60 * i64::from(minutes);
                if sign == "-" { -east } else { east }
            }
            _ => return None,
        };
        let since_1970 = local.as_if_utc().checked_sub(seconds)?;
        UNIX_EPOCH.checked_add(Duration::from_secs(u64::try_from(since_1970).ok()?))
    }

    /// The moment at which the machine's clock shows this.
    pub fn moment(&self) -> Option<SystemTime> {
        let mut tm = sys::no_time();
        tm.tm_year = i32::from(self.year) - 1900;
        tm.tm_mon = i32::from(self.month) - 1;
        tm.tm_mday = i32::from(self.day);
        tm.tm_hour = i32::from(self.hour);
        tm.tm_min = i32::from(self.minute);
        tm.tm_sec = i32::from(self.second);
        let seconds = u64::try_from(sys::moment(tm)?).ok()?;
        UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
    }

    /// Seconds from 1970 to this in UTC.
    fn as_if_utc(&self) -> i64 {
        // Years begin in March, so that a leap day is a year's last.
        let (year, month) = match self.month {
            month @ 3.. => (i64::from(self.year), i64::from(month) - 3),
            month => (i64::from(self.year) - 1, i64::from(month) + 9),
        };
        let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
        let days = 365 * year + leap_days + (153 * month + 2) / 5 + i64::from(self.day) - 719_469;
        let time = 3600 * i64::from(self.hour) + 60 * i64::from(self.minute);
        days * 86_400 + time + i64::from(self.second)
    }

    fn with_offset(moment: SystemTime) -> Option<(LocalTime, i64)> {
        let seconds = moment.duration_since(UNIX_EPOCH).ok()?.as_secs();
        let (tm, offset) = sys::local_time(i64::try_from(seconds).ok()?)?;
        let time = LocalTime {
            year: u16::try_from(tm.tm_year.checked_add(1900)?).ok()?,
            month: u8::try_from(tm.tm_mon.checked_add(1)?).ok()?,
            day: u8::try_from(tm.tm_mday).ok()?,
            hour: u8::try_from(tm.tm_hour).ok()?,
            minute: u8::try_from(tm.tm_min).ok()?,
            second: u8::try_from(tm.tm_sec).ok()?,
        };
        Some((time, offset))
    }

    /// Reads `2026-12-14T08:45:00`, with a space for the `T` and without the seconds or the time
    /// too.
    pub fn parse(text: &str) -> Option<LocalTime> {
        let (date, time) = text.split_once(['T', ' ']).unwrap_or((text, "00:00:00"));
        let mut date = date.splitn(3, '-');
        let mut time = time.splitn(3, ':');
        let local = LocalTime {
            year: number(date.next()?, 4)?,
            month: u8::try_from(number(date.next()?, 2)?).ok()?,
            day: u8::try_from(number(date.next()?, 2)?).ok()?,
            hour: u8::try_from(number(time.next()?, 2)?).ok()?,
            minute: u8::try_from(number(time.next()?, 2)?).ok()?,
            second: match time.next() {
                Some(second) => u8::try_from(number(second, 2)?).ok()?,
                None => 0,
            },
        };
        let days = days_in(local.year, local.month)?;
        let valid = (1..=days).contains(&local.day)
            && local.hour < 24
            && local.minute < 60
            && local.second <= 60;
        valid.then_some(local)
    }

    /// The day of the week (the Gregorian calendar's, for any year).
    pub fn weekday(&self) -> Weekday {
        // Zeller's congruence, with January and February counted to the year before.
        let (month, year) = if self.month < 3 {
            (u32::from(self.month) + 12, u32::from(self.year) + 9_999)
        } else {
            (u32::from(self.month), u32::from(self.year) + 10_000)
        };
        let day =
            u32::from(self.day) + 13 * (month + 1) / 5 + year + year / 4 - year / 100 + year / 400;
        match day % 7 {
            0 => Weekday::Sat,
            1 => Weekday::Sun,
            2 => Weekday::Mon,
            3 => Weekday::Tue,
            4 => Weekday::Wed,
            5 => Weekday::Thu,
            _ => Weekday::Fri,
        }
    }

    /// Minutes since midnight.
    pub fn minute_of_day(&self) -> u16 {
        u16::from(self.hour) * 60 + u16::from(self.minute)
    }
}

impl fmt::Display for LocalTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:04}-{:02}-{:02} {:02}:{:02}:{:02}",
            self.year, self.month, self.day, self.hour, self.minute, self.second
        )
    }
}

fn number(text: &str, digits: usize) -> Option<u16> {
    let all_digits = text.bytes().all(|byte| byte.is_ascii_digit());
    (text.len() == digits && all_digits)
        .then(|| text.parse().ok())
        .flatten()
}

/// How many days a month has.
pub(crate) fn days_in(year: u16, month: u8) -> Option<u8> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if leap => Some(29),
        2 => Some(28),
        4 | 6 | 9 | 11 => Some(30),
        1..=12 => Some(31),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apart::apart;

    #[test]
    fn days_of_the_week_are_right_across_leap_years() {
        for (text, day) in [
            ("2026-12-13", Weekday::Sun),
            ("2026-12-14", Weekday::Mon),
            ("2026-12-15", Weekday::Tue),
            ("2026-12-16", Weekday::Wed),
            ("2026-12-17", Weekday::Thu),
            ("2026-12-18", Weekday::Fri),
            ("2026-12-19", Weekday::Sat),
            ("2024-02-29", Weekday::Thu),
            ("2000-03-01", Weekday::Wed),
            ("1999-12-31", Weekday::Fri),
            ("2026-01-01", Weekday::Thu),
        ] {
            assert_eq!(LocalTime::parse(text).unwrap().weekday(), day, "{text}");
        }
    }

    #[test]
    fn moments_are_written_and_read_again() {
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T23:59:59Z", 951_868_799),
            ("2024-12-31T00:00:00+00:00", 1_735_603_200),
            ("2026-11-24T10:12:07+01:00", 1_795_511_527),
            ("2026-11-24T03:42:07.25-05:30", 1_795_511_527),
        ] {
            assert_eq!(LocalTime::from_rfc3339(text), Some(at(seconds)), "{text}");
        }
        for text in [
            "",
            "2026-11-24",
            "2026-11-24T10:12:07",
            "2026-11-24T10:12:07+1:00",
            "2026-11-24T10:12:07+01:00x",
            "1969-12-31T23:59:59Z",
            "2026-11-24T10:12:0é",
        ] {
            assert_eq!(LocalTime::from_rfc3339(text), None, "{text}");
        }
        // Every 11 hours of 60 years, so each day, and both sides of every leap day.
        for seconds in (0..60 * 366 * 86_400).step_by(11 * 3600) {
            let text = LocalTime::rfc3339(at(seconds)).unwrap();
            assert_eq!(LocalTime::from_rfc3339(&text), Some(at(seconds)), "{text}");
            let local = LocalTime::of(at(seconds)).unwrap();
            assert_eq!(
                LocalTime::of(local.moment().unwrap()),
                Some(local),
                "{text}"
            );
        }
    }

    #[test]
    fn a_moment_is_written_with_the_offset_of_the_machines_zone() {
        for (zone, expected) in [
            ("IST-5:30", "1970-01-01T05:30:00+05:30"),
            ("UTC0", "1970-01-01T00:00:00+00:00"),
            ("CET-1CEST,M3.5.0,M10.5.0/3", "1970-01-01T01:00:00+01:00"),
            ("NST3:30", "1969-12-31T20:30:00-03:30"),
        ] {
            // A process has one zone, whichever of these it was started for.
            let (zone, expected) = (format!("TZ={zone}"), format!("IN_1970={expected}"));
            apart(&[&zone, &expected], || {
                let expected = std::env::var("IN_1970").ok();
                assert_eq!(LocalTime::rfc3339(UNIX_EPOCH), expected);
                // In winter and in summer.
                for shown in ["2026-12-14T09:00", "2026-07-14T09:00"] {
                    let shown = LocalTime::parse(shown).unwrap();
                    assert_eq!(LocalTime::of(shown.moment().unwrap()), Some(shown));
                }
            });
        }
    }

    #[test]
    fn what_is_no_time_is_not_read() {
        assert!(LocalTime::parse("2026-12-14T08:45:00").is_some());
        assert!(LocalTime::parse("2026-12-14 08:45").is_some());
        for text in [
            "",
            "2026",
            "2026-13-01",
            "2026-02-29",
            "2026-12-14T24:00:00",
            "2026-12-14T8:00",
            "2026-12-14T08:60",
            "2026-12-14T08:45:61",
            "2026-+2-14",
        ] {
            assert_eq!(LocalTime::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_month_has_the_days_that_the_calendar_gives_it() {
        for (year, month, expected) in [
            (2026, 4, 30),
            (2026, 12, 31),
            (2026, 2, 28),
            (2028, 2, 29),
            (2100, 2, 28),
            (2000, 2, 29),
        ] {
            assert_eq!(days_in(year, month), Some(expected), "{year}-{month}");
        }
        assert_eq!(days_in(2026, 13), None);
    }
}
