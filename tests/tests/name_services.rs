//! Accounts that another name service than the local files knows.

use berth_tests::Machine;

/// dora, whom only extrausers knows, as it knows her groups: `remote`, her own, and `lab`.
fn dora(machine: &Machine) -> u32 {
    let uid = machine.uid("alice") + 30;
    machine
        .host("sed -i -E 's/^(passwd|group|shadow):.*/\\1: files extrausers/' /etc/nsswitch.conf")
        .ok();
    let write = |name: &str, text: String| {
        std::fs::create_dir_all("/var/lib/extrausers").unwrap();
        std::fs::write(format!("/var/lib/extrausers/{name}"), text).unwrap();
    };
    write(
        "passwd",
        format!("dora:x:{uid}:{uid}::/home/dora:/bin/sh\n"),
    );
    write(
        "group",
        format!("remote:x:{uid}:\nlab:x:{}:dora\n", uid + 1),
    );
    write("shadow", "dora:*:19000:0:99999:7:::\n".into());
    machine.host("install -d -o dora -g remote /home/dora").ok();
    assert!(
        !machine
            .host("grep -r dora /etc/passwd /etc/group /etc/shadow")
            .success()
    );
    uid
}

#[test]
fn a_user_of_another_name_service_is_matched_by_name_and_by_groups_and_logs_in() {
    Machine::run(|machine| {
        let before = machine.settled();
        let uid = dora(machine);
        for test in [
            "user = \"dora\"",
            "group = \"lab\"",
            "group = \"remote\"",
            "primary_group = \"remote\"",
            &format!("uid = \"{uid}\""),
        ] {
            machine.policy_text(&format!(
                "version = 1\n[defaults]\nno_match = \"deny\"\n[profile.p]\nlogout = {{ grace = \"1s\" }}\n\
                 namespaces = {{ user = \"minimal\", pid = true, mount = true }}\n[[rule]]\n{test}\nprofile = \"p\"\n"
            ));
            for said in [
                machine.ssh("dora", "cat /proc/1/comm; id -un; id -Gn; echo $HOME"),
                machine.su_login("dora", "cat /proc/1/comm; id -un; id -Gn; echo $HOME"),
            ] {
                assert_eq!(
                    said.ok(),
                    "berth-init\ndora\nremote lab\n/home/dora",
                    "{test}"
                );
            }
            machine.ssh("alice", "true").refused();
        }
        assert!(machine.logged("user=dora").contains(&format!("uid={uid}")));
        machine.assert_nothing_left(&before);
    });
}
