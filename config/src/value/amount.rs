//! Amounts: bytes, bytes per second, counts.

use serde::{Deserialize, Serialize};

use super::Wrong;
use super::wrong::or_infinity;
use crate::outcome::Limit;

/// The suffixes in order: each is the base to the power of its place.
const SUFFIXES: [&str; 6] = ["", "K", "M", "G", "T", "P"];

/// What K, M, G and T are powers of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Powers {
    /// Memory and disk space.
    Of1024,
    /// Bandwidth and operations.
    Of1000,
}

impl Powers {
    fn base(self) -> u64 {
        match self {
            Powers::Of1024 => 1024,
            Powers::Of1000 => 1000,
        }
    }
}

/// Reads `3G`, `1.5G` or `4096`.
pub(super) fn amount(text: &str, powers: Powers) -> Result<u64, Wrong> {
    let digits_end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at_checked(digits_end).unwrap_or((text, ""));
    let not_one = || {
        Wrong::new(
            format!("`{text}` is no amount"),
            "write a number and one of K, M, G, T, as in \"512M\"",
        )
    };
    if number.is_empty() {
        return Err(not_one());
    }
    let Some(power) = SUFFIXES.iter().position(|known| *known == suffix) else {
        return Err(Wrong::new(
            format!("unknown unit `{suffix}`"),
            format!("units are K, M, G, T: powers of {}", powers.base()),
        ));
    };
    let unit = u32::try_from(power)
        .ok()
        .and_then(|power| powers.base().checked_pow(power));
    let too_large = || Wrong::new(format!("`{text}` is too large"), "at most 2^63 - 1");
    let unit = unit.ok_or_else(too_large)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let whole: u64 = whole.parse().map_err(|_| {
        if whole.is_empty() {
            not_one()
        } else {
            too_large()
        }
    })?;
    if fraction.is_empty() {
        return Err(not_one());
    }
    // A fraction of a unit is rounded down to a whole byte.
    let fraction: f64 = format!("0.{fraction}").parse().map_err(|_| not_one())?;
    let total = whole
        .checked_mul(unit)
        .and_then(|bytes| bytes.checked_add((fraction * unit as f64) as u64));
    total
        .filter(|total| *total <= i64::MAX as u64)
        .ok_or_else(too_large)
}

pub(crate) fn not_negative(number: i64) -> Result<u64, Wrong> {
    u64::try_from(number).map_err(|_| {
        Wrong::no_limit(&number.to_string())
            .unwrap_or_else(|| Wrong::new(format!("`{number}` is below 0"), "at least 0"))
    })
}

fn text_of(amount: u64, base: u64) -> String {
    let mut unit = 1_u64;
    let mut suffix = "";
    for next in SUFFIXES.iter().skip(1) {
        match unit.checked_mul(base) {
            Some(larger) if amount >= larger => (unit, suffix) = (larger, next),
            _ => break,
        }
    }
    if amount % unit == 0 {
        return format!("{}{suffix}", amount / unit);
    }
    let rounded = format!("{:.1}", amount as f64 / unit as f64);
    format!("{}{suffix}", rounded.strip_suffix(".0").unwrap_or(&rounded))
}

/// Bytes as people read them: `3G`, `57.6G`.
pub fn bytes_text(bytes: u64) -> String {
    text_of(bytes, 1024)
}

/// Bytes or operations per second as people read them: `50M`.
pub fn rate_text(rate: u64) -> String {
    text_of(rate, 1000)
}

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Size(pub u64);

impl Size {
    /// Reads `256M`.
    pub fn parse(text: &str) -> Result<Size, Wrong> {
        amount(text, Powers::Of1024).map(Size)
    }
}

/// A number of bytes, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ByteLimit(pub Limit);

impl ByteLimit {
    /// Reads `256M` or `infinity`.
    pub fn parse(text: &str) -> Result<ByteLimit, Wrong> {
        if text.contains('%') {
            return Err(Wrong::new(
                format!("`{text}`: no percentage here"),
                "write bytes, as in \"2G\", or \"infinity\"",
            ));
        }
        or_infinity(text, ByteLimit(Limit::Infinity), |text| {
            Size::parse(text).map(|size| ByteLimit(Limit::Finite(size.0)))
        })
    }
}

/// Bytes or operations per second: K, M and G are of 1000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate(pub Limit);

impl Rate {
    /// Reads `50M` or `infinity`.
    pub fn parse(text: &str) -> Result<Rate, Wrong> {
        or_infinity(text, Rate(Limit::Infinity), |text| {
            amount(text, Powers::Of1000).and_then(Rate::of)
        })
    }

    /// The kernel takes no rate of 0.
    pub fn of(rate: u64) -> Result<Rate, Wrong> {
        if rate == 0 {
            return Err(Wrong::new(
                "a rate of 0 would never let anything through",
                "at least 1",
            ));
        }
        Ok(Rate(Limit::Finite(rate)))
    }
}

/// A count from 1 on, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count(pub Option<u32>);

impl Count {
    /// Reads `infinity`.
    pub fn parse(text: &str) -> Result<Count, Wrong> {
        or_infinity(text, Count(None), |text| {
            Err(Wrong::new(
                format!("`{text}` is no count"),
                "write a number without quotes, or \"infinity\"",
            ))
        })
    }

    /// A count.
    pub fn of(number: i64) -> Result<Count, Wrong> {
        match u32::try_from(number) {
            Ok(count) if count > 0 => Ok(Count(Some(count))),
            _ => Err(Wrong::no_limit(&number.to_string()).unwrap_or_else(|| {
                Wrong::new(
                    format!("`{number}` is out of range"),
                    "at least 1; to let nobody in, write a rule with action = \"deny\"",
                )
            })),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_in_powers_of_1024_and_io_in_powers_of_1000() {
        assert_eq!(Size::parse("3G"), Ok(Size(3 << 30)));
        assert_eq!(Size::parse("1.5K"), Ok(Size(1536)));
        assert_eq!(Size::parse("42"), Ok(Size(42)));
        assert_eq!(Rate::parse("50M"), Ok(Rate(Limit::Finite(50_000_000))));
    }

    #[test]
    fn what_is_no_amount_is_told_what_would_be_one() {
        let label = |text| Size::parse(text).unwrap_err().label;
        assert_eq!(label("3GB"), "units are K, M, G, T: powers of 1024");
        // Of what has to have an end it is not told how to write none.
        assert!(label("unlimited").starts_with("write a number"));
        let limit = ByteLimit::parse("unlimited").unwrap_err().label;
        assert_eq!(limit, "write \"infinity\"");
        assert_eq!(label("99999999999T"), "at most 2^63 - 1");
        for text in [
            "", "G", "1..5G", "-1G", " 1G", "1e3", "1.2.3G", ".5G", "3.G", "3.",
        ] {
            assert!(Size::parse(text).is_err(), "{text:?}");
        }
        assert!(Rate::parse("0").is_err());
        assert!(Count::of(0).is_err());
        assert_eq!(Count::parse("infinity"), Ok(Count(None)));
    }

    #[test]
    fn amounts_print_short() {
        assert_eq!(bytes_text(3 << 30), "3G");
        assert_eq!(bytes_text(61_847_529_062), "57.6G");
        assert_eq!(bytes_text(0), "0");
        assert_eq!(bytes_text((1 << 30) + 1), "1G");
        assert_eq!(rate_text(50_000_000), "50M");
    }
}
