//! The policies that are shipped.

mod written;

use std::path::{Path, PathBuf};

use berth_config::{Checked, NOT_YET, Severity, Trust, check_files};

fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../packaging")
        .join(name)
}

fn checked(name: &str) -> Checked {
    check_files(&[shipped(name)], Trust::Anybody, None).unwrap()
}

#[test]
fn the_examples_ask_only_for_what_is_not_done_yet() {
    for name in ["examples/lab.toml"] {
        let checked = checked(name);
        assert!(checked.errors() > 0, "{name}: remove it from this test");
        for diagnostic in &checked.diagnostics {
            assert_eq!(diagnostic.severity, Severity::Error);
            assert!(diagnostic.message.ends_with(NOT_YET), "{diagnostic}");
        }
    }
}

#[test]
fn the_default_policy_and_what_needs_nothing_more_load() {
    for name in ["policy.toml", "examples/tilde.toml", "examples/hpc.toml"] {
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
