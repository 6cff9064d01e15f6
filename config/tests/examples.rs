//! The policies that are shipped.

mod written;

use std::path::{Path, PathBuf};

use berth_config::{Checked, Trust, check_files};

fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../packaging")
        .join(name)
}

fn checked(name: &str) -> Checked {
    check_files(&[shipped(name)], Trust::Anybody, None).unwrap()
}

#[test]
fn the_default_policy_and_the_examples_load() {
    for name in [
        "policy.toml",
        "examples/tilde.toml",
        "examples/hpc.toml",
        "examples/lab.toml",
    ] {
        let checked = checked(name);
        let told: Vec<String> = checked.diagnostics.iter().map(|d| d.to_string()).collect();
        assert!(checked.policy.is_some(), "{name}: {}", told.join("\n"));
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
