//! Patterns of paths: `/usr/bin/make`, `/usr/libexec/gcc/**`.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Glob, Path, Wrong};

/// Any number of folders.
const ANY_DEPTH: &str = "**";

/// A pattern of absolute paths: `*`, `?` and `[a-z]` within a name, and `**` for any number of folders.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathGlob(String);

impl PathGlob {
    /// Checks a pattern.
    pub fn parse(text: &str) -> Result<PathGlob, Wrong> {
        let path = Path::parse(text)?;
        for name in names(path.as_str()).filter(|name| *name != ANY_DEPTH) {
            if name.contains(ANY_DEPTH) {
                return Err(Wrong::new(
                    format!("`{}`: `**` beside other characters", text.escape_debug()),
                    "write it as a folder's name, as in \"/opt/tools/**\"",
                ));
            }
            Glob::parse(name)?;
        }
        match names(path.as_str()).next() {
            Some(_) => Ok(PathGlob(text.to_owned())),
            None => Err(Wrong::new("`/` is no program", "write a file's path")),
        }
    }

    /// The pattern as it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part before the first name that is a pattern, and the rest. Without a pattern there is no rest.
    pub fn split(&self) -> (PathBuf, Vec<&str>) {
        let mut all = names(&self.0).peekable();
        let mut plain = PathBuf::from("/");
        while let Some(name) = all.next_if(|name| is_plain(name)) {
            plain.push(name);
        }
        (plain, all.collect())
    }
}

impl fmt::Display for PathGlob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether the names of a path are those that a pattern's names mean. Goes back only to the last `**`, so the time is
/// at most the product of the lengths, however deep a user puts their programs.
pub fn names_match(pattern: &[&str], path: &[&str]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut any_depth: Option<(usize, usize)> = None;
    loop {
        let fits = match (pattern.get(p), path.get(n)) {
            (None, None) => return true,
            (Some(&ANY_DEPTH), _) => {
                any_depth = Some((p + 1, n));
                p += 1;
                continue;
            }
            (Some(first), Some(name)) => Glob::parse(first).is_ok_and(|glob| glob.matches(name)),
            _ => false,
        };
        match (fits, any_depth) {
            (true, _) => (p, n) = (p + 1, n + 1),
            (false, Some((behind, from))) if from < path.len() => {
                any_depth = Some((behind, from + 1));
                (p, n) = (behind, from + 1);
            }
            _ => return false,
        }
    }
}

fn names(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|name| !name.is_empty())
}

fn is_plain(name: &str) -> bool {
    Glob::parse(name).is_ok_and(|glob| glob.literal().is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_stays_within_a_folder_unless_it_says_otherwise() {
        let matches = |pattern: &str, path: &str| {
            let (pattern, path): (Vec<_>, Vec<_>) =
                (names(pattern).collect(), names(path).collect());
            names_match(&pattern, &path)
        };
        assert!(matches("/usr/bin/make", "/usr/bin/make"));
        assert!(!matches("/usr/bin/make", "/usr/bin/make/x"));
        assert!(matches("/usr/bin/*", "/usr/bin/make"));
        assert!(!matches("/usr/*", "/usr/bin/make"));
        assert!(matches("/opt/**", "/opt/a/b/icc"));
        assert!(matches("/opt/**/bin/*", "/opt/a/b/bin/icc"));
        assert!(!matches("/opt/**/bin/*", "/opt/a/b/lib/icc"));
        assert!(!matches("/opt/**", "/optional/icc"));
        assert!(matches("/**/a/**/a/b", "/a/x/a/a/b"));
        assert!(!matches("/**/a/**/a/b", "/x/a/b"));
    }

    #[test]
    fn a_deep_path_costs_no_long_time() {
        let path = vec!["a"; 2000];
        let pattern = ["**", "a", "**", "a", "**", "a", "**", "a", "**", "b"];
        assert!(!names_match(&pattern, &path));
    }

    #[test]
    fn the_plain_part_of_a_pattern_can_be_looked_up() {
        let split = |text: &str| {
            let glob = PathGlob::parse(text).unwrap();
            assert_eq!(glob.as_str(), text);
            let (plain, rest) = glob.split();
            (plain, rest.join(" "))
        };
        assert_eq!(split("/usr/bin/make"), ("/usr/bin/make".into(), "".into()));
        assert_eq!(split("/opt/x/**/y"), ("/opt/x".into(), "** y".into()));
        assert_eq!(split("/*/y"), ("/".into(), "* y".into()));
        for bad in ["make", "/usr/../bin", "/", "/opt/x**", "/opt/[z-a]"] {
            assert!(PathGlob::parse(bad).is_err(), "{bad}");
        }
    }
}
