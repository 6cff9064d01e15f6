//! A network and a host name of a berth's own.

use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};

use berth_tests::{Door, Machine, Policy, Stack, eventually};

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

/// No network namespace holds a socket to the hypervisor, so it is refused by number: EPERM, where a kernel that has none
/// says something else. A ring of io_uring would make one past the filter.
#[test]
fn a_socket_that_leads_past_the_network_is_refused() {
    Machine::run(|machine| {
        let make = r#"python3 -c 'import ctypes; c = ctypes.CDLL(None, use_errno=True)
for call in (41, 40, 1, 0), (41, 1, 1, 0), (425, 8, 0): print(c.syscall(*call) >= 0 or ctypes.get_errno())'"#;
        let errno = |says: &str| -> Vec<String> { says.lines().map(str::to_owned).collect() };
        for user in ["identity", "off"] {
            machine.policy(&Policy::with_namespaces(&format!(
                r#"user = "{user}", pid = true, mount = true, net = true"#
            )));
            assert_eq!(
                errno(&machine.ssh("alice", make).ok()),
                ["1", "True", "38"],
                "{user}"
            );
        }
        machine.policy(&Policy::default());
        let without = errno(&machine.ssh("alice", make).ok());
        assert!(without[0] != "1" && without[2] != "38", "{without:?}");
    });
}

/// What the server connects to is in the berth; what comes from the client's side is the client's to give.
#[test]
fn forwardings_end_at_its_own_loopback_and_the_clients_network_comes_in_by_them() {
    Machine::run(|machine| {
        machine.policy(&alone());
        let service = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = service.local_addr().unwrap().port();
        let to = format!("127.0.0.1:{port}");
        let came = std::thread::spawn(move || service.accept().is_ok());
        let said = machine.client(&format!("$SSH -W {to} alice@127.0.0.1 </dev/null"));
        assert!(
            !said.status.success() && said.stderr.contains("forwarding failed"),
            "{said:?}"
        );
        let reach =
            r#"python3 -c "import socket; socket.create_connection((\"127.0.0.1\", 7003), 5)""#;
        let back = machine.client(&format!("$SSH -R 7003:{to} alice@127.0.0.1 '{reach}'"));
        back.ok();
        assert!(came.join().unwrap(), "nobody came by the client");
    });
}

/// Without a user namespace there is a way back, for modules that want the network at the end.
#[test]
fn the_application_comes_back_to_the_hosts_network() {
    Machine::run(|machine| {
        machine.policy(&Policy::with_namespaces("uts = true, net = true"));
        let look = "readlink /proc/self/ns/uts /proc/self/ns/net";
        let note = format!("#!/bin/sh\ntest $PAM_TYPE = open_session || {look} >/root/closed-in\n");
        std::fs::write("/root/note", note).unwrap();
        machine.host("chmod 755 /root/note").ok();
        let stack = Stack::default();
        machine.stack(&Stack {
            before: format!(
                "session required {} close\nsession required pam_exec.so /root/note",
                stack.module()
            ),
            arguments: "open".into(),
            ..stack
        });
        let host = machine.host(look).ok();
        for door in [Door::Ssh, Door::Su, Door::SuLogin, Door::Login] {
            let inside = machine.through(door, "alice", look);
            let differ = inside
                .lines()
                .zip(host.lines())
                .all(|(own, host)| own != host);
            assert!(differ && inside.lines().count() == 2, "{door:?}: {inside}");
            let closed = || std::fs::read_to_string("/root/closed-in").unwrap_or_default();
            assert!(
                eventually(|| closed().trim() == host),
                "{door:?}: {}",
                closed()
            );
            machine.host("rm /root/closed-in").ok();
        }
    });
}

/// A daemon that is started inside would have everybody's logins in a network that is not the host's.
#[test]
fn a_berth_of_a_network_alone_is_known_as_a_berth() {
    Machine::run(|machine| {
        machine.policy(&Policy::with_namespaces("net = true"));
        machine.ssh("alice", "true").ok();
        let (login, sleep) = machine.stay("alice");
        let su =
            |user: &str| machine.host(&format!("nsenter -t {} --net su {user} -c true", sleep.0));
        let refused = su("bob");
        assert!(!refused.status.success(), "{refused:?}");
        machine.logged("the application runs inside the berth of");
        su("alice").ok();
        login.end();
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
        let list = machine.berth("list --json").json();
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
