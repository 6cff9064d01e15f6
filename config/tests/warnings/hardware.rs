//! CPUs, nodes and disks that this machine does not have.

use super::{site, warnings};

#[test]
fn cpus_nodes_and_disks_that_this_machine_has_not() {
    let body = |tests: &str, all: &str| {
        let caps = |number: u8| format!("allowed_memory_nodes = \"{number}\"");
        let (pool, user, session) = (caps(2), caps(3), caps(4));
        format!(
            "[pool.cs]\n{pool}\n[profile.a]\npool = \"cs\"\nuser = {{ {user} }}\n\
             session = {{ {session}, io_read_iops_max = {{ \"/nfs/home\" = 5, \"/srv\" = 5, \"/home/bob\" = 5 }} }}\n{all}\n[[rule]]\n{tests}\nprofile = \"a\"\n"
        )
    };
    let told = |line: &str, key: &str, here: &str| {
        format!(
            "{line} this machine has none of these {key} | it has {here}: logins that get this fail"
        )
    };
    assert_eq!(
        warnings(
            &body("uid = \"1-\"", "[everyone]\nallowed_cpus = \"16-\""),
            &site(&[])
        ),
        [
            told("3:1", "allowed_memory_nodes", "0-1"),
            told("6:10", "allowed_memory_nodes", "0-1"),
            told("7:13", "allowed_memory_nodes", "0-1"),
            "7:41 not root alone decides which disk /home/bob means | it is somebody's".into(),
            "7:41 /nfs/home cannot be capped here | it has no disk: logins that get this fail"
                .into(),
            told("9:1", "allowed_cpus", "0-15"),
        ]
    );
    // Each once, however many rules give it.
    let by_two = body("uid = 5000", "[[rule]]\nuid = 6000\nprofile = \"a\"");
    let told = warnings(&by_two, &site(&[]));
    let of_disks = told.iter().filter(|one| one.starts_with("7:41 "));
    assert_eq!((told.len(), of_disks.count()), (5, 2), "{told:#?}");
    for others in ["host = \"big*\"", "role = \"big\""] {
        assert_eq!(warnings(&body(others, ""), &site(&[])), [""; 0]);
    }
}
