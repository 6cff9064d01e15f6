//! Ranges of UIDs.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Wrong;

/// UIDs from one to another, both within.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct UidRange {
    first: u32,
    last: u32,
}

/// 4294967295 is what the kernel calls "no UID".
const LAST: u32 = u32::MAX - 1;

impl UidRange {
    /// Reads `1000`, `20000-29999` or `1000-`.
    pub fn parse(text: &str) -> Result<UidRange, Wrong> {
        let wrong = || {
            Wrong::new(
                format!("`{text}` is no UID or range of UIDs"),
                "write \"1000\", \"20000-29999\" or \"1000-\"",
            )
        };
        let uid = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            digits
                .then(|| text.parse().ok())
                .flatten()
                .filter(|uid| *uid <= LAST)
                .ok_or_else(wrong)
        };
        let (first, last) = match text.split_once('-') {
            None => (uid(text)?, uid(text)?),
            Some((first, "")) => (uid(first)?, LAST),
            Some((first, last)) => (uid(first)?, uid(last)?),
        };
        if first > last {
            return Err(Wrong::new(
                format!("`{text}` runs backwards"),
                format!("write \"{last}-{first}\""),
            ));
        }
        Ok(UidRange { first, last })
    }

    /// A range, if it runs forwards.
    pub fn new(first: u32, last: u32) -> Option<UidRange> {
        (first <= last && last <= LAST).then_some(UidRange { first, last })
    }

    /// One UID.
    pub fn of(uid: i64) -> Result<UidRange, Wrong> {
        UidRange::parse(&uid.to_string())
    }

    /// Whether a UID is within.
    pub fn holds(&self, uid: u32) -> bool {
        (self.first..=self.last).contains(&uid)
    }

    /// Whether all of the other range is within.
    pub fn covers(&self, other: &UidRange) -> bool {
        self.first <= other.first && other.last <= self.last
    }

    /// As the standard library has it.
    pub fn range(&self) -> std::ops::RangeInclusive<u32> {
        self.first..=self.last
    }
}

impl fmt::Display for UidRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "{}", self.first)
        } else if self.last == LAST {
            write!(f, "{}-", self.first)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_hold_both_ends() {
        let range = UidRange::parse("20000-29999").unwrap();
        assert!(range.holds(20_000) && range.holds(29_999));
        assert!(!range.holds(19_999) && !range.holds(30_000));
        assert!(UidRange::parse("1000-").unwrap().holds(LAST));
        for text in ["7", "20000-29999", "1000-"] {
            assert_eq!(UidRange::parse(text).unwrap().to_string(), text);
        }
        for text in ["", "-", "-5", "5-1", "4294967295", "x", "1-2-3", "+1"] {
            assert!(UidRange::parse(text).is_err(), "{text}");
        }
    }
}
