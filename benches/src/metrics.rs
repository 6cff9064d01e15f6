//! How long `berth metrics` takes with many sessions: records and cgroups as logins leave them, one user each.

use std::fs;
use std::process::Command;

use berth_session::{NamespaceIds, Record, Role, State, Tree};
use berth_tests::namespaces::PROGRAMS;

use crate::command::{heading, timed};

/// No user of the machine's has these.
const FIRST_UID: u32 = 3_000_000;

/// Makes so many sessions, looks at them, and removes them.
pub fn measure(sessions: u32) {
    let tree = Tree::find().expect("a cgroup tree");
    Record::prepare().expect("make /run/berth");
    let me = Role::of(std::process::id() as i32).expect("this process");
    for nth in 0..sessions {
        let record = record(&tree, nth, me);
        let group = tree.group(record.cgroup.as_deref().expect("a cgroup"));
        fs::create_dir_all(group.path()).expect("make the cgroup");
        record.write().expect("write the record");
    }
    println!("berth metrics of {sessions} sessions of as many users\n");
    heading();
    let program = format!("{PROGRAMS}/berth");
    for arguments in [&["metrics"][..], &["metrics", "--top", "100000"]] {
        timed(&arguments.join(" "), 0, || {
            let mut metrics = Command::new(&program);
            metrics.args(arguments);
            metrics
        });
    }
    for nth in 0..sessions {
        let record = record(&tree, nth, me);
        let _ = fs::remove_file(Record::path(record.id)); // a leftover of a machine that ends now
        let group = tree.group(record.cgroup.as_deref().expect("a cgroup"));
        for folder in group.path().ancestors().take(3) {
            let _ = fs::remove_dir(folder);
        }
    }
}

fn record(tree: &Tree, nth: u32, me: Role) -> Record {
    let uid = FIRST_UID + nth;
    let id = (1_000_000 + nth).to_string().parse().expect("an id");
    let user = tree.user_in(None, uid);
    let group = user
        .child("sessions")
        .child(&format!("{}", 1_000_000 + nth));
    Record {
        id,
        user: format!("user{nth}"),
        uid,
        service: "sshd".into(),
        tty: "ssh".into(),
        rhost: "10.1.4.22".into(),
        ruser: String::new(),
        profile: "student".into(),
        rule: Some("cs101".into()),
        user_rule: Some("cs101".into()),
        pool: None,
        policy: None,
        opened: 1_790_000_000,
        state: State::Active,
        leader: me,
        keeper: me,
        init: None,
        cgroup: Some(tree.below(&group)),
        namespaces: NamespaceIds::default(),
    }
}
