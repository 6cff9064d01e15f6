//! In a container whose PID 1 waits for nobody, as `sleep infinity` does: what ends there as an orphan stays as a
//! zombie for as long as the container lives.

use std::process::Command;

use berth_tests::{Background, Machine, Output, Process, eventually};

struct Container {
    _unshare: Background,
    first: Process,
}

impl Container {
    fn start() -> Container {
        let mut unshare = Command::new("unshare");
        unshare.args([
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
            "sleep",
            "infinity",
        ]);
        let unshare = Background(unshare.spawn().unwrap());
        let first = || {
            let mut all = unshare.process().descendants().into_iter();
            all.find(|one| one.name() == "sleep")
        };
        assert!(eventually(|| first().is_some()));
        let first = first().unwrap();
        Container {
            _unshare: unshare,
            first,
        }
    }

    fn run(&self, program: &[&str]) -> Output {
        let mut nsenter = Command::new("nsenter");
        nsenter
            .args(["-t", &self.first.0.to_string(), "-p", "-m"])
            .args(program);
        nsenter.output().unwrap().into()
    }

    /// The names of the zombies that nobody reaps, when all that ends has ended.
    fn zombies(&self) -> Vec<String> {
        assert!(eventually(|| self
            .first
            .descendants()
            .into_iter()
            .all(Process::is_zombie)));
        let names = self.first.descendants().into_iter().map(Process::name);
        names.collect()
    }
}

const LOGINS: usize = 5;

/// What five logins by su leave.
fn left() -> Vec<String> {
    let container = Container::start();
    for _ in 0..LOGINS {
        container.run(&["su", "alice", "-c", "true"]).ok();
    }
    container.zombies()
}

/// The helper is nobody's child, so that the application is not disturbed: PID 1 has to reap it.
#[test]
fn a_login_leaves_its_one_helper_and_no_more() {
    Machine::run(|machine| {
        assert_eq!(left(), ["berth-helper"; LOGINS]);
        machine.without_berth();
        assert_eq!(left(), [""; 0]);
    });
}
