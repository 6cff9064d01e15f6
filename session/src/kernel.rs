//! The oldest kernel that Berth runs on.

/// `cgroup.kill` came with Linux 5.14; setns(2) on a pidfd with 5.8.
pub const OLDEST: &str = "5.14";

/// Whether a release is of an older one. One that is not numbered is given a try.
pub fn is_too_old(release: &str) -> bool {
    version(release).is_some_and(|numbers| Some(numbers) < version(OLDEST))
}

/// `6.1.0-31-amd64` is (6, 1).
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_older_than_the_oldest_are_too_old() {
        for (release, expected) in [
            ("5.14.0-362.el9.x86_64", false),
            ("5.4.0-42-generic", true),
            ("6.1.0-31-amd64", false),
            ("custom", false),
        ] {
            assert_eq!(is_too_old(release), expected, "{release}");
        }
    }
}
