//! Amounts that may be a percentage of something: memory and tasks.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Wrong;
use super::amount::{Powers, amount, bytes_text, not_negative};
use super::wrong::or_infinity;

/// `memory_max` is at least this: less does not hold a shell and its login.
pub(crate) const MEMORY_MAX_FLOOR: u64 = 16 << 20;

/// `tasks_max` is at least this: with fewer, nobody can log in.
pub(crate) const TASKS_MAX_FLOOR: u64 = 8;

/// A percentage, to a hundredth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Percent(u64);

impl Percent {
    /// Reads `25%` or `12.5%`.
    pub fn parse(text: &str) -> Result<Percent, Wrong> {
        let wrong = || {
            Wrong::new(
                format!("`{text}` is no percentage"),
                "write a number and %, as in \"25%\" or \"12.5%\"",
            )
        };
        let number = text.strip_suffix('%').ok_or_else(wrong)?;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(fraction) || fraction.len() > 2 || whole.len() > 9 {
            return Err(wrong());
        }
        let hundredths: u64 = format!("{whole}{fraction:0<2}")
            .parse()
            .map_err(|_| wrong())?;
        if hundredths == 0 {
            return Err(Wrong::new(format!("`{text}` is nothing"), "above 0%"));
        }
        Ok(Percent(hundredths))
    }

    /// What a part is of a whole, rounded down to a hundredth.
    pub fn what_of(part: u64, whole: u64) -> Percent {
        Percent(part.saturating_mul(10_000) / whole.max(1))
    }

    /// In percent.
    pub fn number(self) -> f64 {
        self.0 as f64 / 100.0
    }

    /// Whether it is one of these, both included, in whole percent.
    pub(crate) fn is_within(self, least: u64, most: u64) -> bool {
        (least * 100..=most * 100).contains(&self.0)
    }

    /// That part of a whole, rounded down.
    pub fn of(self, whole: u64) -> u64 {
        let part = u128::from(whole) * u128::from(self.0) / 10_000;
        u64::try_from(part).unwrap_or(u64::MAX)
    }

    fn above_whole(self) -> bool {
        self.0 > 10_000
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, fraction) = (self.0 / 100, self.0 % 100);
        if fraction == 0 {
            write!(f, "{whole}%")
        } else if fraction % 10 == 0 {
            write!(f, "{whole}.{}%", fraction / 10)
        } else {
            write!(f, "{whole}.{fraction:02}%")
        }
    }
}

/// What a percentage is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Base {
    /// Nothing written: the machine's memory, the system's task limit, one CPU.
    Bare,
    /// `of machine`.
    Machine,
    /// `of pool`: the same cap of the user's pool.
    Pool,
    /// `of user`: the same cap of the user.
    User,
}

/// A percentage and its base.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// How much.
    pub percent: Percent,
    /// Of what.
    pub of: Base,
}

impl Part {
    /// Reads `25%`, `25% of machine`, `50% of pool` or `50% of user`.
    pub fn parse(text: &str) -> Result<Part, Wrong> {
        let (percent, of) = match text.split_once(" of ") {
            None => (text, Base::Bare),
            Some((percent, "machine")) => (percent, Base::Machine),
            Some((percent, "pool")) => (percent, Base::Pool),
            Some((percent, "user")) => (percent, Base::User),
            Some((_, other)) => {
                return Err(Wrong::new(
                    format!("unknown base `{other}`"),
                    "a percentage is `of machine`, `of pool` or `of user`",
                ));
            }
        };
        let part = Part {
            percent: Percent::parse(percent)?,
            of,
        };
        if part.of != Base::Bare && part.percent.above_whole() {
            return Err(Wrong::new(
                format!("`{text}` is more than the whole"),
                "at most 100%",
            ));
        }
        Ok(part)
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = match self.of {
            Base::Bare => "",
            Base::Machine => " of machine",
            Base::Pool => " of pool",
            Base::User => " of user",
        };
        write!(f, "{}{of}", self.percent)
    }
}

/// An amount, a part of one, or no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Share {
    /// So much.
    Amount(u64),
    /// A part of something.
    Part(Part),
    /// No limit.
    Infinity,
}

impl Share {
    fn parse(text: &str, absolute: impl Fn(&str) -> Result<u64, Wrong>) -> Result<Share, Wrong> {
        or_infinity(text, Share::Infinity, |text| {
            if !text.contains('%') {
                return absolute(text).map(Share::Amount);
            }
            let part = Part::parse(text)?;
            if part.percent.above_whole() {
                return Err(Wrong::new(
                    format!("`{text}` is more than there is"),
                    "at most 100%",
                ));
            }
            Ok(Share::Part(part))
        })
    }

    /// The base, where it is a percentage.
    pub fn base(&self) -> Option<Base> {
        match self {
            Share::Part(part) => Some(part.of),
            _ => None,
        }
    }
}

/// A cap in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory(pub Share);

impl Memory {
    /// Reads `4G`, `25%` or `infinity`.
    pub fn parse(text: &str) -> Result<Memory, Wrong> {
        Share::parse(text, |text| amount(text, Powers::Of1024)).map(Memory)
    }

    /// So many bytes.
    pub fn of(bytes: i64) -> Result<Memory, Wrong> {
        not_negative(bytes).map(|bytes| Memory(Share::Amount(bytes)))
    }
}

/// A cap in bytes that a login must be able to live under.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryMax(pub Share);

impl MemoryMax {
    /// A cap, if it is large enough.
    pub fn of(memory: Memory) -> Result<MemoryMax, Wrong> {
        let wrong = match memory.0 {
            Share::Amount(bytes) => too_little("memory_max", bytes),
            _ => None,
        };
        wrong.map_or(Ok(MemoryMax(memory.0)), Err)
    }
}

/// Why a login cannot live under so many bytes.
pub(crate) fn too_little(key: &str, bytes: u64) -> Option<Wrong> {
    (bytes < MEMORY_MAX_FLOOR).then(|| {
        Wrong::new(
            format!("{key} of {} holds no login", bytes_text(bytes)),
            match bytes {
                1..1024 => format!("a number alone is bytes; did you mean \"{bytes}G\"?"),
                _ => "at least 16M".into(),
            },
        )
    })
}

/// A cap on tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tasks(pub Share);

impl Tasks {
    /// Reads `50%` or `infinity`.
    pub fn parse(text: &str) -> Result<Tasks, Wrong> {
        let number = |text: &str| {
            Err(Wrong::new(
                format!("`{text}` is no number of tasks"),
                "write a number without quotes, a percentage, or \"infinity\"",
            ))
        };
        Share::parse(text, number).map(Tasks)
    }

    /// So many tasks.
    pub fn of(tasks: i64) -> Result<Tasks, Wrong> {
        let count = not_negative(tasks)?;
        if count < TASKS_MAX_FLOOR {
            return Err(Wrong::new(
                format!("tasks_max of {count} lets nobody log in"),
                "at least 8",
            ));
        }
        Ok(Tasks(Share::Amount(count)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentage_keeps_its_base() {
        let part = |text| Part::parse(text).map(|part| (part.percent.of(1_000_000), part.of));
        assert_eq!(part("25%"), Ok((250_000, Base::Bare)));
        assert_eq!(part("12.5% of pool"), Ok((125_000, Base::Pool)));
        assert_eq!(part("0.01% of user"), Ok((100, Base::User)));
        assert!(part("25% of moon").unwrap_err().message.contains("`moon`"));
        for text in ["%", "25 %", "-5%", "0%", "1.234%", "101% of machine", "x%"] {
            assert!(Part::parse(text).is_err(), "{text}");
        }
        assert_eq!(
            Part::parse("12.5% of pool").unwrap().to_string(),
            "12.5% of pool"
        );
    }

    #[test]
    fn a_percentage_is_digits_on_both_sides_and_no_endless_number() {
        for text in [".5%", "5.%", "+5%", "5.+5%", "1234567890%"] {
            assert!(Percent::parse(text).is_err(), "{text}");
        }
        assert!(Percent::parse("123456789%").is_ok());
        let is_within = |text: &str| Percent::parse(text).unwrap().is_within(1, 100);
        assert!(Part::parse("100% of machine").is_ok());
        assert!(is_within("1%") && is_within("100%"));
        assert!(!is_within("0.99%") && !is_within("100.01%"));
    }

    #[test]
    fn caps_have_floors() {
        assert!(MemoryMax::of(Memory::parse("15M").unwrap()).is_err());
        assert!(MemoryMax::of(Memory::parse("16M").unwrap()).is_ok());
        assert!(Tasks::of(7).is_err());
        assert!(Tasks::of(8).is_ok());
        assert!(Memory::parse("120%").is_err());
    }
}
