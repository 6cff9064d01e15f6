//! Sets of CPU and NUMA node numbers, as the kernel writes them: `0-3,8`.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Wrong;

/// No machine has more CPUs or nodes than this.
const LARGEST: u32 = 65_535;

/// A set of numbers, kept as ranges that are in order and do not touch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdSet(Vec<(u32, u32)>);

impl IdSet {
    /// The set of one number.
    pub fn single(id: u32) -> IdSet {
        IdSet(vec![(id, id)])
    }

    /// Reads a kernel list. The empty list is no set of CPUs.
    pub fn parse(text: &str) -> Option<IdSet> {
        let mut ranges = Vec::new();
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (id(first)?, id(last)?);
            if first > last {
                return None;
            }
            ranges.push((first, last));
        }
        Some(IdSet::from_ranges(ranges))
    }

    pub(super) fn from_ranges(mut ranges: Vec<(u32, u32)>) -> IdSet {
        ranges.sort_unstable();
        let mut merged: Vec<(u32, u32)> = Vec::with_capacity(ranges.len());
        for (first, last) in ranges {
            match merged.last_mut() {
                Some(previous) if first <= previous.1.saturating_add(1) => {
                    previous.1 = previous.1.max(last);
                }
                _ => merged.push((first, last)),
            }
        }
        IdSet(merged)
    }

    /// How many numbers are in the set.
    #[allow(clippy::len_without_is_empty)] // parsing refuses the empty set
    pub fn len(&self) -> usize {
        self.0
            .iter()
            .map(|(first, last)| (last - first) as usize + 1)
            .sum()
    }

    /// The numbers that are in both sets, if any is.
    pub fn and(&self, other: &IdSet) -> Option<IdSet> {
        let mut both = Vec::new();
        for (first, last) in &self.0 {
            for (other_first, other_last) in &other.0 {
                let (first, last) = (*first.max(other_first), *last.min(other_last));
                if first <= last {
                    both.push((first, last));
                }
            }
        }
        (!both.is_empty()).then(|| IdSet::from_ranges(both))
    }
}

impl fmt::Display for IdSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (first, last)) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            if first == last {
                write!(f, "{first}")?;
            } else {
                write!(f, "{first}-{last}")?;
            }
        }
        Ok(())
    }
}

pub(super) fn id(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let id = digits.then(|| text.parse().ok()).flatten()?;
    (id <= LARGEST).then_some(id)
}

/// A policy's `allowed_cpus`: a kernel list whose last range may be open, `4-`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdList {
    ranges: Vec<(u32, u32)>,
    open_from: Option<u32>,
}

impl IdList {
    /// Reads `0-3,8` or `2,4-`.
    pub fn parse(text: &str) -> Result<IdList, Wrong> {
        let wrong = || {
            Wrong::new(
                format!("`{text}` is no list of numbers"),
                "write \"0-3,8\" or \"4-\"",
            )
        };
        let mut ranges = Vec::new();
        let mut open_from = None;
        for part in text.split(',').map(str::trim) {
            if open_from.is_some() {
                return Err(Wrong::new(
                    format!("`{text}`: an open range must be the last"),
                    "write \"0-3,8-\"",
                ));
            }
            match part.split_once('-') {
                Some((first, "")) => open_from = Some(id(first).ok_or_else(wrong)?),
                Some((first, last)) => {
                    let (first, last) = (id(first).ok_or_else(wrong)?, id(last).ok_or_else(wrong)?);
                    if first > last {
                        return Err(Wrong::new(
                            format!("`{part}` runs backwards"),
                            format!("write \"{last}-{first}\""),
                        ));
                    }
                    ranges.push((first, last));
                }
                None => {
                    let id = id(part).ok_or_else(wrong)?;
                    ranges.push((id, id));
                }
            }
        }
        Ok(IdList { ranges, open_from })
    }

    /// What the machine has of it, if any: the kernel refuses a list with a CPU that it has not.
    pub fn on(&self, machine: &IdSet) -> Option<IdSet> {
        let open = self.open_from.map(|first| (first, LARGEST));
        let ranges = self.ranges.iter().copied().chain(open).collect();
        IdSet::from_ranges(ranges).and(machine)
    }
}

impl fmt::Display for IdList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let closed = IdSet::from_ranges(self.ranges.clone());
        match self.open_from {
            Some(first) if self.ranges.is_empty() => write!(f, "{first}-"),
            Some(first) => write!(f, "{closed},{first}-"),
            None => write!(f, "{closed}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_what_the_machine_has_of_it() {
        let on_machine = |machine, text| {
            let machine = IdSet::parse(machine).unwrap();
            let on = IdList::parse(text).unwrap().on(&machine);
            on.map(|set| set.to_string())
        };
        let on = |text| on_machine("0-15", text);
        assert_eq!(on("2-").as_deref(), Some("2-15"));
        assert_eq!(on("0,4-").as_deref(), Some("0,4-15"));
        assert_eq!(on("0-3,8").as_deref(), Some("0-3,8"));
        assert_eq!(on("0,1,2").as_deref(), Some("0-2"));
        assert_eq!(on("16-"), None, "the machine has none of these");
        assert_eq!(on("16-20"), None);
        assert_eq!(on("2-2").as_deref(), Some("2"));
        assert_eq!(on("0-31").as_deref(), Some("0-15"));
        assert_eq!(on("0-3,14-20,99").as_deref(), Some("0-3,14-15"));
        let with_holes = |text| on_machine("0-3,8,10-11", text);
        assert_eq!(with_holes("2-").as_deref(), Some("2-3,8,10-11"));
        assert_eq!(with_holes("1,3-10").as_deref(), Some("1,3,8,10"));
        assert_eq!(with_holes("4-7"), None);
        for text in ["2-", "0-3,8-", "0-3,8"] {
            assert_eq!(IdList::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(IdSet::parse("2-5,7").unwrap().len(), 5);
    }

    #[test]
    fn what_is_no_list_says_so() {
        for text in ["", "x", "3-1", "4-,5", "-3", "1,,2", "99999999999", "+1"] {
            assert!(IdList::parse(text).is_err(), "{text}");
        }
    }
}
