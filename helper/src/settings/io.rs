//! The io controller: shares and ceilings of whole disks.

use std::collections::BTreeMap;
use std::path::Path;

use berth_config::outcome::{Caps, Limit};
use berth_session::Controller;

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
fn ceilings(caps: &Caps, disk_of: impl Fn(&Path) -> Result<(u32, u32)>) -> Result<Vec<Setting>> {
    let mut disks = BTreeMap::<_, Vec<(&'static str, &str, Limit)>>::new();
    let keys = ["rbps", "wbps", "riops", "wiops"];
    for ((cap, ceilings), key) in caps.ceilings().into_iter().zip(keys) {
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

fn disk_of(path: &Path) -> Result<(u32, u32)> {
    let fail = |reason| Error::Disk {
        path: path.into(),
        reason,
    };
    berth_config::disk_of(path).map_err(fail)
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
        let disk_of = |path: &Path| Ok((8, u32::from(path == Path::new("/other"))));
        let settings = ceilings(&caps, disk_of).unwrap();
        let lines: Vec<_> = settings.iter().map(|setting| &*setting.value).collect();
        assert_eq!(lines, ["8:0 rbps=20 wiops=max", "8:1 rbps=7"]);
    }
}
