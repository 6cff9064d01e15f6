//! Whether this kernel has what Berth is built on.

use nix::sys::utsname::uname;

use crate::error::{Error, Result, system};

/// `cgroup.kill` came with Linux 5.14; setns(2) on a pidfd with 5.8.
const OLDEST: (u32, u32) = (5, 14);

/// Refuses an older kernel by name, instead of failing halfway through with ENOENT.
pub fn is_new_enough() -> Result<()> {
    let name = uname().map_err(system("ask for the kernel's version"))?;
    let release = name.release().to_string_lossy();
    if is_too_old(&release) {
        return Err(Error::Kernel {
            release: release.into_owned(),
        });
    }
    Ok(())
}

fn is_too_old(release: &str) -> bool {
    version(release).is_some_and(|version| version < OLDEST)
}

/// The first two numbers of a release; `None` for one that is not numbered, which is given a try.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_older_than_5_14_are_refused() {
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
