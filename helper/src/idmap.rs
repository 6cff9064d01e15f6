//! The maps of a berth's user namespace (user_namespaces(7)).

use std::collections::BTreeSet;
use std::fmt::Write;

use crate::error::{Error, Result};

/// The most extents that a map may have (Linux 4.15, user_namespaces(7)).
pub const MAX_EXTENTS: usize = 340;

/// A map must be written in one write of less than a page.
pub const PAGE: usize = 4096;

/// A range of ids that are mapped to themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Extent {
    first: u64,
    count: u64,
}

/// The UID that owns a user's namespaces: `base + uid`.
///
/// A namespace that root owns charges what happens inside to root, so that one user's berth could use
/// up root's inotify instances; one that the user owns gives that user's processes outside every
/// capability in it. A UID of its own does neither.
pub fn owner(base: u32, uid: u32) -> Result<u32> {
    let owner = u64::from(base) + u64::from(uid);
    let reason = if uid >= base {
        "the user's UID lies in the reserved range itself".to_string()
    } else if owner >= u64::from(u32::MAX) {
        "it is past the largest UID".to_string()
    } else {
        return Ok(owner as u32);
    };
    Err(Error::Owner { owner, uid, reason })
}

/// `identity`: every id that this process can see, mapped to itself, but for the reserved owners'.
///
/// The owners' range must stay unmapped: a process inside that could become its namespace's owner
/// would have every right over its init.
pub fn identity(own: &str, base: u32) -> Result<String> {
    let base = u64::from(base);
    // Owners are base + UID with UID < base, so what is past 2 * base is nobody's.
    let allowed = [0..base, 2 * base..u64::from(u32::MAX)];
    let mut extents = Vec::new();
    for line in own.lines() {
        let mut numbers = line.split_whitespace().map(|word| word.parse::<u64>());
        let (Some(Ok(first)), Some(Ok(_)), Some(Ok(count))) =
            (numbers.next(), numbers.next(), numbers.next())
        else {
            continue;
        };
        for range in &allowed {
            let start = first.max(range.start);
            let end = (first + count).min(range.end);
            if start < end {
                extents.push(Extent {
                    first: start,
                    count: end - start,
                });
            }
        }
    }
    render("the ids of this machine", &extents)
}

/// Whether a map has an id.
pub fn has(map: &str, id: u32) -> bool {
    let id = u64::from(id);
    map.lines().any(|line| {
        let mut numbers = line.split_whitespace().flat_map(str::parse::<u64>);
        let (first, count) = (numbers.next(), numbers.nth(1));
        let extent = first.zip(count);
        extent.is_some_and(|(first, count)| (first..first + count).contains(&id))
    })
}

/// `minimal`: just these ids, mapped to themselves.
pub fn minimal(what: &'static str, ids: impl IntoIterator<Item = u32>) -> Result<String> {
    let mut extents: Vec<Extent> = Vec::new();
    for id in ids.into_iter().map(u64::from).collect::<BTreeSet<u64>>() {
        match extents.last_mut() {
            Some(last) if last.first + last.count == id => last.count += 1,
            _ => extents.push(Extent {
                first: id,
                count: 1,
            }),
        }
    }
    render(what, &extents)
}

fn render(what: &'static str, extents: &[Extent]) -> Result<String> {
    let mut text = String::new();
    for Extent { first, count } in extents {
        let _ = writeln!(text, "{first} {first} {count}"); // writing to a String cannot fail
    }
    if extents.len() > MAX_EXTENTS || text.len() >= PAGE {
        return Err(Error::Map {
            what,
            extents: extents.len(),
            bytes: text.len(),
        });
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identity_leaves_the_owners_out() {
        let map = identity("0 0 4294967295\n", 2_000_000_000).unwrap();
        assert_eq!(map, "0 0 2000000000\n4000000000 4000000000 294967295\n");
    }

    #[test]
    fn identity_in_a_container_maps_what_the_container_has() {
        let map = identity("0 100000 65536\n", 2_000_000_000).unwrap();
        assert_eq!(map, "0 0 65536\n");
        // Nor does it have an extent of nothing, where it ends with the owners: the kernel would take no part of the map.
        let map = identity("0 0 4000000000\n", 2_000_000_000).unwrap();
        assert_eq!(map, "0 0 2000000000\n");
    }

    #[test]
    fn neighbours_share_an_extent() {
        let map = minimal("ids", [1001, 0, 5, 1002, 1003, 5]).unwrap();
        assert_eq!(map, "0 0 1\n5 5 1\n1001 1001 3\n");
    }

    #[test]
    fn four_hundred_scattered_groups_are_a_clear_error_and_adjacent_ones_are_not() {
        let error = minimal("the login's groups", (0..400).map(|n| 2 * n)).unwrap_err();
        assert!(error.to_string().contains("400 extents"), "{error}");
        assert_eq!(minimal("groups", 1000..1400).unwrap(), "1000 1000 400\n");
        minimal("groups", (0..340).map(|n| 2 * n)).unwrap();
        minimal("groups", (0..341).map(|n| 2 * n)).unwrap_err();
        // Few enough extents, but more than a page of text.
        let error = minimal("groups", (0..300).map(|n| 1_000_000_000 + 2 * n)).unwrap_err();
        assert!(error.to_string().contains("7200 bytes"), "{error}");
    }

    #[test]
    fn an_owner_is_never_a_user() {
        assert_eq!(owner(2_000_000_000, 1001).unwrap(), 2_000_001_001);
        owner(2_000_000_000, 2_000_000_000).unwrap_err();
        owner(4_000_000_000, 1_000_000_000).unwrap_err();
    }
}
