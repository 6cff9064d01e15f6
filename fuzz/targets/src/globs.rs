//! Patterns and single values, against the slowest and most obvious way to do the same.

use berth_config::value::{
    CpuQuota, Glob, IdList, IdSet, Linger, Memory, Part, PathGlob, Percent, Rate, Remote, Size,
    Span, UidRange, names_match,
};

use crate::input;

/// A pattern in the first line, what it is matched with in the second.
pub fn run(input: &[u8]) {
    let text = input::text(input);
    let mut lines = text.split('\n');
    let (pattern, name) = (lines.next().unwrap_or(""), lines.next().unwrap_or(""));
    values(pattern);
    if let Ok(glob) = Glob::parse(pattern) {
        assert_eq!(glob.as_str(), pattern);
        if let Some(expected) = obvious(pattern, name) {
            let expected = expected && !name.is_empty();
            assert_eq!(glob.matches(name), expected, "{pattern:?} {name:?}");
        }
        if let Some(literal) = glob.literal() {
            assert_eq!(glob.matches(name), literal == name);
        }
        if let Ok(other) = Glob::parse(name) {
            // A name that `other` means is meant by whoever covers it.
            let meant = other.matches(name) && glob.covers(&other);
            assert!(!meant || glob.matches(name), "{pattern:?} covers {name:?}");
        }
    }
    if let Ok(remote) = Remote::parse(pattern) {
        assert!(!remote.matches(""));
        remote.matches(name);
        if let Ok(address) = pattern.parse::<std::net::IpAddr>() {
            assert!(remote.matches(pattern), "{address} is not itself");
        }
    }
    if let Ok(glob) = PathGlob::parse(pattern) {
        assert_eq!(glob.as_str(), pattern);
        let (plain, rest) = glob.split();
        assert!(plain.is_absolute());
        let names = |path: &'_ str| -> Vec<String> {
            let names = path.split('/').filter(|name| !name.is_empty());
            names.map(String::from).collect()
        };
        let (pattern, path) = (names(pattern), names(name));
        let pattern: Vec<&str> = pattern.iter().map(String::as_str).collect();
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        assert!(pattern.ends_with(&rest));
        let matches = names_match(&pattern, &path);
        // What is obvious is slow.
        if pattern.len() <= 6 && path.len() <= 8 && text.len() <= 1000 {
            assert_eq!(matches, obvious_path(&pattern, &path));
        }
    }
}

/// Every way to let a `*` take characters. `None` where there are too many.
fn obvious(pattern: &str, name: &str) -> Option<bool> {
    let stars = pattern.chars().filter(|c| *c == '*').count();
    let (pattern, name): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), name.chars().collect());
    (stars <= 3 && name.len() <= 40).then(|| every_way(&pattern, &name))
}

fn every_way(pattern: &[char], name: &[char]) -> bool {
    match pattern {
        [] => name.is_empty(),
        ['*', rest @ ..] => (0..=name.len()).any(|taken| every_way(rest, &name[taken..])),
        ['[', rest @ ..] => {
            // The first character of a set may be the bracket that ends one.
            let negated = rest.first() == Some(&'!');
            let set = &rest[usize::from(negated)..];
            let end = 1 + set[1..].iter().position(|c| *c == ']').expect("its end");
            let (set, rest) = (&set[..end], &set[end + 1..]);
            match name {
                [first, below @ ..] => is_in(set, *first) != negated && every_way(rest, below),
                [] => false,
            }
        }
        [wanted, rest @ ..] => match name {
            [first, below @ ..] => (*wanted == '?' || wanted == first) && every_way(rest, below),
            [] => false,
        },
    }
}

fn is_in(set: &[char], c: char) -> bool {
    match set {
        [] => false,
        [first, '-', last, rest @ ..] => (*first..=*last).contains(&c) || is_in(rest, c),
        [one, rest @ ..] => *one == c || is_in(rest, c),
    }
}

fn obvious_path(pattern: &[&str], path: &[&str]) -> bool {
    match pattern {
        [] => path.is_empty(),
        ["**", rest @ ..] => (0..=path.len()).any(|taken| obvious_path(rest, &path[taken..])),
        [first, rest @ ..] => match path {
            [name, below @ ..] => {
                Glob::parse(first).expect("a pattern").matches(name) && obvious_path(rest, below)
            }
            [] => false,
        },
    }
}

/// What is read and printed again is read as the same.
fn values(text: &str) {
    if let Ok(percent) = Percent::parse(text) {
        assert_eq!(Percent::parse(&percent.to_string()), Ok(percent));
        assert!(percent.of(u64::MAX) > 0);
    }
    if let Ok(part) = Part::parse(text) {
        assert_eq!(Part::parse(&part.to_string()), Ok(part));
    }
    if let Some(ids) = IdSet::parse(text) {
        assert_eq!(IdSet::parse(&ids.to_string()), Some(ids.clone()));
        assert!(ids.and(&ids) == Some(ids.clone()) && ids.len() > 0);
    }
    if let Ok(list) = IdList::parse(text) {
        let again = IdList::parse(&list.to_string()).map(|list| list.to_string());
        assert_eq!(again, Ok(list.to_string()));
    }
    if let Ok(size) = Size::parse(text) {
        assert!(size.0 <= i64::MAX as u64);
        assert_eq!(Size::parse(&size.0.to_string()), Ok(size));
    }
    let _ = (
        Memory::parse(text),
        Rate::parse(text),
        CpuQuota::parse(text),
    );
    let _ = (
        Span::parse(text),
        Linger::parse(text),
        UidRange::parse(text),
    );
    let _ = berth_config::parse_exception(text);
}
