//! An application that does not fork: the user's program runs in the place of the process that opened the
//! session, and closes the module's socket by that. Nothing of it is a logout.

use std::path::Path;
use std::process::{Command, Stdio};

use berth_tests::{Background, Machine, Process, becomes, eventually};

/// A service whose namespaces are joined, and one that gets caps only because it always execs in place.
const SERVICES: [&str; 2] = ["login", "systemd-user"];

/// Opens a session of alice's and becomes her `sleep`.
fn in_place(machine: &Machine, service: &str) -> Background {
    std::fs::copy("/etc/pam.d/login", "/etc/pam.d/systemd-user").unwrap();
    let probe = machine.probe(&format!("exec-in-place {service} alice sleep 1000"));
    let mut arguments = probe.split(' ');
    let mut application = Command::new(arguments.next().unwrap());
    application.args(arguments).stdin(Stdio::null());
    let application = Background(application.spawn().unwrap());
    let process = application.process();
    assert!(eventually(|| process.name() == "sleep"), "{service}");
    assert_eq!(process.uid(), Some(machine.uid("alice")));
    application
}

fn sessions() -> Vec<String> {
    let records = std::fs::read_dir("/run/berth/sessions").unwrap().flatten();
    let texts = records.map(|record| std::fs::read_to_string(record.path()).unwrap());
    texts.collect()
}

#[test]
fn a_program_in_the_applications_place_stays_in_its_session_until_it_ends() {
    Machine::run(|machine| {
        let before = machine.settled();
        let uid = machine.uid("alice");
        for service in SERVICES {
            let application = in_place(machine, service);
            let process = application.process();
            let cgroup = process.cgroup().unwrap();
            assert!(cgroup.contains(&format!("/user-{uid}/")), "{cgroup}");
            machine.another_session("bob");
            becomes(|| sessions().len(), 1);
            assert!(!process.is_zombie(), "{service}: the program was ended");
            assert_eq!(process.cgroup().unwrap(), cgroup, "{service}");
            let records = sessions();
            assert!(
                records[0].contains(r#""state":"active""#),
                "{service}: {records:?}"
            );
            let joined = process.namespace("user") != Process(1).namespace("user");
            assert_eq!(joined, service == "login");
            application.end();
            machine.assert_nothing_left(&before);
        }
    });
}

#[test]
fn a_program_in_the_applications_place_does_not_survive_its_berth() {
    Machine::run(|machine| {
        let before = machine.settled();
        let mut application = in_place(machine, "login");
        let process = application.process();
        let cgroup = process.cgroup().unwrap();
        let folder = machine
            .cgroups()
            .root()
            .join(cgroup.trim_start_matches('/'));
        for init in Process::named("berth-init") {
            init.kill();
        }
        // It is in the host's PID namespace, so nothing but its cgroup ends it.
        let ended = || process.is_zombie() || process.cgroup().unwrap() != cgroup;
        assert!(eventually(ended), "it goes on without a berth");
        assert!(process.is_zombie(), "it got away to {:?}", process.cgroup());
        assert!(eventually(|| !Path::new(&folder).exists()));
        application.0.wait().unwrap();
        machine.assert_nothing_left(&before);
    });
}
