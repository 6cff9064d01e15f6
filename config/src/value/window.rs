//! Windows of time.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Wrong;
use crate::facts::{LocalTime, Weekday};

/// Hours of a day, from the first minute up to, not including, the second. `22:00-07:00` ends on
/// the next day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hours {
    from: u16,
    until: u16,
}

impl Hours {
    /// Reads `22:00-07:00`.
    pub fn parse(text: &str) -> Result<Hours, Wrong> {
        let wrong = || {
            Wrong::new(
                format!("`{text}` are no hours"),
                "write \"08:00-18:00\", or \"22:00-07:00\" past midnight",
            )
        };
        let minute = |text: &str| {
            let (hour, minute) = text.split_once(':')?;
            let digits = |part: &str| part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit());
            if !digits(hour) || !digits(minute) {
                return None;
            }
            let (hour, minute): (u16, u16) = (hour.parse().ok()?, minute.parse().ok()?);
            let of_day = hour * 60 + minute;
            (minute < 60 && of_day <= 24 * 60).then_some(of_day)
        };
        let (from, until) = text.split_once('-').ok_or_else(wrong)?;
        let (from, until) = (
            minute(from).ok_or_else(wrong)?,
            minute(until).ok_or_else(wrong)?,
        );
        if from == 24 * 60 {
            return Err(Wrong::new(
                format!("`{text}` begins when the day is over"),
                "write \"00:00\" for the next day's first minute",
            ));
        }
        if from == until {
            return Err(Wrong::new(
                format!("`{text}` holds no minute"),
                "leave `hours` out for the whole day",
            ));
        }
        Ok(Hours { from, until })
    }
}

impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (from, until) = (self.from, self.until);
        write!(
            f,
            "{:02}:{:02}..{:02}:{:02}",
            from / 60,
            from % 60,
            until / 60,
            until % 60
        )
    }
}

/// A window: all that is given must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// From this moment on.
    pub from: Option<LocalTime>,
    /// Up to this moment.
    pub until: Option<LocalTime>,
    /// On these days; hours that run past midnight belong to the day they begin on.
    pub days: Option<Vec<Weekday>>,
    /// In these hours.
    pub hours: Option<Hours>,
}

impl Window {
    /// Whether a time is within.
    pub fn holds(&self, at: &LocalTime) -> bool {
        let minute = at.minute_of_day();
        let day_holds = |day: Weekday| self.days.as_ref().is_none_or(|days| days.contains(&day));
        let today = at.weekday();
        let in_hours = match self.hours {
            None => day_holds(today),
            Some(Hours { from, until }) if from < until => {
                (from..until).contains(&minute) && day_holds(today)
            }
            Some(Hours { from, until }) => {
                minute >= from && day_holds(today) || minute < until && day_holds(today.before())
            }
        };
        in_hours
            && self.from.is_none_or(|from| from <= *at)
            && self.until.is_none_or(|until| *at < until)
    }

    /// Short, for `explain`: `12-14 08:45..12:15`. Of another year than this one that is told too: last year's exam is not
    /// to be taken for one to come.
    pub fn text(&self, year: u16) -> String {
        let day = |t: &LocalTime| match t.year == year {
            true => format!("{:02}-{:02}", t.month, t.day),
            false => format!("{:04}-{:02}-{:02}", t.year, t.month, t.day),
        };
        let time = |t: &LocalTime| format!("{:02}:{:02}", t.hour, t.minute);
        let mut parts = Vec::new();
        match (&self.from, &self.until) {
            (Some(from), Some(until)) if day(from) == day(until) => {
                parts.push(format!("{} {}..{}", day(from), time(from), time(until)));
            }
            (None, None) => {}
            (from, until) => {
                let moment = |t: &Option<LocalTime>| {
                    t.map(|t| format!("{} {}", day(&t), time(&t)))
                        .unwrap_or_default()
                };
                parts.push(format!("{}..{}", moment(from), moment(until)));
            }
        }
        if let Some(days) = &self.days {
            let week = Weekday::ALL.iter().filter(|day| days.contains(day));
            let names: Vec<&str> = week.map(|day| day.word()).collect();
            parts.push(names.join(","));
        }
        if let Some(hours) = self.hours {
            parts.push(hours.to_string());
        }
        parts.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> LocalTime {
        LocalTime::parse(text).unwrap()
    }

    #[test]
    fn a_night_belongs_to_the_day_it_begins_on() {
        let window = Window {
            days: Some(vec![Weekday::Fri]),
            hours: Some(Hours::parse("22:00-07:00").unwrap()),
            ..Window::default()
        };
        // 2026-12-11 is a Friday.
        assert!(window.holds(&at("2026-12-11T22:00")));
        assert!(window.holds(&at("2026-12-12T06:59")));
        assert!(!window.holds(&at("2026-12-12T07:00")));
        assert!(!window.holds(&at("2026-12-12T22:00")));
        assert!(!window.holds(&at("2026-12-11T06:00")));
    }

    #[test]
    fn an_exam_begins_and_ends() {
        let window = Window {
            from: Some(at("2026-12-14T08:45")),
            until: Some(at("2026-12-14T12:15")),
            ..Window::default()
        };
        assert!(!window.holds(&at("2026-12-14T08:44:59")));
        assert!(window.holds(&at("2026-12-14T08:45")));
        assert!(!window.holds(&at("2026-12-14T12:15")));
        assert_eq!(window.text(2026), "12-14 08:45..12:15");
        assert_eq!(window.text(2027), "2026-12-14 08:45..12:15");
        let mut told = Vec::new();
        for until in ["2026-12-15T12:15", "2027-12-14T12:15"] {
            let until = Some(at(until));
            let window = Window {
                until,
                ..window.clone()
            };
            told.push(window.text(2026));
        }
        let expected = ["12-14 08:45..12-15 12:15", "12-14 08:45..2027-12-14 12:15"];
        assert_eq!(told, expected);
    }

    #[test]
    fn hours_of_a_day_hold_from_the_first_minute_to_before_the_last() {
        let window = Window {
            hours: Some(Hours::parse("08:00-18:30").unwrap()),
            ..Window::default()
        };
        for (time, held) in [
            ("07:59", false),
            ("08:00", true),
            ("18:29", true),
            ("18:30", false),
        ] {
            assert_eq!(
                window.holds(&at(&format!("2026-12-14T{time}"))),
                held,
                "{time}"
            );
        }
    }

    #[test]
    fn what_are_no_hours_is_refused() {
        for text in [
            "",
            "8-18",
            "08:00",
            "08:00-08:00",
            "25:00-26:00",
            "08:60-09:00",
            "24:00-01:00",
        ] {
            assert!(Hours::parse(text).is_err(), "{text}");
        }
        let midnight = Hours::parse("24:00-01:00").unwrap_err();
        assert!(midnight.label.contains("\"00:00\""), "{midnight:?}");
        for text in [
            "8:00-18:00",
            "x8:00-18:00",
            "0+1:00-18:00",
            "00:00-24:01",
            "08:0x-09:00",
            "08:60-10:00",
        ] {
            assert!(Hours::parse(text).is_err(), "{text}");
        }
        for text in ["00:00-24:00", "22:15-07:00"] {
            let told = Hours::parse(text).unwrap().to_string();
            assert_eq!(told, text.replace('-', ".."));
        }
    }
}
