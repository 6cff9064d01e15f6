//! Connections through a login in a berth, and more than one login through a connection.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use berth_tests::{Background, Machine, Policy, Process, becomes, eventually};

/// Connects until somebody answers, and prints what they say.
fn connect(to: &str) -> String {
    format!(
        "for try in $(seq 300); do socat -u {to} - 2>/dev/null | grep . && break; sleep 0.1; done"
    )
}

#[test]
fn an_agents_keys_are_there() {
    Machine::run(|machine| {
        let said = machine
            .client("eval $(ssh-agent) >/dev/null; ssh-add -q key; $SSH -A alice@127.0.0.1 'ssh-add -l; stat -c %U $SSH_AUTH_SOCK'; ssh-agent -k >/dev/null")
            .ok();
        let key = machine
            .host("ssh-keygen -lf /root/key.pub | cut -d' ' -f2")
            .ok();
        assert!(said.contains(&key) && said.ends_with("\nalice"), "{said}");
        // And it can be used: from the berth on to another account.
        let onward = "ssh -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR bob@127.0.0.1 id -un";
        let said = machine
            .client(&format!("eval $(ssh-agent) >/dev/null; ssh-add -q key; $SSH -A alice@127.0.0.1 '{onward}'; ssh-agent -k >/dev/null"))
            .ok();
        assert_eq!(said, "bob");
    });
}

#[test]
fn ports_are_forwarded_both_ways() {
    Machine::run(|machine| {
        let answer = |what: &str, port: u32| {
            format!("timeout 20 socat -u EXEC:\\\"{what}\\\" TCP-LISTEN:{port},bind=127.0.0.1")
        };
        // What stays in the background holds no stream of the test's, and ends by itself.
        let beside = |program: &str| format!("{program} >/dev/null 2>&1 &\n");
        let alice = "alice@127.0.0.1";

        // From the client's port 7001 to the berth's 7002, where a program of alice's answers.
        let there = format!(
            "timeout 20 $SSH -L 7001:127.0.0.1:7002 {alice} \"{}\"",
            answer("id -un", 7002)
        );
        let here = connect("TCP:127.0.0.1:7001");
        assert_eq!(machine.client(&(beside(&there) + &here)).ok(), "alice");

        // From the berth's 7003 to the client's 7004.
        let there = format!(
            "$SSH -R 7003:127.0.0.1:7004 {alice} '{}'",
            connect("TCP:127.0.0.1:7003")
        );
        let here = format!("eval \"{}\"", answer("id -un", 7004));
        assert_eq!(machine.client(&(beside(&here) + &there)).ok(), "root");

        // By SOCKS, to whatever the client asks for.
        let there = format!("timeout 20 $SSH -N -D 7005 {alice}");
        let here = format!("eval \"{}\"", answer("id -un", 7006));
        let through = connect("SOCKS4:127.0.0.1:127.0.0.1:7006,socksport=7005");
        let said = machine.client(&(beside(&there) + &beside(&here) + &through));
        assert_eq!(said.ok(), "root");
    });
}

#[test]
fn a_window_reaches_the_clients_display() {
    Machine::run(|machine| {
        // Who listens where an X server would, and tells of a connection.
        let listen = "mkdir -p /tmp/.X11-unix; timeout 20 socat -u UNIX-LISTEN:/tmp/.X11-unix/X7 CREATE:asked >/dev/null 2>&1 &
            export DISPLAY=:7 XAUTHORITY=/root/xauth; xauth -q add :7 . 0123456789abcdef0123456789abcdef
            until [ -S /tmp/.X11-unix/X7 ]; do sleep 0.1; done\n";
        // The start of what an X client says: byte order, version, and the name and length of its cookie.
        let ask = r#"cookie=$(xauth list | sed "s/.* //"); echo $DISPLAY; xauth list | wc -l
            name=MIT-MAGIC-COOKIE-1; n=${DISPLAY#*:}
            (printf "l\0\13\0\0\0\22\0\20\0\0\0$name\0\0"; echo $cookie | xxd -r -p; sleep 1) | socat -u - TCP:127.0.0.1:$((6000 + ${n%.*}))"#;
        let said = machine
            .client(&format!(
                "{listen} $SSH -X alice@127.0.0.1 '{ask}'; wait; xxd -p asked | tr -d '\n'"
            ))
            .ok();
        let lines: Vec<&str> = said.lines().collect();
        assert!(lines[0].starts_with("localhost:10"), "{said}");
        assert_eq!(lines[1], "1", "cookies in the berth: {said}");
        // sshd gave the berth a cookie of its own, and ssh put the display's in its place.
        assert!(
            lines[2].ends_with("0123456789abcdef0123456789abcdef"),
            "{said}"
        );
    });
}

#[test]
fn many_logins_share_one_connection() {
    Machine::run(|machine| {
        let before = machine.settled();
        let said = machine
            .client("$SSH -o ControlMaster=yes -o ControlPath=/root/master -o ControlPersist=yes -N -f alice@127.0.0.1; for n in 1 2 3 4 5; do $SSH -o ControlPath=/root/master alice@127.0.0.1 'readlink /proc/self/ns/pid; echo $BERTH_SESSION' & done; wait")
            .ok();
        let mut lines: Vec<&str> = said.lines().collect();
        assert_eq!(lines.len(), 10, "{said}");
        lines.sort_unstable();
        lines.dedup();
        // sshd opens one session for a connection, so all its channels are in one berth.
        assert_eq!(lines.len(), 2, "{said}");
        machine
            .client("$SSH -O exit -o ControlPath=/root/master alice@127.0.0.1")
            .ok();
        machine.assert_nothing_left(&before);
    });
}

#[test]
fn a_connection_without_a_command_is_a_login_and_can_be_refused() {
    Machine::run(|machine| {
        let before = machine.settled();
        machine.policy(&Policy::with_profile("max_sessions = 1"));
        let mut ssh = machine.ssh_command("alice", "");
        ssh.arg("-N");
        let connection = Background(ssh.spawn().unwrap());
        let init = || Process::named("berth-init").len() == 1;
        assert!(eventually(init), "no berth");
        // It counts.
        machine.su("alice", "true").refused();
        connection.end();
        machine.assert_nothing_left(&before);
    });
}

/// ssh-keysign is setuid, and reads the host's key: what no_new_privs is there to forbid.
#[test]
fn a_hosts_key_proves_nothing_from_a_berth_and_does_without_a_user_namespace() {
    Machine::run(|machine| {
        machine.sshd();
        for (file, text) in [
            (
                "/etc/ssh/ssh_config",
                "Host *\nEnableSSHKeysign yes\nHostbasedAuthentication yes\nPreferredAuthentications hostbased\nStrictHostKeyChecking no\nLogLevel ERROR\n",
            ),
            ("/etc/ssh/shosts.equiv", "localhost\n127.0.0.1\n"),
        ] {
            fs::write(file, text).unwrap();
            fs::set_permissions(file, fs::Permissions::from_mode(0o644)).unwrap();
        }
        machine.host("cp /etc/ssh/test_host_key /etc/ssh/ssh_host_ed25519_key; cp /etc/ssh/test_host_key.pub /etc/ssh/ssh_host_ed25519_key.pub; printf '127.0.0.1,localhost %s\\n' \"$(cat /etc/ssh/test_host_key.pub)\" >/etc/ssh/ssh_known_hosts; chmod 644 /etc/ssh/ssh_known_hosts").ok();
        let server = "/usr/sbin/sshd -D -p 2222 -f /etc/ssh/test_sshd_config -o HostbasedAuthentication=yes -o IgnoreRhosts=no -o HostbasedUsesNameFromPacketOnly=yes";
        let _server = Background::talking(server);
        assert!(eventually(|| std::net::TcpStream::connect(
            "127.0.0.1:2222"
        )
        .is_ok()));
        let go = "ssh -p 2222 127.0.0.1 id -un";
        let said = machine.su("alice", go).refused();
        assert!(said.stderr.contains("Permission denied"), "{said:?}");
        machine.policy(&Policy::with_namespaces(r#"pid = true, mount = true"#));
        assert_eq!(machine.su("alice", go).ok(), "alice");
    });
}

/// As VS Code's remote does: one ssh command starts a server that is to stay, later connections go to its port, and by its
/// PID they look whether it still runs.
#[test]
fn a_server_left_by_one_login_is_reached_by_another_while_it_may_linger() {
    Machine::run(|machine| {
        let start = "setsid nohup socat TCP-LISTEN:7002,bind=127.0.0.1,fork,reuseaddr EXEC:'id -un' >/dev/null 2>&1 </dev/null & echo $! >server";
        let go = format!(
            "timeout 60 $SSH -L 7001:127.0.0.1:7002 alice@127.0.0.1 'cat /proc/$(cat server)/comm; exec sleep 50' >seen 2>&1 &\n\
             {}; until [ -s seen ]; do sleep 0.1; done; cat seen; kill $!; rm seen",
            connect("TCP:127.0.0.1:7001")
        );
        for (scope, linger, another_is_on, expected) in [
            ("session", "0s", true, None),
            ("session", "12h", false, Some(false)),
            ("user", "0s", false, None),
            ("user", "0s", true, Some(true)),
            ("user", "12h", false, Some(true)),
        ] {
            let what = format!("{scope}, {linger}, another login: {another_is_on}");
            let mut policy = Policy::with_namespaces(&format!(
                r#"scope = "{scope}", user = "identity", pid = true, mount = true, private_tmp = "8M""#
            ));
            policy.profile = format!("logout = {{ linger = \"{linger}\" }}");
            machine.policy(&policy);
            let before = machine.settled();
            let other = another_is_on.then(|| machine.stay("alice"));
            let others = machine.processes_of("alice").len();
            machine.ssh("alice", start).ok();
            // Until its login is over, that the server runs shows nothing.
            let left = others + usize::from(expected.is_some());
            becomes(|| machine.processes_of("alice").len(), left);
            if let Some(is_seen) = expected {
                let said = machine.client(&go).ok();
                let lines: Vec<&str> = said.lines().collect();
                assert_eq!(lines[0], "alice", "{what}: {said}");
                assert_eq!(lines[1] == "socat", is_seen, "{what}: {said}");
            }
            if let Some((other, _)) = other {
                other.end();
            }
            machine.berth("kill alice --yes");
            machine.assert_nothing_left(&before);
        }
    });
}
