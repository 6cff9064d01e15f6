//! How a login writes caps, on folders that look like cgroups.

use berth_config::outcome::Caps;
use berth_session::Controller;

use super::*;
use crate::settings::folder::Folder;
use crate::settings::{but_in_use, cpu, memory};

#[test]
fn a_login_leaves_memory_that_is_in_use_and_nothing_else() {
    let folder = Folder::with(&[
        ("memory.max", "max\n"),
        ("memory.high", "max\n"),
        ("memory.current", "9000000\n"),
    ]);
    let limit = |bytes| Some(berth_config::outcome::Limit::Finite(bytes));
    let of = |max| {
        memory::settings(&Caps {
            memory_max: limit(max),
            memory_high: limit(4096),
            ..Caps::default()
        })
    };
    let brought = |max| {
        let mut left = Vec::new();
        let settings = but_in_use("user 1001", &folder.group(), &of(max), &mut left).unwrap();
        (
            settings.iter().map(|one| one.file).collect::<Vec<_>>(),
            left,
        )
    };
    let (files, left) = brought(8192);
    assert_eq!(files, ["memory.high"]);
    assert!(
        left[0].starts_with("cannot set memory_max of user 1001: "),
        "{left:?}"
    );
    assert_eq!(
        brought(9_000_960),
        (vec!["memory.high", "memory.max"], Vec::new())
    );
}

#[test]
fn a_cap_is_written_once_or_missed_as_the_policy_says() {
    let root = Folder::with(&[
        ("cgroup.controllers", "memory\n"),
        ("cgroup.subtree_control", "memory\n"),
        ("memory.max", " 8192\n"),
    ]);
    let tree = root.tree(berth_session::Backend::Cgroupfs);
    let available = subtree::open(&[], &tree).unwrap();
    let limit = |value| Some(berth_config::outcome::Limit::Finite(value));
    let caps = |max, high, tasks| {
        let caps = Caps {
            memory_max: max,
            memory_high: high,
            tasks_max: tasks,
            ..Caps::default()
        };
        settings::of(&caps, &tree).unwrap()
    };
    let written = |settings: &[Setting], missing_controller| {
        let mut writer = Writer {
            available: &available,
            missing_controller,
            missing: Vec::new(),
        };
        // Of a user and a session: what is missing for the same reason is told once.
        for _ in 0..2 {
            writer.write_all("user 1001", tree.root(), settings)?;
        }
        Ok::<_, Error>(writer.missing)
    };
    use MissingController::{Deny, Warn};
    let max = || root.read("memory.max");
    assert!(
        written(&caps(limit(8192), None, None), Deny)
            .unwrap()
            .is_empty()
    );
    assert_eq!(max(), " 8192\n", "what is in force is not written again");
    assert!(
        written(&caps(limit(12288), None, None), Deny)
            .unwrap()
            .is_empty()
    );
    assert_eq!(max(), "12288\n");
    for (settings, reason) in [
        (
            caps(None, limit(5), None),
            "this kernel has no memory.high in",
        ),
        (
            caps(None, None, limit(5)),
            "the pids controller is not enabled in",
        ),
    ] {
        let error = written(&settings, Deny).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
        assert_eq!(written(&settings, Warn).unwrap(), [error]);
    }
    // In use: it stays, whatever the policy says of controllers.
    root.write("memory.current", "9000000\n");
    let left = written(&caps(limit(4096), None, None), Deny).unwrap();
    assert!(left[0].contains("are in use"), "{left:?}");
    assert_eq!(max(), "12288\n");
}

#[test]
fn what_the_kernel_has_in_its_own_words_is_not_written_again_and_what_it_hides_is_not_guessed() {
    let root = Folder::with(&[
        ("cgroup.controllers", "io memory\n"),
        ("cgroup.subtree_control", "io memory\n"),
        ("memory.high", "65536\n"),
        ("memory.max", "max\n"),
        ("io.max", "8:0 rbps=5 wbps=max riops=max wiops=max\n"),
    ]);
    let tree = root.tree(berth_session::Backend::Cgroupfs);
    let mut writer = Writer {
        available: &subtree::open(&[], &tree).unwrap(),
        missing_controller: MissingController::Warn,
        missing: Vec::new(),
    };
    let setting =
        |cap, controller, file, value: &str| Setting::new(cap, controller, file, value.into());
    let high = setting("memory_high", Controller::Memory, "memory.high", "65537");
    let rates = setting(
        "io_read_bandwidth_max",
        Controller::Io,
        "io.max",
        "8:0 rbps=5",
    );
    writer
        .write_all("user 1001", tree.root(), &[high, rates])
        .unwrap();
    assert_eq!(root.read("memory.high"), "65536\n");
    assert!(root.read("io.max").starts_with("8:0 rbps=5 wbps"));
    // A link to itself is there, and cannot be read.
    let loop_at = |file| std::os::unix::fs::symlink(file, root.join(file)).unwrap();
    loop_at("memory.current");
    let max = setting("memory_max", Controller::Memory, "memory.max", "65536");
    let error = writer.write_all("user 1001", tree.root(), std::slice::from_ref(&max));
    let error = error.unwrap_err().to_string();
    assert!(
        error.starts_with("cannot set memory_max of user 1001: cannot read "),
        "{error}"
    );
    but_in_use("user 1001", tree.root(), &[max], &mut Vec::new()).unwrap_err();
    assert_eq!(root.read("memory.max"), "max\n");
    assert!(writer.missing.is_empty());
    let standing = |value| {
        let swap = setting(
            "memory_swap_max",
            Controller::Memory,
            "memory.swap.max",
            value,
        );
        standing::standing(tree.root(), &swap)
    };
    assert_eq!(standing("max"), Standing::NoFile);
    loop_at("memory.swap.max");
    assert!(matches!(standing("max"), Standing::Unknown(_)));
}

#[test]
fn a_cgroup_that_was_idle_has_a_weight_again() {
    let root = Folder::with(&[
        ("cgroup.controllers", "cpu\n"),
        ("cgroup.subtree_control", "cpu\n"),
        ("cpu.weight", "0\n"),
        ("cpu.idle", "1\n"),
    ]);
    let tree = root.tree(berth_session::Backend::Cgroupfs);
    let mut writer = Writer {
        available: &subtree::open(&[], &tree).unwrap(),
        missing_controller: MissingController::Deny,
        missing: Vec::new(),
    };
    let settings = cpu::settings(&Caps {
        cpu_weight: Some(berth_config::outcome::CpuWeight::Weight(50)),
        ..Caps::default()
    });
    writer
        .write_all("user 1001", tree.root(), &settings)
        .unwrap();
    assert_eq!(root.read("cpu.idle"), "0\n");
    assert_eq!(root.read("cpu.weight"), "50");
}
