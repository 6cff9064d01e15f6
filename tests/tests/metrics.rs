//! `berth metrics` of real logins, and what a real Prometheus makes of it.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use berth_tests::namespaces::PROGRAMS;
use berth_tests::{Folder, Machine, Process, Stack, eventually, within};

/// alice gets a berth, bob is refused, carol is left alone.
const POLICY: &str = r#"
version = 1

[profile.student]
namespaces = { user = "identity", pid = true, ipc = true, mount = true }
logout     = { grace = "0s" }

[[rule]]
user    = "bob"
action  = "deny"
message = "no"

[[rule]]
user    = "carol"
action  = "exempt"

[[rule]]
profile = "student"
"#;

fn metrics(machine: &Machine) -> String {
    machine.berth("metrics").ok()
}

/// The figure of one series; 0 where there is none.
fn figure(text: &str, series: &str) -> f64 {
    let mut lines = text.lines();
    let value = lines.find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    value.map_or(0.0, |value| value.parse().unwrap())
}

#[track_caller]
fn assert_counts(machine: &Machine, expected: &[(&str, f64)]) {
    let mut text = String::new();
    let right = |text: &str| {
        let mut all = expected.iter();
        all.all(|(series, value)| figure(text, series) == *value)
    };
    let became = eventually(|| {
        text = metrics(machine);
        right(&text)
    });
    assert!(became, "{expected:?} in {text}");
}

const OK: &str = "berth_logins_total{outcome=\"ok\"}";
const DENIED: &str = "berth_logins_total{outcome=\"denied\"}";
const EXEMPT: &str = "berth_logins_total{outcome=\"exempt\"}";
const FAILED: &str = "berth_logins_total{outcome=\"failed\"}";
const ROLLED_BACK: &str = "berth_logins_total{outcome=\"rolled_back\"}";

#[test]
fn a_login_is_counted_once_by_what_became_of_it() {
    Machine::run(|machine| {
        machine.policy_text(POLICY);
        assert_counts(machine, &[(OK, 0.0), ("berth_setup_seconds_count", 0.0)]);
        machine.ssh("alice", "true").ok();
        machine.su("alice", "true").ok();
        machine.ssh("bob", "true").refused();
        machine.su("carol", "true").ok();
        let counts = [(OK, 2.0), (DENIED, 1.0), (EXEMPT, 1.0), (FAILED, 0.0)];
        assert_counts(machine, &counts);
        let text = metrics(machine);
        assert_eq!(figure(&text, "berth_setup_seconds_count"), 2.0);
        assert_eq!(
            figure(&text, "berth_setup_seconds_bucket{le=\"+Inf\"}"),
            2.0
        );
        let sum = figure(&text, "berth_setup_seconds_sum");
        assert!(sum > 0.0 && sum < 20.0, "{sum}");
        assert_eq!(figure(&text, "berth_policy_usable"), 1.0);
        machine.policy_text("version = 1\n[nonsense]\n");
        machine.ssh("alice", "true").refused();
        let policy = "berth_login_failures_total{cause=\"policy\"}";
        assert_counts(machine, &[(OK, 2.0), (FAILED, 1.0), (policy, 1.0)]);
        assert_eq!(figure(&metrics(machine), "berth_policy_usable"), 0.0);
        machine.stack(&Stack::default().on_error("allow"));
        machine.ssh("alice", "true").ok();
        assert_counts(machine, &[(OK, 2.0), (FAILED, 2.0), (policy, 2.0)]);
    });
}

#[test]
fn who_is_refused_is_counted_and_logged_although_the_application_has_ended_by_then() {
    Machine::run(|machine| {
        machine.policy_text(&POLICY.replace("logout", "max_sessions = 1\nlogout"));
        let (other, _) = machine.stay("alice");
        // It waits for the request, and begins when it is told to.
        let text = "#!/bin/sh\n\
            python3 -c 'import socket; socket.socket(fileno=3).recv(1, socket.MSG_PEEK)' && touch /berth/asked\n\
            until [ -e /berth/go ]; do sleep 0.05; done\n\
            exec /berth/berth-helper \"$@\"\n";
        machine.stack(&Stack {
            helper: machine.script("slow-helper", text),
            arguments: "timeout=30".into(),
            ..Stack::default()
        });
        for user in ["bob", "alice"] {
            let mut su = Command::new("su");
            let mut su = su.args([user, "-c", "true"]).spawn().unwrap();
            assert!(eventually(|| Path::new("/berth/asked").exists()));
            su.kill().unwrap();
            su.wait().unwrap();
            fs::write("/berth/go", "").unwrap();
            let is_it = |line: &String| {
                line.contains(&format!("user={user}")) && line.contains("result=deny")
            };
            let logged = || machine.log_lines().iter().any(is_it);
            assert!(eventually(logged), "{user}: {:#?}", machine.log_lines());
            for file in ["/berth/asked", "/berth/go"] {
                fs::remove_file(file).unwrap();
            }
        }
        assert_counts(machine, &[(OK, 1.0), (DENIED, 2.0)]);
        other.end();
    });
}

#[test]
fn a_login_that_is_rolled_back_is_counted_as_such() {
    Machine::run(|machine| {
        machine.policy_text(
            &POLICY.replace("mount = true }", "mount = true, private_tmp = \"disk\" }"),
        );
        fs::create_dir_all("/var/lib/berth").unwrap();
        fs::write("/var/lib/berth/tmp", "in the way").unwrap();
        machine.ssh("alice", "true").refused();
        assert_counts(machine, &[(OK, 0.0), (ROLLED_BACK, 1.0), (FAILED, 0.0)]);
        fs::remove_file("/var/lib/berth/tmp").unwrap();
    });
}

#[test]
fn no_state_of_the_counters_keeps_anybody_out() {
    Machine::run(|machine| {
        machine.policy_text(POLICY);
        let file = Path::new("/run/berth-counters");
        machine.ssh("alice", "true").ok();
        assert_counts(machine, &[(OK, 1.0)]);
        fs::write(file, [0xff; 9999]).unwrap();
        assert_eq!(machine.ssh("alice", "echo in").ok(), "in");
        assert_counts(machine, &[(OK, 1.0)]);
        // Neither a folder, nor a FIFO that nobody reads, nor somebody who holds it.
        fs::remove_file(file).unwrap();
        fs::create_dir(file).unwrap();
        assert_eq!(machine.ssh("alice", "echo in").ok(), "in");
        fs::remove_dir(file).unwrap();
        machine.host("mkfifo /run/berth-counters").ok();
        assert_eq!(machine.ssh("alice", "echo in").ok(), "in");
        fs::remove_file(file).unwrap();
        machine.ssh("alice", "true").ok();
        assert_counts(machine, &[(OK, 1.0)]);
    });
}

#[test]
fn fifty_logins_at_once_are_fifty() {
    Machine::run(|machine| {
        machine.policy_text(POLICY);
        let logins: Vec<_> = (0..50)
            .map(|_| machine.ssh_background("alice", "true"))
            .collect();
        for login in logins {
            login.wait().ok();
        }
        assert_counts(machine, &[(OK, 50.0), ("berth_setup_seconds_count", 50.0)]);
    });
}

/// Hands each connection to a `berth metrics --http`, as systemd does for Accept=yes.
fn serve(listener: TcpListener) {
    for connection in listener.incoming() {
        let input = OwnedFd::from(connection.unwrap());
        let output = input.try_clone().unwrap();
        let _ = Command::new(format!("{PROGRAMS}/berth"))
            .args(["metrics", "--http", "--allow", "no-such-user"])
            .stdin(input)
            .stdout(output)
            .status();
    }
}

/// The body that a server has for GET.
fn get(port: u16, target: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .ok()?;
    write!(
        stream,
        "GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    )
    .ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    head.contains(" 200 ").then(|| body.to_owned())
}

/// Prometheus, in a folder of its own, until it is dropped.
struct Prometheus {
    child: Child,
    folder: Folder,
    port: u16,
}

impl Prometheus {
    fn scraping(target: u16) -> Prometheus {
        let folder = Folder::new();
        // The source tree is not to be seen from a login machine.
        let rules = include_str!("../../packaging/prometheus/berth-alerts.yml");
        folder.write("rules.yml", rules);
        let config = folder.join("prometheus.yml");
        fs::write(
            &config,
            format!(
                "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\nrule_files: [rules.yml]\n\
                 scrape_configs: [{{ job_name: berth, static_configs: [{{ targets: ['127.0.0.1:{target}'] }}] }}]\n"
            ),
        )
        .unwrap();
        // Free now, and who else is here?
        let port = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = port.local_addr().unwrap().port();
        let child = Command::new("/usr/bin/prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                folder.join("data").display()
            ))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(folder.join("log")).unwrap())
            .spawn()
            .unwrap();
        Prometheus {
            child,
            folder,
            port,
        }
    }

    /// The answer to a question in PromQL, as the API writes it.
    fn ask(&self, query: &str) -> String {
        let escaped: String = query.bytes().map(|byte| format!("%{byte:02x}")).collect();
        get(self.port, &format!("/api/v1/query?query={escaped}")).unwrap_or_default()
    }

    /// Waits for an answer with one sample, whose value is this.
    #[track_caller]
    fn assert_is(&self, query: &str, value: &str) {
        let sample = format!(",\"{value}\"]}}]");
        let is = within(Duration::from_secs(30), || {
            self.ask(query).contains(&sample)
        });
        let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        assert!(
            is,
            "{query}: {}\n{}\n{log}",
            self.ask(query),
            self.ask("up")
        );
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
#[cfg_attr(
    no_prometheus,
    ignore = "no prometheus on this machine (apt-get install prometheus)"
)]
fn a_real_prometheus_scrapes_the_endpoint_and_answers_promql() {
    Machine::run(|machine| {
        machine.policy_text(POLICY);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || serve(listener));
        let prometheus = Prometheus::scraping(port);
        prometheus.assert_is("up", "1");
        prometheus.assert_is("sum(berth_sessions)", "0");
        let (alice, _) = machine.stay("alice");
        machine
            .su("alice", "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done")
            .ok();
        machine.ssh("bob", "true").refused();
        let uid = machine.uid("alice");
        for (query, value) in [
            ("berth_logins_total{outcome=\"ok\"}", "2"),
            ("berth_logins_total{outcome=\"denied\"}", "1"),
            ("sum(berth_login_failures_total)", "0"),
            ("berth_sessions{state=\"active\"}", "1"),
            ("berth_setup_seconds_count", "2"),
            (
                "histogram_quantile(1, berth_setup_seconds_bucket) <= bool 10",
                "1",
            ),
            (
                "time() - berth_logins_created{outcome=\"ok\"} < bool 1000",
                "1",
            ),
            (
                &format!("berth_user_sessions{{user=\"alice\",uid=\"{uid}\"}}"),
                "1",
            ),
            ("berth_user_cpu_seconds_total{user=\"alice\"} > bool 0", "1"),
            ("berth_everyone_cpu_seconds_total > bool 0", "1"),
            // Nobody has typed `berth reload`.
            (
                "ALERTS{alertname=\"BerthPolicyNotLoaded\",alertstate=\"pending\"}",
                "1",
            ),
        ] {
            prometheus.assert_is(query, value);
        }
        // By its Accept line it gets OpenMetrics, and knows the types by it.
        let metadata = get(
            prometheus.port,
            "/api/v1/targets/metadata?metric=berth_logins",
        );
        assert!(metadata.unwrap().contains("\"type\":\"counter\""));
        alice.end();
        prometheus.assert_is("sum(berth_sessions)", "0");
        prometheus.assert_is("absent(berth_user_sessions)", "1");
        assert!(Process(prometheus.child.id() as i32).exists());
    });
}

/// Runs promtool on something; what it says.
#[track_caller]
fn promtool(folder: &Path, arguments: &[&str], input: &str) -> String {
    let mut child = Command::new("promtool")
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8(said).unwrap();
    assert!(output.status.success(), "{arguments:?}: {said}");
    said
}

#[test]
#[cfg_attr(
    no_prometheus,
    ignore = "no prometheus on this machine (apt-get install prometheus)"
)]
fn promtool_finds_no_fault_with_the_text() {
    Machine::run(|machine| {
        machine.policy_text(POLICY);
        let (alice, _) = machine.stay("alice");
        let text = machine.berth("metrics --format prometheus").ok();
        assert!(
            text.contains("berth_user_cpu_seconds_total{user=\"alice\""),
            "{text}"
        );
        assert_eq!(
            promtool(Path::new("/"), &["check", "metrics"], &format!("{text}\n")),
            ""
        );
        alice.end();
    });
}

#[test]
#[cfg_attr(
    no_prometheus,
    ignore = "no prometheus on this machine (apt-get install prometheus)"
)]
fn promtool_finds_no_fault_with_the_alerts() {
    let tree = berth_tests::tree();
    let rules = "packaging/prometheus/berth-alerts.yml";
    promtool(&tree, &["check", "rules", rules], "");
    let tests = "tests/prometheus/berth-alerts-test.yml";
    promtool(&tree, &["test", "rules", tests], "");
}

/// The names of metrics in a text.
fn names(text: &str) -> Vec<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("berth_")).collect()
}

#[test]
fn alerts_and_dashboard_ask_for_what_there_is() {
    let tree = berth_tests::tree();
    let read = |path: &str| fs::read_to_string(tree.join(path)).unwrap();
    let families = read("cli/src/verb/metrics/families.rs");
    let mut of_each = Vec::new();
    for of in ["user", "pool", "everyone"] {
        let quoted = families.split('"').map(|name| format!("berth_{of}_{name}"));
        of_each.extend(quoted);
        of_each.push(format!("berth_{of}_pressure_waiting_seconds"));
    }
    let known = |name: &str| {
        let name = name.strip_suffix("_bucket").unwrap_or(name);
        let name = name.strip_suffix("_total").unwrap_or(name);
        families.contains(&format!("\"{name}\"")) || of_each.iter().any(|one| one == name)
    };
    for path in [
        "packaging/prometheus/berth-alerts.yml",
        "packaging/grafana/berth.json",
    ] {
        let text = read(path);
        let names = names(&text);
        assert!(names.len() > 7, "{path}");
        for name in names {
            assert!(known(name), "{path}: {name}");
        }
    }
}
