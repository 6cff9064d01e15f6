//! metrics, on records that the test writes, and as a server. What Prometheus makes of it is looked at by the crate of
//! tests on real logins.

use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

mod pretend;

use pretend::ran::somebody;
use pretend::{Folder, Ran, Run, record, with_figures};

/// So many sessions of each of these users, whose UIDs count from 4,000,000. Nobody keeps them.
fn sessions(users: &[(&str, u32)]) -> Run {
    let run = Run::new();
    let mut id = 0;
    for ((user, sessions), uid) in users.iter().zip(4_000_000..) {
        for _ in 0..*sessions {
            id += 1;
            let mut record = record(id, user, uid, 60);
            record["keeper"] = json!({ "pid": 1, "start": 1 });
            run.write(id, &record);
        }
    }
    run
}

fn metrics(run: &Run, arguments: &str) -> Ran {
    run.berth("", &format!("metrics {arguments}"))
}

fn lines<'a>(text: &'a str, name: &str) -> Vec<&'a str> {
    let lines = text.lines();
    lines.filter(|line| line.starts_with(name)).collect()
}

#[test]
fn users_past_the_top_are_one() {
    let run = sessions(&[("alice", 2), ("bob", 1), ("carol", 3), ("other", 1)]);
    assert_eq!(
        lines(&metrics(&run, "--top 2").ok(), "berth_user_sessions"),
        [
            "berth_user_sessions{user=\"alice\",uid=\"4000000\"} 2",
            "berth_user_sessions{user=\"bob\",uid=\"4000001\"} 1",
            "berth_user_sessions{user=\"other\",uid=\"\"} 4",
        ]
    );
    // Whoever has that name is told apart.
    let all = metrics(&run, "").ok();
    let all = lines(&all, "berth_user_sessions");
    assert_eq!(all.len(), 4, "{all:?}");
    assert_eq!(
        all[3],
        "berth_user_sessions{user=\"other\",uid=\"4000003\"} 1"
    );
    assert_eq!(
        lines(&metrics(&run, "--top 0").ok(), "berth_user_sessions"),
        ["berth_user_sessions{user=\"other\",uid=\"\"} 7"]
    );
}

/// Files of a cgroup in which each figure is another number, and those counted up in the order of [`FAMILIES`].
fn figures(run: &Run, path: &str, first: u64) {
    let n = |nth: u64| first + nth;
    let seconds = |nth: u64| n(nth) * 1_000_000;
    let pressure = |nth: u64| {
        let us = seconds(nth);
        format!("some avg10=1.00 avg60=2.00 avg300=3.00 total={us}\nfull total=4\n")
    };
    for (file, text) in [
        ("pids.current", n(0).to_string()),
        ("pids.max", n(1).to_string()),
        ("memory.current", n(2).to_string()),
        ("memory.peak", n(3).to_string()),
        ("memory.max", n(4).to_string()),
        ("cpu.max", format!("{} 100000", n(5) * 100_000)),
        ("pids.events", format!("max {}", n(6))),
        ("memory.events", format!("oom 5\noom_kill {}", n(7))),
        (
            "io.stat",
            format!("8:0 rbytes={} wbytes={} rios=6 wios=7", n(8), n(9)),
        ),
        (
            "cpu.stat",
            format!(
                "usage_usec {}\nuser_usec 8\nsystem_usec 9\nthrottled_usec {}",
                seconds(10),
                seconds(11)
            ),
        ),
        ("cpu.pressure", pressure(12)),
        ("memory.pressure", pressure(13)),
        ("io.pressure", pressure(14)),
    ] {
        run.cgroup(path, &[(file, &format!("{text}\n"))]);
    }
}

/// What is told of users, of pools and of everyone, and what its labels have besides theirs.
const FAMILIES: [(&str, &str); 15] = [
    ("tasks", ""),
    ("tasks_max", ""),
    ("memory_bytes", ""),
    ("memory_peak_bytes", ""),
    ("memory_max_bytes", ""),
    ("cpu_max_cpus", ""),
    ("tasks_refused_total", ""),
    ("oom_kills_total", ""),
    ("io_read_bytes_total", ""),
    ("io_written_bytes_total", ""),
    ("cpu_seconds_total", ""),
    ("cpu_throttled_seconds_total", ""),
    ("pressure_waiting_seconds_total", "resource=\"cpu\""),
    ("pressure_waiting_seconds_total", "resource=\"memory\""),
    ("pressure_waiting_seconds_total", "resource=\"io\""),
];

#[test]
fn each_figure_of_users_pools_and_everyone_is_the_one_that_it_is_called() {
    let run = with_figures();
    let alice = "berth/user-4000001";
    for (path, first) in [(alice, 100), ("berth/pool-cs101", 200), ("berth", 300)] {
        figures(&run, path, first);
    }
    // There the user's cap stands without its reserve.
    run.cgroup(&format!("{alice}/sessions"), &[("pids.max", "101\n")]);
    run.cgroup(alice, &[("pids.max", "117\n")]);
    let text = metrics(&run, "").ok();
    for (of, labels, sessions, first) in [
        ("user", "user=\"alice\",uid=\"4000001\"", 2, 100),
        ("pool", "pool=\"cs101\"", 1, 200),
        ("everyone", "", 3, 300),
    ] {
        let figures = FAMILIES.into_iter().zip(first..);
        let all = [(("sessions", ""), sessions)].into_iter().chain(figures);
        let expected: Vec<_> = all
            .map(|((name, besides), figure)| {
                let labels = [labels, besides].join(",");
                let labels = format!("{{{}}}", labels.trim_matches(',')).replace("{}", "");
                format!("berth_{of}_{name}{labels} {figure}")
            })
            .collect();
        let mut told = lines(&text, &format!("berth_{of}_"));
        told.retain(|line| line.contains(labels));
        assert_eq!(told, expected, "{of}");
    }
}

#[test]
fn who_needs_nearly_all_of_their_memory_cap_is_counted_as_at_it() {
    let run = with_figures();
    let alice = "berth/user-4000001";
    // bob has 7 of 8 GiB.
    for (current, cache, at_cap) in [(949, 0, 0), (950, 0, 1), (950, 1, 0)] {
        run.cgroup(
            alice,
            &[
                ("memory.max", "1000\n"),
                ("memory.current", &format!("{current}\n")),
                ("memory.stat", &format!("inactive_file {cache}\n")),
            ],
        );
        let line = format!("berth_users_at_memory_cap {at_cap}");
        let text = metrics(&run, "").ok();
        assert_eq!(
            lines(&text, "berth_users_at_memory_cap"),
            [line],
            "{current} {cache}"
        );
    }
}

#[test]
fn sessions_are_counted_by_their_state_and_what_cannot_be_read_is_told() {
    let run = sessions(&[("alice", 2)]);
    run.write(9, &json!({}));
    let output = metrics(&run, "");
    assert_eq!(output.code, Some(5), "{output:?}");
    let text = output.out;
    // Of keepers that there are not.
    for line in [
        "berth_sessions{state=\"dead\"} 2",
        "berth_sessions{state=\"active\"} 0",
        "berth_records_unread 1",
        "berth_users 1",
        "# EOF",
    ] {
        assert_eq!(lines(&text, line), [line], "{text}");
    }
}

#[test]
fn what_a_full_disk_has_cut_is_told() {
    let run = sessions(&[("alice", 1)]);
    let output = metrics(&run, ">/dev/full");
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(output.err.contains("No space left on device"), "{output:?}");
}

#[test]
fn no_name_breaks_out_of_its_quotes() {
    let run = sessions(&[("a\"} 1\nevil{x=\"\\", 1)]);
    let text = metrics(&run, "").ok();
    assert_eq!(
        lines(&text, "berth_user_sessions"),
        ["berth_user_sessions{user=\"a\\\"} 1\\nevil{x=\\\"\\\\\",uid=\"4000000\"} 1"]
    );
    assert_eq!(lines(&text, "evil"), [""; 0]);
}

#[test]
fn a_file_is_written_whole_where_nobody_else_can_write() {
    let run = sessions(&[("alice", 1)]);
    let out = Folder::new();
    let program = "/run/berth-program metrics --output /run/out";
    let after = |before: &str, file: &str| {
        let mount = format!("mkdir /run/out; mount --bind {} /run/out", out.display());
        Ran::of(&mut run.shell(&format!("{mount}; {before} exec {program}/{file}")))
    };
    let metrics = |file: &str| after("", file);
    let file = out.write("b.prom", "old");
    let old = fs::File::open(&file).unwrap();
    assert_eq!(metrics("b.prom").ok(), "");
    let text = fs::read_to_string(&file).unwrap();
    // What node_exporter takes: no OpenMetrics.
    assert!(
        text.contains("\n# TYPE berth_logins_total counter\n"),
        "{text}"
    );
    assert!(text.ends_with('\n') && !text.contains("# EOF"), "{text}");
    let mode = fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o644);
    // Another file by the same name: whoever reads the old one reads on in it.
    assert_eq!(std::io::read_to_string(old).unwrap(), "old");
    assert_eq!(fs::read_dir(&out).unwrap().count(), 1);
    // Nor is anything left of one that was killed, once there was another.
    let kill = "strace -qq -o /dev/null -e inject=?rename,?renameat,?renameat2:signal=KILL";
    let killed = format!("! {kill} {program}/b.prom; ls -A /run/out;");
    let told = after(&killed, "b.prom").ok();
    assert_eq!(told.lines().count(), 2, "{told}");
    assert_eq!(fs::read_dir(&out).unwrap().count(), 1);
    // Two at once do not get in each other's way.
    let often = format!("for i in 1 2 3 4 5 6 7 8 9; do {program}/b.prom || exit 1; done");
    let at_once = format!("({often}) & ({often}) && wait $! || exit 1;");
    assert_eq!(after(&at_once, "b.prom").ok(), "");
    for mode in [0o775, 0o757, 0o1777] {
        fs::set_permissions(&out, Permissions::from_mode(mode)).unwrap();
        let output = metrics("c.prom");
        assert_eq!(output.code, Some(1), "{output:?}");
        assert!(
            output
                .err
                .contains("others can write to /run/out; chmod go-w /run/out"),
            "{output:?}"
        );
        assert!(!out.join("c.prom").exists());
    }
    fs::set_permissions(&out, Permissions::from_mode(0o755)).unwrap();
    let output = metrics("no/such");
    assert_eq!(output.code, Some(1), "{output:?}");
}

#[test]
fn who_is_not_root_is_told_so_and_no_terminal_is_a_connection() {
    let run = sessions(&[("alice", 1)]);
    let output = run.berth(&somebody(4_000_001), "metrics");
    assert_eq!((output.code, output.out.as_str()), (Some(4), ""));
    let output = metrics(&run, "--http");
    assert_eq!(output.code, Some(2), "{output:?}");
    for arguments in ["--http --output x", "--allow root", "--top x", "--format x"] {
        assert_eq!(metrics(&run, arguments).code, Some(2), "{arguments}");
    }
}

/// A connection, and the server that has its other end.
fn connect(run: &Run, arguments: &str) -> (TcpStream, Child) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    client
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    let input = OwnedFd::from(listener.accept().unwrap().0);
    let output = input.try_clone().unwrap();
    let mut server = run.shell(&format!("exec /run/berth-program metrics {arguments}"));
    let server = server.stdin(input).stdout(output).stderr(Stdio::null());
    (client, server.spawn().unwrap())
}

fn answer(run: &Run, arguments: &str, request: &[u8]) -> String {
    let (mut client, mut server) = connect(run, arguments);
    client.write_all(request).unwrap();
    let mut said = String::new();
    client.read_to_string(&mut said).unwrap();
    server.wait().unwrap();
    said
}

#[test]
fn one_request_has_one_answer() {
    let run = sessions(&[("alice", 1)]);
    let said = answer(&run, "--http", b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
    let (head, body) = said.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(
        head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())),
        "{head}"
    );
    assert!(
        body.contains("berth_user_sessions{user=\"alice\""),
        "{body}"
    );
    let said = answer(&run, "--http", b"GET /etc/passwd HTTP/1.1\r\n\r\n");
    assert!(said.starts_with("HTTP/1.1 404 "), "{said}");
    let long = [
        b"GET /metrics HTTP/1.1\r\nX: ",
        &[b'x'; 9000][..],
        b"\r\n\r\n",
    ]
    .concat();
    let said = answer(&run, "--http", &long);
    assert!(said.starts_with("HTTP/1.1 431 "), "{said}");
}

#[test]
fn a_user_who_is_not_allowed_is_refused() {
    let run = sessions(&[("alice", 1)]);
    // Root's connection is always answered, so it has to be another's.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    for (allow, status) in [("4000007", "200 OK"), ("4000008", "403 Forbidden")] {
        let script = format!(
            "exec 3<>/dev/tcp/127.0.0.1/{port}; printf 'GET /metrics HTTP/1.1\\r\\n\\r\\n' >&3; cat <&3"
        );
        let client = Command::new("setpriv")
            .args([
                "--reuid=4000007",
                "--regid=4000007",
                "--clear-groups",
                "bash",
                "-c",
                &script,
            ])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = OwnedFd::from(listener.accept().unwrap().0);
        let output = input.try_clone().unwrap();
        let mut server = run.shell(&format!(
            "exec /run/berth-program metrics --http --allow {allow}"
        ));
        server.stdin(input).stdout(output).status().unwrap();
        drop(server); // and with it our end of the connection
        let said = String::from_utf8(client.wait_with_output().unwrap().stdout).unwrap();
        assert!(
            said.starts_with(&format!("HTTP/1.1 {status}\r\n")),
            "{allow}: {said}"
        );
        assert_eq!(said.contains("alice"), status == "200 OK", "{said}");
    }
}

#[test]
fn who_asks_for_nothing_is_not_waited_for() {
    let run = sessions(&[("alice", 1)]);
    // One that has gone away, and one that sends a byte now and then.
    let (client, mut server) = connect(&run, "--http");
    client.shutdown(Shutdown::Write).unwrap();
    server.wait().unwrap();
    let begun = Instant::now();
    let (mut client, mut server) = connect(&run, "--http");
    while server.try_wait().unwrap().is_none() {
        assert!(begun.elapsed() < Duration::from_secs(20));
        let _ = client.write(b"G");
        std::thread::sleep(Duration::from_millis(200));
    }
    assert!(begun.elapsed() > Duration::from_secs(5));
}
