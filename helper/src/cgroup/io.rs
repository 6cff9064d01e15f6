//! The io controller: shares and ceilings of whole disks.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use berth_config::outcome::{Caps, Limit};
use berth_session::Controller;
use nix::sys::stat::{major, makedev, minor};

use super::{Setting, limit};
use crate::error::{Error, Result};

/// The I/O caps of one cgroup.
pub fn settings(caps: &Caps) -> Result<Vec<Setting>> {
    let setting = |cap, file, value| Setting::new(cap, Controller::Io, file, value);
    let mut settings = Vec::new();
    if let Some(weight) = caps.io_weight {
        // Two schedulers, two files: io.weight is io.cost's, io.bfq.weight is bfq's. Which of them has
        // a disk may change while the user is logged in.
        for (file, weight) in [("io.weight", weight), ("io.bfq.weight", of_bfq(weight))] {
            settings.push(setting("io_weight", file, format!("default {weight}")));
        }
    }
    settings.extend(ceilings(caps, disk_of)?);
    Ok(settings)
}

/// One line of io.max for each disk, with all its ceilings. Where several paths are on one disk, the lowest of theirs is
/// the disk's: of two in one line the kernel would take the last, and systemd the one or the other.
fn ceilings(caps: &Caps, disk_of: impl Fn(&Path) -> Result<(u64, u64)>) -> Result<Vec<Setting>> {
    let mut disks: BTreeMap<(u64, u64), Vec<(&'static str, &'static str, Limit)>> = BTreeMap::new();
    for (cap, key, ceilings) in [
        ("io_read_bandwidth_max", "rbps", &caps.io_read_bandwidth_max),
        (
            "io_write_bandwidth_max",
            "wbps",
            &caps.io_write_bandwidth_max,
        ),
        ("io_read_iops_max", "riops", &caps.io_read_iops_max),
        ("io_write_iops_max", "wiops", &caps.io_write_iops_max),
    ] {
        for (path, ceiling) in ceilings {
            let line = disks.entry(disk_of(path)?).or_default();
            match line.last_mut() {
                Some((_, known, lowest)) if *known == key => *lowest = *ceiling.min(lowest),
                _ => line.push((cap, key, *ceiling)),
            }
        }
    }
    let settings = disks.into_iter().map(|((major, minor), line)| {
        let cap = line.first().map_or("io_max", |(cap, ..)| cap);
        let line = line.into_iter();
        let line = line.map(|(_, key, ceiling)| format!(" {key}={}", limit(ceiling)));
        let value = format!("{major}:{minor}{}", line.collect::<String>());
        Setting::new(cap, Controller::Io, "io.max", value)
    });
    Ok(settings.collect())
}

/// bfq's weights end at 1000: above 100, the default of both, they are drawn together, as systemd does.
fn of_bfq(weight: u16) -> u16 {
    let above = u32::from(weight).saturating_sub(100) * (1_000 - 100) / (10_000 - 100);
    weight.min(100) + u16::try_from(above).unwrap_or(900)
}

/// The disk that a path means: the device itself, or the one that the file is on. io.max takes whole
/// disks, so a partition stands for its disk.
fn disk_of(path: &Path) -> Result<(u64, u64)> {
    let fail = |reason: String| Error::Disk {
        path: path.into(),
        reason,
    };
    let metadata = fs::metadata(path).map_err(|error| fail(error.to_string()))?;
    let device = if metadata.file_type().is_block_device() {
        metadata.rdev()
    } else {
        metadata.dev()
    };
    let device = if major(device) == 0 {
        // A file system without a device number of its own (btrfs, overlay): the mount table may
        // name the device behind it.
        mounted_from(device).ok_or_else(|| {
            fail("it is on a network or virtual file system, which has no disk".into())
        })?
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
        .map_err(|error| fail(format!("its partition's disk cannot be found: {error}")))?;
    let (major, minor) = disk
        .trim()
        .split_once(':')
        .and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)))
        .ok_or_else(|| fail(format!("{disk:?} is no device number")))?;
    Ok((major, minor))
}

/// The block device that a mount of this (anonymous) device number comes from.
fn mounted_from(device: u64) -> Option<u64> {
    let number = format!("{}:{}", major(device), minor(device));
    let table = berth_session::kernel_text("/proc/self/mountinfo").ok()?;
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
    fn weights_fit_the_range_of_bfq() {
        assert_eq!([1, 100, 210, 10_000].map(of_bfq), [1, 100, 110, 1_000]);
    }

    #[test]
    fn the_lowest_ceiling_of_paths_on_one_disk_is_the_disks() {
        let rates = |rates: &[(&str, u64)]| {
            let rates = rates.iter();
            let rates = rates.map(|(path, rate)| (path.into(), Limit::Finite(*rate)));
            rates.collect::<BTreeMap<_, _>>()
        };
        let caps = Caps {
            io_read_bandwidth_max: rates(&[("/home", 20), ("/other", 7), ("/srv", 50)]),
            io_write_iops_max: [("/srv".into(), Limit::Infinity)].into(),
            ..Caps::default()
        };
        let disk_of = |path: &Path| Ok((8, u64::from(path == Path::new("/other"))));
        let settings = ceilings(&caps, disk_of).unwrap();
        let lines: Vec<_> = settings.iter().map(|setting| &*setting.value).collect();
        assert_eq!(lines, ["8:0 rbps=20 wiops=max", "8:1 rbps=7"]);
    }

    #[test]
    fn a_file_on_no_disk_is_an_error_that_names_it() {
        let error = disk_of(Path::new("/proc/version")).unwrap_err().to_string();
        assert!(
            error.contains("/proc/version") && error.contains("no disk"),
            "{error}"
        );
        let error = disk_of(Path::new("/no/such/path")).unwrap_err().to_string();
        assert!(error.contains("/no/such/path"), "{error}");
    }
}
