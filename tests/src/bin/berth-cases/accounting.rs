//! What a session used of memory, disks, tasks and CPU is on record, as far as it can be told from outside.

use std::fs;

use berth_tests::{Booted, Machine, Policy, eventually};

use serde_json::Value;

use super::{BootedCase, Case};

pub const CASES: &[Case] = cases! {
    a_record_has_what_its_session_used
    what_a_users_tasks_max_refuses_is_told_where_it_is_counted
    the_lines_of_a_login_have_their_keys_in_the_order_of_the_document
};

pub const CASES_UNDER_SYSTEMD: &[BootedCase] = cases! {
    a_record_has_what_its_session_used_under_systemd
};

const FILE: &str = "/var/log/berth/sessions.jsonl";

/// Two megabytes to a file on a disk, 30 MB of memory, one process too many of 100 MB, and two seconds of a loop.
fn work(file: &str, probe: &str) -> String {
    format!(
        "dd if=/dev/zero of={file} bs=64k count=32 oflag=direct 2>/dev/null; rm {file}; \
         {probe} eat 30; {probe} eat 100; {probe} burn 2; true"
    )
}

fn policy() -> Policy {
    Policy {
        rest: format!("[accounting]\nfile = \"{FILE}\"\n"),
        ..Policy::with_profile(
            "session = { memory_max = \"64M\", memory_swap_max = 0, cpu_quota = \"50%\", tasks_max = 40 }\n\
             logout = { grace = \"1s\" }",
        )
    }
}

/// The one record of a user's.
#[track_caller]
fn record(user: &str) -> Value {
    let find = || {
        let text = fs::read_to_string(FILE).ok()?;
        let mut records = text
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        // That of a user's service manager is another.
        records.find(|one| one["user"] == user && one["service"] == "sshd")
    };
    assert!(eventually(|| find().is_some()), "no record");
    find().unwrap()
}

#[track_caller]
fn assert_used(record: &Value) {
    let figure = |key: &str| {
        let figure = record[key].as_u64();
        figure.unwrap_or_else(|| panic!("{key}: {record}"))
    };
    assert!(
        (30 << 20..=64 << 20).contains(&figure("memory_peak")),
        "{record}"
    );
    assert!(figure("oom_kills") >= 1, "{record}");
    assert!(figure("io_write") >= 2 << 20, "{record}");
    assert!(figure("io_write") < 64 << 20, "{record}");
    let cpu = figure("cpu_user_us") + figure("cpu_system_us");
    assert!(cpu > 200_000, "{record}");
    assert!(figure("throttled_us") > 200_000, "{record}");
    assert!(figure("seconds") >= 2, "{record}");
    assert!(figure("tasks_refused") == 0, "{record}");
}

fn a_record_has_what_its_session_used(machine: &mut Machine) {
    fs::create_dir_all("/var/log").unwrap();
    machine.policy(&policy());
    let work = work("/disk/alice", &machine.probe(""));
    machine.ssh("alice", &work);
    assert_used(&record("alice"));
}

/// In the session before Linux 6.11, in the user's cgroup since then; and where it is not counted, there is no 0.
fn what_a_users_tasks_max_refuses_is_told_where_it_is_counted(machine: &mut Machine) {
    fs::create_dir_all("/var/log").unwrap();
    fs::remove_file(FILE).ok();
    machine.policy(&Policy {
        rest: format!("[accounting]\nfile = \"{FILE}\"\n"),
        ..Policy::with_user_caps("tasks_max = 16")
    });
    let (login, _) = machine.stay("alice");
    let said = machine.ssh(
        "alice",
        "(for i in $(seq 20); do sleep 1 & done; wait) 2>&1",
    );
    assert!(said.stdout.contains("fork"), "{said:?}");
    let record = record("alice");
    let users = machine.berth("list --users --json").json();
    let metrics = machine.berth("metrics").ok();
    let today = machine.berth("top --json --delay 0.1").json();
    let user = machine.cgroups().user(machine.uid("alice"));
    let counts_at_cap = user.join("pids.events.local").exists();
    login.end();
    let of_session = &record["tasks_refused"];
    let of_user = &users["users"][0]["tasks"]["refused"];
    let is_metric = metrics.contains("\nberth_user_tasks_refused_total{");
    let (counted, not) = match counts_at_cap {
        true => (of_user, of_session),
        false => (of_session, of_user),
    };
    let all = format!("{record} {users} {metrics}");
    assert!(counted.as_u64().is_some_and(|count| count > 0), "{all}");
    assert!(not.is_null(), "{all}");
    assert_eq!(is_metric, counts_at_cap, "{all}");
    assert_eq!(
        &today["everyone"]["today"]["tasks_refused"], counted,
        "{today}"
    );
}

/// The keys that the document lists for this event.
fn documented(event: &str) -> Vec<&'static str> {
    let document = include_str!("../../../../docs/running.md");
    let (_, keys) = document.split_once(&format!("`{event}: session ")).unwrap();
    let (keys, _) = keys.split_once('`').unwrap();
    ["session"]
        .into_iter()
        .chain(keys.split_whitespace())
        .collect()
}

/// The keys of a line of the log, in their order. A value with a blank is quoted.
fn keys(line: &str) -> Vec<&str> {
    let outside_quotes = line.split('"').step_by(2);
    let words = outside_quotes.flat_map(str::split_whitespace);
    words
        .filter_map(|word| Some(word.split_once('=')?.0))
        .collect()
}

/// Programs read these lines, and look for the key beside the one that they know.
fn the_lines_of_a_login_have_their_keys_in_the_order_of_the_document(machine: &mut Machine) {
    // Whoever logs in after a change of the namespaces gets a second berth, beside their first.
    let policy = |namespace: &str| {
        format!(
            "version = 1\n[defaults]\nmissing_controller = \"warn\"\n[pool.cs101]\nmemory_max = \"500M\"\n\
             [[rule]]\nname = \"not bob\"\nuser = \"bob\"\naction = \"deny\"\n\
             [[rule]]\nname = \"all\"\nprofile = \"test\"\npool = \"cs101\"\n\
             [profile.test]\nuser = {{ allowed_cpus = \"0\", tasks_max = 200 }}\n\
             session = {{ memory_max = \"64M\", cpu_quota = \"50%\", tasks_max = 40 }}\n\
             namespaces = {{ scope = \"user\", user = \"identity\", pid = true, {namespace} = true }}\n"
        )
    };
    machine.policy_text(&policy("ipc"));
    let first = format!("open session={} ", machine.next_session());
    let (login, _) = machine.stay("alice");
    let mut open = documented("open");
    machine.policy_text(&policy("uts"));
    let of_second = format!("open session={} ", machine.next_session());
    let work = work("/disk/alice", &machine.probe(""));
    machine.ssh("alice", &work);
    assert_eq!(keys(&machine.logged(&of_second)), open);
    let close = machine.logged(&of_second.replace("open", "close"));
    assert_eq!(keys(&close), documented("close"));
    // What a line has nothing for is left out, and the rest stands as before.
    open.retain(|key| *key != "beside");
    assert_eq!(keys(&machine.logged(&first)), open);
    machine.su("bob", "true").refused();
    open.retain(|key| {
        [
            "session", "user", "uid", "service", "tty", "rhost", "rule", "result",
        ]
        .contains(key)
    });
    assert_eq!(keys(&machine.logged("rule=\"not bob\"")), open);
    login.end();
}

fn a_record_has_what_its_session_used_under_systemd(machine: &Booted) {
    machine.berth("sshd", &policy());
    let before = machine.settled();
    fs::remove_file(FILE).ok();
    machine.ssh("alice", &work("$HOME/file", "berth-probe"));
    assert_used(&record("alice"));
    machine.assert_nothing_left(&before);
    // The real journald has the line and its fields.
    let close = "journalctl -q -o cat --since=-5min SYSLOG_IDENTIFIER=berth BERTH_USER=alice BERTH_EVENT=close";
    let said = machine.host(close).ok();
    assert!(
        said.contains("close session=") && said.contains(" user=alice "),
        "{said}"
    );
    // As an admin reads it; and nobody else can put words into it.
    machine.ssh(
        "alice",
        "logger -t berth -p authpriv.warning cap user=alice cap=forged",
    );
    let forged = "journalctl -q -o cat SYSLOG_IDENTIFIER=berth";
    assert!(eventually(|| machine.host(forged).ok().contains("forged")));
    let log = machine.host("berth log alice --since 5min").ok();
    assert!(log.contains(" login ") && log.contains(" logout "), "{log}");
    assert!(
        log.contains("1 OOM kill") && !log.contains("forged"),
        "{log}"
    );
    let report = machine
        .host("berth report --csv --file /var/log/berth/sessions.jsonl")
        .ok();
    assert!(report.contains("\nalice,"), "{report}");
}
