//! A network and a host name of a berth's own.

use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};

use berth_tests::{Door, Machine, Policy};

/// A client and a server that find each other at an address, in Python: `ok`, or the error's name.
const MEET: &str = "python3 -c 'import socket; s = socket.socket(); s.bind((\"127.0.0.1\", 0)); s.listen(); \
                    socket.create_connection(s.getsockname(), 5); print(\"ok\")'";

fn alone() -> Policy {
    Policy::with_namespaces(
        r#"user = "identity", pid = true, mount = true, uts = true, net = true"#,
    )
}

#[test]
fn a_network_of_its_own_has_the_loopback_interface_alone() {
    Machine::run(|machine| {
        machine.policy(&alone());
        let before = machine.settled();
        let service = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = service.local_addr().unwrap().port();
        let reach = format!(
            "python3 -c 'import socket; socket.create_connection((\"127.0.0.1\", {port}), 5)' 2>&1 | tail -n 1"
        );
        assert_eq!(machine.host(&reach).ok(), "");
        for door in Door::ALL {
            let interfaces =
                machine.through(door, "alice", "tail -n +3 /proc/net/dev | cut -d: -f1");
            assert_eq!(interfaces.trim(), "lo", "{door:?}");
            assert_eq!(machine.through(door, "alice", MEET), "ok", "{door:?}");
            let told = machine.through(door, "alice", &reach);
            assert!(told.contains("Connection refused"), "{door:?}: {told}");
        }
        machine.assert_nothing_left(&before);
    });
}

/// They have no path that a mount namespace could hide: they are the network namespace's.
#[test]
fn an_abstract_socket_of_the_hosts_is_out_of_reach() {
    Machine::run(|machine| {
        let name = format!("berth-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let _socket = UnixListener::bind_addr(&address).unwrap();
        let reach = format!(
            "python3 -c 'import socket; socket.socket(socket.AF_UNIX).connect(\"\\0{name}\")' 2>&1 | tail -n 1"
        );
        assert_eq!(machine.ssh("alice", &reach).ok(), "", "without it is there");
        machine.policy(&alone());
        let told = machine.ssh("alice", &reach).ok();
        assert!(told.contains("Connection refused"), "{told}");
    });
}

#[test]
fn nobody_inside_changes_the_network_or_the_name() {
    Machine::run(|machine| {
        machine.policy(&Policy {
            profile: "privileges = { nested_userns = true }".into(),
            ..alone()
        });
        let host = machine.host("uname -n").ok();
        assert_eq!(machine.ssh("alice", "uname -n").ok(), host);
        // Root of a user namespace of their own, too.
        machine
            .ssh("alice", "unshare --user --map-root-user true")
            .ok();
        for command in ["ip link set lo down", "hostname other"] {
            for before in ["", "unshare --user --map-root-user "] {
                let ran = machine.ssh("alice", &format!("{before}{command}"));
                assert!(!ran.status.success(), "{before}{command}: {ran:?}");
                let told = ran.stderr;
                assert!(
                    told.contains("not permitted") || told.contains("must be root"),
                    "{before}{command}: {told}"
                );
            }
        }
    });
}

#[test]
fn the_commands_know_them() {
    Machine::run(|machine| {
        machine.policy(&alone());
        let (alice, sleep) = machine.stay("alice");
        let own = ["uts", "net"].map(|kind| sleep.namespace(kind));
        let host = ["uts", "net"].map(|kind| berth_tests::Process(1).namespace(kind));
        for (own, host) in own.iter().zip(&host) {
            assert_ne!(own, host);
        }
        let list: serde_json::Value =
            serde_json::from_str(&machine.berth("list --json").ok()).unwrap();
        let session = &list["sessions"][0];
        let kinds = serde_json::json!(["user", "pid", "mount", "uts", "net"]);
        assert_eq!(session["namespaces"], kinds);
        let id = &session["session"];
        let entered = machine.berth(&format!(
            "enter {id} readlink /proc/self/ns/uts /proc/self/ns/net"
        ));
        let own = own.map(|path| path.display().to_string());
        assert_eq!(entered.ok(), own.join("\n"));
        alice.end();
        machine.logged("ns=user,pid,mount,uts,net result=ok");
    });
}
