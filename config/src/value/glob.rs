//! Patterns of names: `*`, `?`, `[a-z]`, `[!a-z]`.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Wrong;

/// A pattern. It is kept as it is written, and matched as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Glob(String);

/// Characters that make a pattern of a name.
const SPECIAL: [char; 3] = ['*', '?', '['];

impl Glob {
    /// Checks a pattern.
    pub fn parse(text: &str) -> Result<Glob, Wrong> {
        if text.is_empty() {
            return Err(Wrong::new(
                "an empty pattern matches nothing",
                "write a name or a pattern",
            ));
        }
        if text.starts_with('!') {
            return Err(Wrong::new(
                "`!` does not negate a test",
                "write this test in `except = { ... }`",
            ));
        }
        let mut rest: Vec<char> = text.chars().collect();
        rest.reverse();
        while let Some(c) = rest.pop() {
            if c == '[' && Class::take(&mut rest).is_none() {
                return Err(Wrong::new(
                    format!("`{text}`: a `[` without its `]`, or with a range that runs backwards"),
                    "write a set such as [a-z]",
                ));
            }
        }
        Ok(Glob(text.to_owned()))
    }

    /// The pattern as it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name, if it is one and no pattern.
    pub fn literal(&self) -> Option<&str> {
        (!self.0.contains(SPECIAL)).then_some(&self.0)
    }

    /// Whether a name is one of those meant. The empty name is none.
    pub fn matches(&self, name: &str) -> bool {
        if name.is_empty() {
            return false;
        }
        match self.literal() {
            Some(literal) => literal == name,
            None => {
                let pattern: Vec<char> = self.0.chars().collect();
                let name: Vec<char> = name.chars().collect();
                matches(&pattern, &name)
            }
        }
    }

    /// Whether every name that `other` means is meant by this pattern too, as far as can be told.
    pub fn covers(&self, other: &Glob) -> bool {
        self == other || self.0 == "*" || other.literal().is_some_and(|name| self.matches(name))
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Goes back only to the last `*`, so the time is at most the product of the lengths, whatever a
/// user puts into a name.
fn matches(pattern: &[char], name: &[char]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    loop {
        let step = match (pattern.get(p), name.get(n)) {
            (None, None) => return true,
            (Some('*'), _) => {
                star = Some((p, n));
                p += 1;
                continue;
            }
            (Some('?'), Some(_)) => Some(1),
            (Some('['), Some(c)) => {
                let mut rest: Vec<char> = pattern.iter().skip(p + 1).rev().copied().collect();
                let before = rest.len();
                Class::take(&mut rest)
                    .filter(|class| class.holds(*c))
                    .map(|_| 1 + before - rest.len())
            }
            (Some(expected), Some(c)) if expected == c => Some(1),
            _ => None,
        };
        match (step, star) {
            (Some(length), _) => {
                p += length;
                n += 1;
            }
            (None, Some((at, from))) if from < name.len() => {
                star = Some((at, from + 1));
                p = at + 1;
                n = from + 1;
            }
            _ => return false,
        }
    }
}

struct Class {
    negated: bool,
    ranges: Vec<(char, char)>,
}

impl Class {
    /// Takes a set, the `[` of which is already taken, off the end of the reversed pattern.
    fn take(rest: &mut Vec<char>) -> Option<Class> {
        let mut class = Class {
            negated: rest.last() == Some(&'!'),
            ranges: Vec::new(),
        };
        if class.negated {
            rest.pop();
        }
        loop {
            let first = rest.pop()?;
            if first == ']' && !class.ranges.is_empty() {
                return Some(class);
            }
            // A `-` before the `]` is itself.
            let range = rest.last() == Some(&'-')
                && rest.len() > 1
                && rest.get(rest.len() - 2) != Some(&']');
            let last = if range {
                rest.pop();
                rest.pop()?
            } else {
                first
            };
            if last < first {
                return None;
            }
            class.ranges.push((first, last));
        }
    }

    fn holds(&self, c: char) -> bool {
        let inside = self
            .ranges
            .iter()
            .any(|(first, last)| (*first..=*last).contains(&c));
        inside != self.negated
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, name: &str) -> bool {
        Glob::parse(pattern).unwrap().matches(name)
    }

    #[test]
    fn patterns_match_as_in_a_shell() {
        assert!(matches("gw-*", "gw-"));
        assert!(matches("gw-*", "gw-7"));
        assert!(!matches("gw-*", "xgw-7"));
        assert!(matches("*a*b", "xxaxxbab"));
        assert!(!matches("*a*b", "xxaxxba"));
        assert!(matches("s[0-9][!a]x", "s5bx"));
        assert!(!matches("s[0-9][!a]x", "s5ax"));
        assert!(matches("[a-]", "-"));
        assert!(matches("[]]", "]"));
        assert!(matches("?é", "öé"));
        assert!(!matches("*", ""), "nothing is no name");
    }

    #[test]
    fn a_long_name_costs_no_long_time() {
        let name = "a".repeat(4096);
        assert!(!matches("*a*a*a*a*a*a*a*b", &name));
    }

    #[test]
    fn a_pattern_covers_itself_and_names_that_it_matches_and_only_all_covers_another() {
        let covers = |wide: &str, narrow: &str| {
            let [wide, narrow] = [wide, narrow].map(|text| Glob::parse(text).unwrap());
            wide.covers(&narrow)
        };
        for (wide, narrow) in [("a*", "a*"), ("*", "a?"), ("a*", "ab"), ("a", "a")] {
            assert!(covers(wide, narrow), "{wide} {narrow}");
        }
        for (wide, narrow) in [("a*", "ab*"), ("a*", "b"), ("a", "b"), ("a", "a*")] {
            assert!(!covers(wide, narrow), "{wide} {narrow}");
        }
        assert_eq!(Glob::parse("a*").unwrap().as_str(), "a*");
    }

    #[test]
    fn broken_patterns_are_refused() {
        for pattern in ["", "a[", "[z-a]", "[", "!x", "[]", "[a-"] {
            assert!(Glob::parse(pattern).is_err(), "{pattern}");
        }
    }
}
