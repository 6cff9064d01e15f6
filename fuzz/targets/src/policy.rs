//! What must hold of every policy that was read, and of every error.

use std::path::Path;

use berth_config::value::{IdSet, PathGlob};
use berth_config::{Checked, Login, Machine, PamStack, Policy, Site, fuzzing};

/// A machine of which nothing depends on where the fuzzer runs.
pub struct Somewhere;

impl Site for Somewhere {
    fn systemd(&self) -> bool {
        false
    }

    fn has_user(&self, name: &str) -> bool {
        name.len() % 3 != 0
    }

    fn has_group(&self, name: &str) -> bool {
        name.len() % 2 == 0
    }

    fn pam_stack(&self, service: &str) -> PamStack {
        match service.len() % 3 {
            0 => PamStack::Absent,
            1 => PamStack::WithBerth,
            _ => PamStack::WithoutBerth,
        }
    }

    fn pam_services(&self) -> Vec<String> {
        vec!["sshd".into()]
    }

    fn sudoers(&self) -> Vec<Login> {
        vec![Login {
            user: "alice".into(),
            uid: 1001,
            ..Login::default()
        }]
    }

    fn machine(&self) -> Option<Machine> {
        Some(machine())
    }

    fn files_max(&self) -> Option<u64> {
        Some(1 << 20)
    }

    fn accounting_problem(&self, _: &Path) -> Option<String> {
        None
    }

    fn program_problem(&self, _: &PathGlob) -> Option<String> {
        None
    }

    fn path_problem(&self, path: &Path) -> Option<String> {
        path.starts_with("/home").then(|| "not root's".into())
    }

    fn disk_problem(&self, path: &Path) -> Option<String> {
        path.starts_with("/proc").then(|| "no disk".into())
    }
}

/// How big it is.
pub fn machine() -> Machine {
    Machine {
        memory: 64 << 30,
        cpus: IdSet::parse("0-15").expect("a list"),
        memory_nodes: IdSet::parse("0-1").expect("a list"),
        tasks: 32_768,
    }
}

/// Reads texts as one policy.
pub fn read(files: &[(&str, &str)]) -> Option<Policy> {
    fuzzing::checked(files, &Somewhere).policy
}

/// Reads texts as one policy, and looks at all that came of it.
pub fn checked(files: &[(&str, &str)]) -> Option<Policy> {
    let checked = fuzzing::checked(files, &Somewhere);
    assert_eq!(checked.policy.is_some(), checked.errors() == 0);
    every_place_exists(&checked, files);
    if let Some(policy) = &checked.policy {
        the_copy_says_the_same(policy);
    }
    checked.policy
}

fn every_place_exists(checked: &Checked, files: &[(&str, &str)]) {
    for diagnostic in &checked.diagnostics {
        let shown = diagnostic.to_string();
        let lines = shown.lines().count();
        assert_eq!(lines, shown.split('\n').count(), "{shown:?}");
        let control = |c: char| c.is_control() && c != '\n';
        assert!(!shown.contains(control), "{shown:?}");
        assert!(!diagnostic.message.contains('\n'), "{shown:?}");

        let of = |(path, _): &&(&str, &str)| Path::new(path) == diagnostic.path;
        let (_, text) = files.iter().find(of).expect("one of the files");
        let Some(place) = &diagnostic.place else {
            continue;
        };
        // A file without any line has an error on its first, where one would be.
        let line = place.line.checked_sub(1).expect("lines begin at 1") as usize;
        let line = text.split('\n').nth(line).expect("a line that exists");
        let length = line.chars().count();
        assert!(place.column >= 1 && place.width >= 1, "{shown}");
        assert!(place.column as usize <= length + 1, "{shown}");
        assert!(
            (place.column + place.width) as usize <= length.max(1) + 2,
            "{shown}"
        );
    }
}

fn the_copy_says_the_same(policy: &Policy) {
    let copy = fuzzing::copied(policy).expect("a copy");
    assert_eq!(fuzzing::contents(&copy), fuzzing::contents(policy));
    assert_eq!(copy.exempt(), policy.exempt());
    let again = fuzzing::copied(&copy).expect("a copy");
    assert_eq!(fuzzing::contents(&again), fuzzing::contents(policy));
    assert_eq!(
        berth_protocol::exempt::Exempt::parse(&policy.exempt().render(policy.unanswered())),
        *policy.exempt()
    );
}
