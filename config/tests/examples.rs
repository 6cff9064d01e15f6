//! The policies that are shipped.

mod written;

use std::path::{Path, PathBuf};

use berth_config::{Trust, check_files};

fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../packaging")
        .join(name)
}

#[test]
fn the_default_policy_and_the_examples_load_without_a_warning() {
    let groups =
        "sudo wheel hpcadmin hpc-users students suspended staff tas cs101 cs202 paid users";
    let site = written::Site {
        groups: groups.split(' ').collect(),
        // Whoever installs one of them on a Debian.
        sudoers: vec![written::login("admin", 1000, &["admin", "sudo", "users"])],
        ..written::Site::default()
    };
    for name in [
        "policy.toml",
        "examples/tilde.toml",
        "examples/hpc.toml",
        "examples/lab.toml",
    ] {
        let checked = check_files(&[shipped(name)], Trust::Anybody, Some(&site)).unwrap();
        let told: Vec<String> = checked.diagnostics.iter().map(written::short).collect();
        assert_eq!(told, [""; 0], "{name}");
        assert!(checked.policy.is_some(), "{name}");
    }
}

#[test]
fn half_a_policy_is_told_apart_and_breaks_nothing() {
    let text = std::fs::read_to_string(shipped("examples/lab.toml")).unwrap();
    let ends = text.char_indices().map(|(at, _)| at).step_by(11);
    for end in ends.skip(2) {
        let checked = written::Written::new(&text[..end]).check();
        for diagnostic in checked.diagnostics {
            assert!(!diagnostic.to_string().is_empty());
        }
    }
    // Any one byte gone, too.
    for (at, _) in text.char_indices().step_by(13) {
        let mut without = text.clone();
        without.remove(at);
        written::Written::new(&without).check();
    }
}
