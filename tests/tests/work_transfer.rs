//! Files in and out of a berth, by the programs that people use.

use std::fs;

use berth_tests::{Machine, Policy};

/// A file with bytes of all kinds.
fn make_file() {
    let bytes: Vec<u8> = (0..1_000_003_u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    fs::write("/root/file", bytes).unwrap();
}

fn is_alices(machine: &Machine, path: &str) -> bool {
    let owner = machine.host(&format!("stat -c %u {path}")).ok();
    owner == machine.uid("alice").to_string()
}

#[test]
fn scp_copies_by_both_of_its_protocols() {
    Machine::run(|machine| {
        make_file();
        for protocol in ["", "-O"] {
            let copy = format!(
                "scp -q {protocol} $OPTIONS file alice@127.0.0.1:there && scp -q {protocol} $OPTIONS alice@127.0.0.1:there back && cmp file back && rm back"
            );
            machine.client(&copy).ok();
            assert!(is_alices(machine, "/home/alice/there"));
            machine
                .host("cmp /root/file /home/alice/there && rm /home/alice/there")
                .ok();
        }
    });
}

#[test]
fn sftp_lists_puts_gets_and_renames() {
    Machine::run(|machine| {
        make_file();
        let batch = "mkdir d\nput /root/file d/there\nrename d/there d/renamed\nls -l d\nget d/renamed /root/back\n";
        let said = machine.sftp("alice", batch).ok();
        assert!(
            said.contains("1000003") && said.contains("renamed"),
            "{said}"
        );
        machine.host("cmp /root/file /root/back").ok();
        assert!(is_alices(machine, "/home/alice/d/renamed"));
    });
}

#[test]
fn rsync_sends_what_has_changed() {
    Machine::run(|machine| {
        make_file();
        machine
            .client("mkdir tree && cp file tree/a && ln -s a tree/link && rsync -a tree alice@127.0.0.1:")
            .ok();
        machine
            .host("cmp /root/file /home/alice/tree/a && test -L /home/alice/tree/link")
            .ok();
        assert!(is_alices(machine, "/home/alice/tree/a"));
        let said = machine
            .client("echo more >>tree/a; rsync -a --stats --no-whole-file tree alice@127.0.0.1:")
            .ok();
        assert!(
            said.contains("Number of regular files transferred: 1"),
            "{said}"
        );
        let literal = said
            .lines()
            .find_map(|line| line.strip_prefix("Literal data: "))
            .unwrap();
        let literal: u32 = literal
            .replace(',', "")
            .split(' ')
            .next()
            .unwrap()
            .parse()
            .unwrap();
        assert!(literal < 10_000, "{said}");
        machine.host("cmp /root/tree/a /home/alice/tree/a").ok();
    });
}

#[test]
fn git_clones_and_pushes() {
    Machine::run(|machine| {
        let git = "git -c user.name=alice -c user.email=alice -c init.defaultBranch=main";
        machine.ssh("alice", &format!("mkdir r && cd r && {git} init -q && echo one >file && git add file && {git} commit -qm one && git config receive.denyCurrentBranch updateInstead")).ok();
        machine.client(&format!("git clone -q alice@127.0.0.1:r clone && cd clone && echo two >>file && {git} commit -qam two && git push -q origin main")).ok();
        assert_eq!(
            fs::read_to_string("/home/alice/r/file").unwrap(),
            "one\ntwo\n"
        );
        assert!(is_alices(machine, "/home/alice/r/.git/refs/heads/main"));
    });
}

#[test]
fn a_file_can_be_given_to_each_of_ones_groups() {
    Machine::run(|machine| {
        let first = machine.uid("alice") + 30;
        for number in 0..16 {
            machine.add_group(&format!("group-{number}"), first + number, &["alice"]);
        }
        for user in ["identity", "minimal"] {
            machine.policy(&Policy::with_map(user));
            let give = "for g in $(id -G); do rm -f of-$g; touch of-$g && chgrp $g of-$g && chmod 2640 of-$g && stat -c '%g %a' of-$g; done";
            let said = machine.ssh("alice", give).ok();
            assert_eq!(said.lines().count(), 17, "{user}: {said}");
            for gid in (first..first + 16).chain([machine.uid("alice")]) {
                assert!(said.contains(&format!("{gid} 2640")), "{user}: {said}");
                let outside = machine
                    .host(&format!("stat -c '%g %a' /home/alice/of-{gid}"))
                    .ok();
                assert_eq!(outside, format!("{gid} 2640"), "{user}");
            }
            let other = machine
                .ssh("alice", "touch other && chgrp bob other")
                .refused();
            assert!(other.stderr.contains("chgrp"), "{user}: {other:?}");
        }
    });
}

/// Under a minimal map, files of others show as nobody's and their ACLs cannot be copied.
#[test]
fn an_acl_for_others_needs_the_identity_map() {
    Machine::run(|machine| {
        machine.sshd();
        let set =
            "cd && touch own && setfacl -m u:bob:rw own && cp -p own copy && getfacl -cn copy";
        let said = machine.ssh("alice", set).ok();
        assert!(
            said.contains(&format!("user:{}:rw-", machine.uid("bob"))),
            "{said}"
        );
        machine.policy(&Policy::with_map("minimal"));
        let said = machine
            .ssh("alice", "cd && touch mine && setfacl -m u:bob:rw mine")
            .refused();
        assert!(said.stderr.contains("Invalid argument"), "{said:?}");
    });
}
