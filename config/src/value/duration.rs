//! Lengths of time.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Wrong;
use super::wrong::or_infinity;

/// Units and their seconds, the largest first.
const UNITS: [(&str, u64); 6] = [
    ("w", 604_800),
    ("d", 86_400),
    ("h", 3_600),
    ("min", 60),
    ("m", 60),
    ("s", 1),
];

/// No time that is meant is longer, and this much can be added to any clock's.
const LONGEST: u64 = 100 * 366 * 86_400;

/// A length of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Span(pub u64);

impl Span {
    /// Reads `5s`, `12h` or `1h 30min`.
    pub fn parse(text: &str) -> Result<Span, Wrong> {
        let wrong = || {
            Wrong::new(
                format!("`{text}` is no length of time"),
                "write a number and one of s, min, h, d, w, as in \"30min\"",
            )
        };
        let mut rest = text.trim();
        let mut total = 0_u64;
        if rest.is_empty() {
            return Err(wrong());
        }
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
            let (number, after) = rest.split_at_checked(digits).ok_or_else(wrong)?;
            let letters = after
                .find(|c: char| !c.is_ascii_alphabetic())
                .unwrap_or(after.len());
            let (unit, after) = after.split_at_checked(letters).ok_or_else(wrong)?;
            let number: u64 = number.parse().map_err(|_| wrong())?;
            let seconds = UNITS
                .iter()
                .find(|(name, _)| *name == unit)
                .and_then(|(_, seconds)| number.checked_mul(*seconds))
                .ok_or_else(wrong)?;
            total = total.checked_add(seconds).ok_or_else(wrong)?;
            rest = after.trim_start();
        }
        if total > LONGEST {
            return Err(Wrong::new(
                format!("`{text}` is too long"),
                "at most a hundred years",
            ));
        }
        Ok(Span(total))
    }

    /// As the standard library has it.
    pub fn duration(self) -> Duration {
        Duration::from_secs(self.0)
    }
}

/// How long after a login processes may stay; `None` is for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Linger(pub Option<Span>);

impl Linger {
    /// Reads a length of time or `infinity`.
    pub fn parse(text: &str) -> Result<Linger, Wrong> {
        or_infinity(text, Linger(None), |text| {
            Span::parse(text).map(|span| Linger(Some(span)))
        })
    }
}

/// A length of time as the policy writes it.
pub fn duration_text(duration: Duration) -> String {
    let mut rest = duration.as_secs();
    if rest == 0 {
        return "0s".into();
    }
    let mut parts = Vec::new();
    for (unit, seconds) in UNITS {
        if rest >= seconds {
            parts.push(format!("{}{unit}", rest / seconds));
            rest %= seconds;
        }
    }
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_read_and_print() {
        for (text, seconds) in [
            ("0s", 0),
            ("90min", 5400),
            ("12h", 43_200),
            ("1h 30min", 5400),
        ] {
            assert_eq!(Span::parse(text), Ok(Span(seconds)), "{text}");
        }
        assert_eq!(duration_text(Duration::from_secs(5400)), "1h 30min");
        for text in ["", "5", "h", "5 h", "5y", "-5s", "99999999999999999999s"] {
            assert!(Span::parse(text).is_err(), "{text}");
        }
        assert!(Span::parse("36600d").is_ok());
        let too_long = Span::parse("36600d 1s").unwrap_err();
        assert_eq!(too_long.label, "at most a hundred years");
        assert_eq!(Linger::parse("infinity"), Ok(Linger(None)));
    }
}
