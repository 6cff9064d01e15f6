//! Which namespaces a process is in.

use std::fs;
use std::path::Path;

/// The inode number of a process's namespace of a kind, which is its name in /proc (`pid:[4026531836]`); none where that
/// is not to be seen. Not by stat: what the link leads to has no path, and AppArmor and SELinux keep what they confine from
/// looking at that.
pub fn namespace(process: &Path, kind: &str) -> Option<u64> {
    let link = fs::read_link(process.join("ns").join(kind)).ok()?;
    let (_, number) = link.to_str()?.strip_suffix(']')?.split_once('[')?;
    number.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn a_namespace_is_known_by_its_inode() {
        let own = Path::new("/proc/self");
        let inode = fs::metadata(own.join("ns/mnt")).unwrap().ino();
        assert_eq!(namespace(own, "mnt"), Some(inode));
        assert_eq!(namespace(own, "none"), None);
        assert_eq!(namespace(Path::new("/proc"), "mnt"), None);
    }
}
