//! cgroup v2: whether it is there, and what of the policy's caps it can enforce.

use std::fs;

use berth_config::outcome::CgroupPlace;

use super::finding::Finding;
use super::world::World;
use crate::machine_lacks::{CAPS, without_weights};
use crate::slices;

pub fn check(world: &World) -> Vec<Finding> {
    let Some(root) = &world.cgroup else {
        return match world.any(|berth| berth.cgroup == CgroupPlace::Own) {
            true => vec![Finding::fail(
                "no cgroup v2 tree is mounted, and the policy's profiles need one",
                "mount one on /sys/fs/cgroup, or set cgroup = \"keep\" in the profiles",
            )],
            false => vec![Finding::ok("no v2 tree, and the policy needs none")],
        };
    };
    let read = |name: &str| fs::read_to_string(root.join(name)).unwrap_or_default();
    let controllers = read("cgroup.controllers");
    let there: Vec<&str> = controllers.split_whitespace().collect();
    let caps = world.caps();
    let mut findings = Vec::new();
    let are_set = |begin| {
        let mut keys = caps.iter().flat_map(|caps| slices::keys(caps));
        keys.any(|key| key.starts_with(begin))
    };
    for (begin, controller, keys) in CAPS {
        if !there.contains(&controller) && are_set(begin) {
            findings.push(Finding::fail(
                format!(
                    "no {controller} controller at {}: {keys} cannot be enforced",
                    root.display()
                ),
                match world.has_systemd() {
                    true => {
                        "boot with systemd.unified_cgroup_hierarchy=1, or without cgroup_disable="
                    }
                    false => "boot without cgroup_disable=, and unmount it where cgroup v1 has it",
                },
            ));
        }
    }
    if findings.is_empty() {
        let manager = match world.has_systemd() {
            true => ", by systemd",
            false => "",
        };
        let controllers = there.join(" ");
        findings.push(Finding::ok(format!(
            "v2 at {}{manager}: {controllers}",
            root.display()
        )));
    }
    if !world.has_systemd() {
        findings.extend(moves(world));
    }
    if caps.iter().any(|caps| caps.io_weight.is_some()) {
        let costs = read("io.cost.qos");
        for (disk, scheduler) in without_weights(&world.path("/sys/block"), &costs) {
            findings.push(Finding::warn(
                format!(
                    "io_weight does nothing on {disk}: scheduler {scheduler}, no io.cost model"
                ),
                format!("use io_*_max, or set bfq or io.cost.qos for {disk}"),
            ));
        }
    }
    findings
}

/// What could make moves between cgroups quick, and what that costs (admin-guide/cgroup-v2, favordynmods, Linux 6.0).
/// Berth mounts nothing anew by itself. Under systemd no login is moved by Berth.
fn moves(world: &World) -> Option<Finding> {
    let mounts = world.text("/proc/self/mountinfo")?;
    let root = world.cgroup.as_ref()?.to_str()?;
    let (_, options) = mounts.lines().find_map(|line| {
        let (before, after) = line.split_once(" - cgroup2 ")?;
        (before.split(' ').nth(4) == Some(root)).then(|| after.split_once(' '))?
    })?;
    let is_on = options.split(',').any(|option| option == "favordynmods");
    (!is_on).then(|| {
        Finding::offer(
            "without favordynmods a login's move may wait some 10 ms for the kernel; most of it overlaps with the rest",
            format!("if that matters: mount -o remount,favordynmods {root}; each fork and exit then costs a little more"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::super::world::tests::Fake;
    use super::*;

    const ALL: (&str, &str) = ("cgroup/cgroup.controllers", "cpuset cpu io memory pids\n");

    fn told(profile: &str, files: &[(&str, &str)]) -> Vec<(Level, String)> {
        Fake::new(profile, &[], files).told(check)
    }

    #[test]
    fn a_cap_without_its_controller_is_a_failure() {
        let caps = "user = { memory_max = \"1G\", tasks_max = 100 }";
        assert_eq!(told(caps, &[ALL])[0].0, Level::Ok);
        let some = ("cgroup/cgroup.controllers", "cpu memory\n");
        for (files, systemds) in [
            (vec![some], false),
            (vec![some, ("run/systemd/system/x", "")], true),
        ] {
            let finding = check(&Fake::new(caps, &[], &files).0).remove(0);
            let remedy = finding.remedy.unwrap();
            assert_eq!(remedy.contains("systemd."), systemds, "{remedy}");
        }
        let told = told(caps, &[some]);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].1.contains("no pids controller"), "{told:?}");
        // Nobody would set one.
        let keep = Fake::new(&format!("cgroup = \"keep\"\n{caps}"), &[], &[some]).told(check);
        assert_eq!(keep[0].0, Level::Ok, "{keep:?}");
        assert_eq!(told[0].0, Level::Fail);
    }

    #[test]
    fn without_a_tree_only_who_keeps_their_cgroup_can_log_in() {
        for (profile, level) in [("cgroup = \"keep\"", Level::Ok), ("", Level::Fail)] {
            let mut fake = Fake::new(profile, &[], &[]);
            fake.0.cgroup = None;
            assert_eq!(check(&fake.0)[0].level, level, "{profile}");
        }
    }

    #[test]
    fn quick_moves_are_offered_where_logins_are_moved() {
        let offers = |options, more: &[(&str, &str)]| {
            let files = [&[ALL, ("proc/self/mountinfo", "")], more].concat();
            let fake = Fake::new("", &[], &files);
            let root = fake.0.path("/cgroup");
            let line = format!(
                "34 24 0:30 / {} rw,nosuid - cgroup2 cgroup2 {options}\n",
                root.display()
            );
            std::fs::write(fake.0.path("/proc/self/mountinfo"), line).unwrap();
            let told = fake.told(check);
            assert!(
                told.iter().all(|(level, _)| *level == Level::Ok),
                "{told:?}"
            );
            told.iter().any(|(_, text)| text.contains("favordynmods"))
        };
        assert!(offers("rw,nsdelegate", &[]));
        assert!(!offers("rw,nsdelegate,favordynmods", &[]));
        assert!(!offers("rw", &[("run/systemd/system/there", "")]));
    }

    #[test]
    fn a_weight_needs_bfq_or_a_cost_model() {
        let disk = |scheduler| {
            [
                ALL,
                ("sys/block/sda/device/model", ""),
                ("sys/block/sda/dev", "8:0\n"),
                ("sys/block/sda/queue/scheduler", scheduler),
                ("sys/block/loop0/queue/scheduler", "[none]\n"),
            ]
        };
        let weight = "user = { io_weight = 50 }";
        let none = disk("[none] mq-deadline bfq\n");
        let warned = told(weight, &none);
        assert_eq!(warned.len(), 2, "{warned:?}");
        assert_eq!(
            warned[1],
            (
                Level::Warn,
                "io_weight does nothing on sda: scheduler none, no io.cost model".into()
            )
        );
        assert_eq!(told(weight, &disk("none [bfq]\n")).len(), 1);
        let mut cost = none.to_vec();
        cost.push(("cgroup/io.cost.qos", "8:0 enable=1 ctrl=auto\n"));
        assert_eq!(told(weight, &cost).len(), 1);
        assert_eq!(told("", &none).len(), 1);
    }
}
