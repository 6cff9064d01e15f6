//! CPU time: how much, and whose turn it is.

use serde::{Deserialize, Serialize};

use super::wrong::or_infinity;
use super::{Part, Wrong};
use crate::outcome::CpuWeight;

/// The kernel's range of weights.
const WEIGHTS: std::ops::RangeInclusive<i64> = 1..=10_000;

/// A share of CPU time. A bare percentage is of one CPU, and may be above 100%.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CpuQuota {
    /// A part of one CPU, of the machine, of the pool or of the user.
    Part(Part),
    /// No limit.
    Infinity,
}

impl CpuQuota {
    /// Reads `400%`, `50% of machine` or `infinity`.
    pub fn parse(text: &str) -> Result<CpuQuota, Wrong> {
        or_infinity(text, CpuQuota::Infinity, |text| {
            Part::parse(text).map(CpuQuota::Part)
        })
    }
}

impl CpuWeight {
    /// Reads `idle`.
    pub(crate) fn parse(text: &str) -> Result<CpuWeight, Wrong> {
        if text == "idle" {
            return Ok(CpuWeight::Idle);
        }
        Err(Wrong::new(
            format!("`{text}` is no weight"),
            "write 1 to 10000 without quotes, or \"idle\"",
        ))
    }

    /// A weight in the kernel's range.
    pub(crate) fn of(weight: i64) -> Result<CpuWeight, Wrong> {
        Weight::of(weight).map(|weight| CpuWeight::Weight(weight.0))
    }
}

/// A share of what there is, against the others' weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Weight(pub u16);

impl Weight {
    /// A weight in the kernel's range.
    pub fn of(weight: i64) -> Result<Weight, Wrong> {
        u16::try_from(weight)
            .ok()
            .filter(|_| WEIGHTS.contains(&weight))
            .map(Weight)
            .ok_or_else(|| Wrong::new(format!("weight {weight} is out of range"), "1 to 10000"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_may_be_more_than_one_cpu_but_not_more_than_the_machine() {
        assert!(CpuQuota::parse("800%").is_ok());
        assert!(CpuQuota::parse("120% of machine").is_err());
        assert!(CpuQuota::parse("2").is_err());
        assert!(CpuQuota::parse("0%").is_err());
    }

    #[test]
    fn weights_are_the_kernels() {
        assert_eq!(CpuWeight::of(10_000), Ok(CpuWeight::Weight(10_000)));
        assert_eq!(CpuWeight::parse("idle"), Ok(CpuWeight::Idle));
        for weight in [0, -1, 10_001, i64::MAX] {
            assert!(Weight::of(weight).is_err(), "{weight}");
        }
    }
}
