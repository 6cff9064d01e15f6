//! What a session shares with the host just as a login without Berth does.

use berth_tests::{Door, Machine, Policy};

#[test]
fn files_owners_and_acls_are_as_outside() {
    Machine::run(|machine| {
        machine.sshd();
        let uids = ["alice", "bob"].map(|name| machine.uid(name));
        machine.host("mkdir -m 755 /srv/shared && cd /srv/shared && touch a b c d && chown bob:bob b && chown daemon:mail c && setfacl -m u:bob:rwx,g:alice:r-x d && setfacl -d -m u:alice:rwx /srv/shared").ok();
        let look = "cd /srv/shared && ls -lan && getfacl -n . a b c d";
        let outside = machine.host(look).ok();
        assert!(outside.contains(&format!("user:{}:rwx", uids[1])));
        for door in Door::ALL {
            assert_eq!(machine.through(door, "alice", look), outside, "{door:?}");
        }
    });
}

#[test]
fn groups_are_the_same_as_without_berth() {
    Machine::run(|machine| {
        let gid = machine.uid("alice") + 30;
        machine.add_group("course", gid, &["alice"]);
        machine.add_group("other", gid + 1, &["bob"]);
        let alice = machine.uid("alice");
        for user in ["identity", "minimal"] {
            machine.policy(&Policy::with_map(user));
            for door in Door::ALL {
                let said = machine.through(door, "alice", "id -G");
                assert_eq!(said, format!("{alice} {gid}"), "{door:?} {user}");
            }
        }
    });
}

#[test]
fn groups_that_pam_group_gives_are_kept() {
    Machine::run(|machine| {
        let gid = machine.uid("alice") + 30;
        machine.add_group("floppy-users", gid, &[]);
        std::fs::write(
            "/etc/security/group.conf",
            "*;*;alice;Al0000-2400;floppy-users\n",
        )
        .unwrap();
        // pam_group works when credentials are established, which for sshd and login is before the
        // session; su does it after.
        for service in ["sshd", "login", "su", "su-l"] {
            let path = format!("/etc/pam.d/{service}");
            let text = std::fs::read_to_string(&path).unwrap();
            std::fs::write(path, format!("auth optional pam_group.so\n{text}")).unwrap();
        }
        // With a minimal map they must be in it. login establishes credentials only after that is made.
        for user in ["identity", "minimal"] {
            machine.policy(&Policy::with_map(user));
            for door in [
                Door::Ssh,
                Door::SshTerminal,
                Door::Login,
                Door::Su,
                Door::SuLogin,
            ] {
                let said = machine.through(door, "alice", "id -G");
                assert!(
                    said.split(' ').any(|one| one == gid.to_string()),
                    "{door:?} {user}: {said}"
                );
            }
        }
    });
}

#[test]
fn a_user_in_400_groups_has_all_of_them() {
    Machine::run(|machine| {
        let alice = machine.uid("alice");
        let gids: Vec<u32> = (0..400).map(|number| 700_000 + number * 7).collect();
        for gid in &gids {
            machine.add_group(&format!("g{gid}"), *gid, &["alice"]);
        }
        let all: Vec<String> = [alice].iter().chain(&gids).map(u32::to_string).collect();
        for door in [Door::Ssh, Door::Su, Door::SuLogin] {
            let said = machine.through(door, "alice", "id -G");
            assert_eq!(said, all.join(" "), "{door:?}");
        }
        // More than a map has room for, none beside another.
        machine.policy(&Policy::with_map("minimal"));
        machine.ssh("alice", "id -G").refused();
        machine.logged("the login's groups need 403 extents, ");
        assert_eq!(machine.ssh("root", "id -u").ok(), "0");
    });
}
