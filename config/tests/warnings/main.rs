//! Every warning of the language, by the files of src/check that have it.

mod above;
mod accounting;
mod exempt;
mod hardware;
mod hidden;
mod idle;
mod isolation;
mod little;
mod names;
mod outcome;
mod tty;
mod uncapped;
mod window;
#[path = "../written/mod.rs"]
mod written;

use berth_config::{Severity, Trust, check_edited};
use written::{Site, Written};

fn warnings(body: &str, site: &Site) -> Vec<String> {
    let checked = Written::new(&format!("version = 1\n{body}")).check_on(site);
    assert_eq!(checked.errors(), 0, "{:?}", checked.diagnostics);
    checked.diagnostics.iter().map(written::short).collect()
}

fn site(groups: &[&'static str]) -> Site {
    Site {
        groups: groups.to_vec(),
        ..Site::default()
    }
}

#[test]
fn a_file_beside_the_drop_ins_that_is_not_read() {
    let written = Written::new("version = 1\n");
    let drop_ins = written.folder.join("policy.d");
    std::fs::create_dir(&drop_ins).unwrap();
    for name in ["10-x.toml", "20-y.toml.bak", "README"] {
        std::fs::write(drop_ins.join(name), "").unwrap();
    }
    // An editor's lock.
    std::os::unix::fs::symlink("root@lab1.4821", drop_ins.join(".#10-x.toml")).unwrap();
    let places = berth_config::Places {
        policy: written.path(),
        drop_ins: drop_ins.clone(),
        ..berth_config::Places::system()
    };
    let checked = check_edited(&places, Trust::Anybody, Some(&site(&[])), None).unwrap();
    let told: Vec<String> = checked.diagnostics.iter().map(|d| d.to_string()).collect();
    let ignored = |name: &str| {
        let path = drop_ins.join(name);
        format!(
            "{}: warning: this file is not read: its name begins with a dot, or does not end in `.toml`",
            path.display()
        )
    };
    let expected = [".#10-x.toml", "20-y.toml.bak", "README"].map(ignored);
    assert_eq!(told, expected);
    assert_eq!((checked.errors(), checked.warnings()), (0, 3));
}

#[test]
fn a_policy_with_warnings_only_can_be_used() {
    let checked = Written::new("version = 1\n[profile.a]\n").check_on(&site(&[]));
    assert!(checked.policy.is_some());
    assert_eq!(checked.diagnostics[0].severity, Severity::Warning);
}
