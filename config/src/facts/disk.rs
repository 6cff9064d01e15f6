//! Which disk a cap on I/O is about.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use libc::{major, makedev, minor};

use crate::source::SourceError;
use crate::trust::path_is_roots;

/// The disk that a path means: the device itself, or the one that the file is on. The kernel caps whole disks, so a
/// partition stands for its disk. Or why there is none.
pub fn disk_of(path: &Path) -> Result<(u32, u32), String> {
    let metadata = fs::metadata(path).map_err(|error| error.to_string())?;
    let device = if metadata.file_type().is_block_device() {
        metadata.rdev()
    } else {
        metadata.dev()
    };
    let device = if major(device) == 0 {
        // A file system without a device number of its own (btrfs, overlay): the mount table may
        // name the device behind it.
        mounted_from(device)
            .ok_or("it is on a network or virtual file system, which has no disk")?
    } else {
        device
    };
    let entry = format!("/sys/dev/block/{}:{}", major(device), minor(device));
    let entry = Path::new(&entry);
    if !entry.join("partition").exists() {
        return Ok((major(device), minor(device)));
    }
    // A partition's folder lies in its disk's.
    let disk = fs::canonicalize(entry)
        .and_then(|folder| fs::read_to_string(folder.join("../dev")))
        .map_err(|error| format!("its partition's disk cannot be found: {error}"))?;
    disk.trim()
        .split_once(':')
        .and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)))
        .ok_or_else(|| format!("{disk:?} is no device number"))
}

/// Why others than root decide which disk a path means, by a link or a file system of theirs, if they do.
pub(crate) fn led_by_others(path: &Path) -> Option<String> {
    let is_device = || fs::metadata(path).is_ok_and(|file| file.file_type().is_block_device());
    let trusted = match path.parent().map(path_is_roots) {
        Some(Ok(())) if is_device() => Ok(()),
        None | Some(Ok(())) => path_is_roots(path),
        Some(failed) => failed,
    };
    match trusted {
        Err(error @ SourceError::Untrusted { .. }) => Some(format!("{error}; name the device")),
        // Of one that is not there it is said elsewhere.
        _ => None,
    }
}

/// The block device that a mount of this (anonymous) device number comes from.
fn mounted_from(device: u64) -> Option<u64> {
    let number = format!("{}:{}", major(device), minor(device));
    // A mount point need not be text.
    let table = fs::read("/proc/self/mountinfo").ok()?;
    let table = String::from_utf8_lossy(&table);
    let source = table.lines().find_map(|line| {
        let (mount, kind) = line.split_once(" - ")?;
        (mount.split(' ').nth(2)? == number).then(|| kind.split(' ').nth(1))?
    })?;
    let metadata = fs::metadata(source).ok()?;
    let rdev = metadata.rdev();
    metadata
        .file_type()
        .is_block_device()
        .then(|| makedev(major(rdev), minor(rdev)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_on_no_disk_is_told_why() {
        let error = disk_of(Path::new("/proc/version")).unwrap_err();
        assert!(error.contains("no disk"), "{error}");
        let error = disk_of(Path::new("/no/such/path")).unwrap_err();
        assert!(error.contains("No such file"), "{error}");
    }
}
