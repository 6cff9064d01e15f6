//! Caps that others than Berth set for a user's slice, and what the commands say of them.

use std::fs;

use berth_tests::{Booted, Policy, eventually};

use super::BootedCase;

pub const CASES: &[BootedCase] = cases! {
    a_drop_in_wins_or_loses_as_the_commands_say
    a_users_record_loses_against_the_policy
};

const FOLDER: &str = "/etc/systemd/system/user-.slice.d";
const RECORD: &str = "/run/userdb/alice.user";

fn policy() -> Policy {
    Policy {
        profile: "user = { memory_max = \"200M\" }\nlogout = { grace = \"1s\" }".into(),
        ..Policy::with_namespaces("")
    }
}

/// What `berth explain` has below a heading of its own.
fn explained(machine: &Booted) -> String {
    let said = machine.host("berth explain alice").ok();
    let rest = said.split("\nSYSTEMD").nth(1).unwrap_or_default();
    rest.split("\n\n").next().unwrap_or_default().to_owned()
}

fn a_drop_in_wins_or_loses_as_the_commands_say(machine: &Booted) {
    machine.berth("sshd", &policy());
    let before = machine.settled();
    fs::create_dir_all(FOLDER).expect("a folder");
    let memory_max = || machine.of_user("alice", "memory.max");
    for (name, wins) in [("10-a.conf", false), ("99-a.conf", true)] {
        let path = format!("{FOLDER}/{name}");
        fs::write(&path, "[Slice]\nMemoryMax=150M\n").expect("a drop-in");
        machine.host("systemctl daemon-reload").ok();
        assert_eq!(
            explained(machine).contains(&path),
            wins,
            "{}",
            explained(machine)
        );
        let doctor = machine.host("berth doctor").stdout;
        assert_eq!(
            doctor.contains(&format!("{path} sets MemoryMax=150M")),
            wins,
            "{doctor}"
        );

        let (login, _) = machine.stay("alice");
        assert_eq!(memory_max(), "209715200");
        machine.host("systemctl daemon-reload").ok();
        // Version 257 tells the kernel with the next change of any property.
        let slice = format!("user-{}.slice", machine.uid("alice"));
        machine
            .host(&format!(
                "systemctl set-property --runtime {slice} CPUWeight=101"
            ))
            .ok();
        let expected = if wins { "157286400" } else { "209715200" };
        assert!(
            eventually(|| memory_max() == expected),
            "{name}: {}",
            memory_max()
        );
        login.end();
        let gone = || machine.of_user("alice", "memory.max").is_empty();
        assert!(eventually(gone));
        machine
            .host(&format!(
                "rm -r {path} /run/systemd/system.control/{slice}.d"
            ))
            .ok();
    }
    machine
        .host(&format!("rmdir {FOLDER}; systemctl daemon-reload"))
        .ok();
    machine.assert_nothing_left(&before);
}

fn a_users_record_loses_against_the_policy(machine: &Booted) {
    machine.berth("sshd", &policy());
    let before = machine.settled();
    let uid = machine.uid("alice");
    let text = format!(
        r#"{{"userName":"alice","uid":{uid},"gid":{uid},"homeDirectory":"/home/alice","shell":"/bin/sh","memoryMax":100000000,"tasksMax":77}}"#
    );
    fs::create_dir_all("/run/userdb").expect("a folder");
    fs::write(RECORD, text).expect("a record");
    machine
        .host(&format!("ln -s alice.user /run/userdb/{uid}.user"))
        .ok();
    let said = explained(machine);
    assert!(
        said.contains(&format!("tasks_max         77                  {RECORD}")),
        "{said}"
    );
    assert!(!said.contains("memory_max"), "{said}");
    let (login, _) = machine.stay("alice");
    assert_eq!(machine.of_user("alice", "memory.max"), "209715200");
    assert_eq!(machine.of_user("alice", "pids.max"), "77");
    login.end();
    // logind leaves what it has set for a record.
    machine
        .host(&format!("rm -r /run/userdb /run/systemd/system.control/user-{uid}.slice.d/50-TasksMax.conf; systemctl daemon-reload"))
        .ok();
    machine.assert_nothing_left(&before);
}
