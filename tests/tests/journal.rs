//! The log's lines with fields of their own, where journald runs and the policy does not forbid it.

use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use berth_tests::{Machine, Policy, eventually};

const SOCKET: &str = "/run/systemd/journal/socket";

/// Takes journald's place.
fn journal() -> UnixDatagram {
    std::fs::create_dir_all("/run/systemd/journal").unwrap();
    let socket = UnixDatagram::bind(SOCKET).unwrap();
    socket.set_nonblocking(true).unwrap();
    socket
}

/// The fields of the next message.
#[track_caller]
fn next(socket: &UnixDatagram) -> Vec<String> {
    let mut message = vec![0; 65_536];
    let mut length = 0;
    let came = eventually(|| socket.recv(&mut message).map(|read| length = read).is_ok());
    assert!(came, "no message");
    let text = std::str::from_utf8(&message[..length]).unwrap();
    assert!(text.ends_with('\n'), "{text:?}");
    text.lines().map(String::from).collect()
}

#[test]
fn a_sessions_beginning_and_end_have_fields_in_the_journal() {
    Machine::run(|machine| {
        let socket = journal();
        let uid = machine.uid("alice");
        let session = machine.ssh("alice", "echo $BERTH_SESSION").ok();
        for event in ["open", "close"] {
            let fields = next(&socket);
            for field in [
                format!("BERTH_EVENT={event}"),
                format!("BERTH_SESSION={session}"),
                "BERTH_USER=alice".into(),
                format!("BERTH_UID={uid}"),
                "BERTH_SERVICE=sshd".into(),
                "BERTH_RESULT=ok".into(),
                "PRIORITY=6".into(),
                "SYSLOG_FACILITY=10".into(),
                "SYSLOG_IDENTIFIER=berth".into(),
            ] {
                assert!(fields.contains(&field), "no {field} in {fields:#?}");
            }
            // The line is the one that syslog would get, and each of its words is a field.
            let line = fields[0].strip_prefix("MESSAGE=").unwrap();
            assert!(
                line.starts_with(&format!("{event} session={session} user=alice ")),
                "{line}"
            );
            for word in line.split(' ').skip(1) {
                let (key, value) = word.split_once('=').unwrap();
                let field = format!("BERTH_{}={value}", key.to_uppercase());
                assert!(fields.contains(&field), "no {field} in {fields:#?}");
            }
            assert_eq!(fields.len(), 6 + line.split(' ').count() - 1, "{fields:#?}");
        }
        let lines = machine.log_lines();
        assert!(
            !lines.iter().any(|line| line.contains("session=")),
            "{lines:#?}"
        );
    });
}

#[test]
fn what_a_user_chooses_is_no_field_of_its_own() {
    Machine::run(|_machine| {
        let socket = journal();
        let hostile = "pts/1\nBERTH_USER=root\n\nMESSAGE\n";
        let program = format!("{}/berth", berth_tests::namespaces::PROGRAMS);
        let module = format!("{}/libpam_berth.so", berth_tests::namespaces::PROGRAMS);
        let helper = format!("{}/berth-helper", berth_tests::namespaces::PROGRAMS);
        let output = std::process::Command::new(program)
            .args([
                "try", "--user", "alice", "--module", &module, "--helper", &helper,
            ])
            .args(["--tty", hostile, "true"])
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        let fields = next(&socket);
        let expected = r"BERTH_TTY=pts/1\x0aBERTH_USER=root\x0a\x0aMESSAGE\x0a";
        assert!(fields.contains(&expected.to_owned()), "{fields:#?}");
        let users: Vec<_> = fields
            .iter()
            .filter(|field| field.starts_with("BERTH_USER="))
            .collect();
        assert_eq!(users, ["BERTH_USER=alice"]);
    });
}

#[test]
fn without_journald_or_against_the_policy_it_is_syslog() {
    Machine::run(|machine| {
        machine.ssh("alice", "true").ok();
        machine.logged("close session=1 ");
        let socket = journal();
        machine.policy(&Policy::with_rest("[accounting]\njournal = false"));
        machine.ssh("alice", "true").ok();
        machine.logged("open session=2 ");
        machine.logged("close session=2 ");
        drop(socket); // Its file is there, and nobody behind it.
        machine.policy(&Policy::default());
        machine.ssh("alice", "true").ok();
        machine.logged("close session=3 ");
    });
}

#[test]
fn a_journald_that_hangs_holds_up_no_login_and_no_logout() {
    Machine::run(|machine| {
        let before = machine.settled();
        let socket = journal();
        let other = UnixDatagram::unbound().unwrap();
        other.connect(SOCKET).unwrap();
        other.set_nonblocking(true).unwrap();
        while other.send(b"MESSAGE=noise\n").is_ok() {}
        let start = Instant::now();
        assert_eq!(machine.ssh("alice", "echo in").ok(), "in");
        let took = start.elapsed();
        assert!(took < Duration::from_secs(30), "{took:?}");
        machine.assert_nothing_left(&before);
        drop(socket);
    });
}
