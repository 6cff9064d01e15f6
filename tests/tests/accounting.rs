//! What the accounting file says of real logins, and what happens where it cannot be written.

use std::fs::{self, File};
use std::os::unix::fs::chown;
use std::path::Path;

use berth_tests::namespaces::PROGRAMS;
use berth_tests::{Machine, Policy, Process, eventually};
use nix::fcntl::{Flock, FlockArg};
use serde_json::Value;

const FILE: &str = "/var/log/berth/sessions.jsonl";

/// The default policy, with an accounting file and more lines about it.
fn accounted(machine: &Machine, lines: &str) {
    fs::create_dir_all("/var/log").unwrap();
    let rest = format!("[accounting]\nfile = \"{FILE}\"\n{lines}\n");
    machine.policy(&Policy::with_rest(&rest));
}

/// The same, with a berth that all logins of a user share.
fn shared(machine: &Machine) {
    fs::create_dir_all("/var/log").unwrap();
    machine.policy(&Policy {
        rest: format!("[accounting]\nfile = \"{FILE}\"\n"),
        ..Policy::with_namespaces("scope = \"user\", user = \"identity\", pid = true")
    });
}

/// The lines of the file and of those that were set aside.
fn records() -> Vec<String> {
    let Ok(entries) = fs::read_dir(Path::new(FILE).parent().unwrap()) else {
        return Vec::new();
    };
    let paths = entries.map(|entry| entry.unwrap().path());
    let texts = paths.map(|path| fs::read_to_string(path).unwrap_or_default());
    texts
        .flat_map(|text| text.lines().map(String::from).collect::<Vec<_>>())
        .collect()
}

#[track_caller]
fn wait_for_records(count: usize) -> Vec<String> {
    assert!(eventually(|| records().len() >= count), "{:#?}", records());
    records()
}

/// What a line of JSON has for a key: a text, or something else as it stands there.
#[track_caller]
fn value(record: &str, key: &str) -> String {
    let record: Value = serde_json::from_str(record).expect(record);
    match record.get(key).expect(key) {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// What a line of the log has for a key.
fn logged<'l>(line: &'l str, key: &str) -> Option<&'l str> {
    let words = line.split_whitespace();
    words
        .filter_map(|word| word.split_once('='))
        .find_map(|(name, value)| (name == key).then_some(value))
}

#[test]
fn a_login_is_on_record_with_what_it_used() {
    Machine::run(|machine| {
        let report = format!("{PROGRAMS}/berth report --csv");
        let none = machine.host(&report).refused();
        assert!(none.stderr.contains("names no accounting file"), "{none:?}");
        accounted(machine, "");
        assert_eq!(machine.host(&report).ok().lines().count(), 1, "nothing yet");
        // Who is exempt or refused has no session.
        let rest = format!("[accounting]\nfile = \"{FILE}\"\n[exempt]\nusers = [\"carol\"]\n");
        machine.policy(&Policy {
            rules: "[[rule]]\nservice = \"su\"\naction = \"deny\"\n".into(),
            ..Policy::with_rest(&rest)
        });
        machine.su("alice", "true").refused();
        for user in ["root", "carol"] {
            machine.su(user, "true").ok();
        }
        // Says itself how much CPU it and its child used.
        let work = "sh -c 'i=0; while [ $i -lt 900000 ]; do i=$((i+1)); done'; \
                    dd if=/dev/zero of=/dev/null bs=1M count=5000 2>/dev/null; echo $BERTH_SESSION; times";
        let said = machine.ssh("alice", work).ok();
        let mut said = said.lines();
        let session = said.next().unwrap();
        let seconds = |text: &str| -> f64 {
            let (minutes, seconds) = text.trim_end_matches('s').split_once('m').unwrap();
            minutes.parse::<f64>().unwrap() * 60.0 + seconds.parse::<f64>().unwrap()
        };
        // A line for the shell and one for its children: in programs, in the kernel.
        let times: Vec<f64> = said.flat_map(|line| line.split(' ').map(seconds)).collect();
        let (in_programs, in_kernel) = (times[0] + times[2], times[1] + times[3]);
        assert!(in_programs > 0.0 && in_kernel > 0.0, "{times:?}");

        let records = wait_for_records(1);
        assert_eq!(records.len(), 1, "{records:#?}");
        let record = &records[0];
        let uid = machine.uid("alice").to_string();
        for (key, expected) in [
            ("session", session),
            ("user", "alice"),
            ("uid", &uid),
            ("service", "sshd"),
            ("tty", "ssh"),
            ("rhost", "127.0.0.1"),
            ("profile", "test"),
            ("pool", "null"),
        ] {
            assert_eq!(value(record, key), expected, "{record}");
        }
        assert!(value(record, "start") <= value(record, "end"), "{record}");

        // The same as in the log, to the figure; what one does not know, nor does the other.
        let close = machine.logged("close session=");
        for (key, in_log) in [
            ("seconds", "duration_s"),
            ("memory_peak", "memory_peak"),
            ("tasks_peak", "tasks_peak"),
            ("io_read", "io_read"),
            ("io_write", "io_write"),
            ("oom_kills", "oom_kills"),
            ("tasks_refused", "tasks_refused"),
        ] {
            let expected = logged(&close, in_log).unwrap_or("null");
            assert_eq!(value(record, key), expected, "{key}: {record} {close}");
        }
        let cpu = |key| value(record, key).parse::<f64>().unwrap() / 1e6;
        let (user, system) = (cpu("cpu_user_us"), cpu("cpu_system_us"));
        let in_log: f64 = logged(&close, "cpu_s").unwrap().parse().unwrap();
        assert!((user + system - in_log).abs() < 0.06, "{record} {close}");
        // Both are shared out by ticks of the clock, the one by process and the other by cgroup, where sshd is too.
        assert!(user > in_programs / 2.0, "{times:?} {record}");
        assert!(system > in_kernel / 2.0, "{times:?} {record}");

        let said = machine.host(&report).ok();
        let line = said.lines().nth(1).unwrap();
        let seconds = value(record, "seconds");
        assert!(
            line.starts_with(&format!("alice,1,{seconds},{user},{system},")),
            "{said}"
        );
        // Nobody else's business.
        let said = machine.ssh("bob", &format!("{PROGRAMS}/berth report"));
        assert_eq!(
            (said.status.code(), said.stdout.as_str()),
            (Some(4), ""),
            "{said:?}"
        );
    });
}

/// A trial changes nothing but the account.
#[test]
fn a_session_whose_profile_does_not_enforce_is_on_record() {
    Machine::run(|machine| {
        fs::create_dir_all("/var/log").unwrap();
        machine.policy(&Policy {
            rest: format!("[accounting]\nfile = \"{FILE}\"\n"),
            ..Policy::with_profile("enforce = false\nuser = { tasks_max = 50 }")
        });
        let id = machine.next_session().to_string();
        let look = "readlink /proc/self/ns/mnt";
        assert_eq!(machine.ssh("alice", look).ok(), machine.host(look).ok());
        let records = wait_for_records(1);
        assert_eq!(records.len(), 1, "{records:#?}");
        for (key, expected) in [("session", &*id), ("user", "alice"), ("profile", "test")] {
            assert_eq!(value(&records[0], key), expected, "{records:#?}");
        }
        // By its own cgroup: this is known without controllers, too.
        let cpu = |key| value(&records[0], key).parse::<u64>().unwrap_or_default();
        assert!(
            cpu("cpu_user_us") + cpu("cpu_system_us") > 0,
            "{records:#?}"
        );
    });
}

#[test]
fn logins_that_end_at_once_are_each_on_record_once() {
    Machine::run(|machine| {
        accounted(machine, "max_size = \"4K\"");
        let count = 30;
        // They end when this does.
        fs::create_dir("/run/test").unwrap();
        let logins: Vec<_> = (0..count)
            .map(|nth| {
                let user = ["alice", "bob"][nth % 2];
                machine.ssh_background(user, "while [ -d /run/test ]; do sleep 0.05; done")
            })
            .collect();
        let on = || {
            let said = machine.berth("list --json").stdout;
            said.matches("\"active\"").count() == count
        };
        assert!(eventually(on), "{:?}", machine.berth("list"));
        fs::remove_dir("/run/test").unwrap();
        for login in logins {
            login.end();
        }
        let mut sessions: Vec<u64> = wait_for_records(count)
            .iter()
            .map(|record| value(record, "session").parse().unwrap())
            .collect();
        sessions.sort_unstable();
        sessions.dedup();
        assert_eq!(sessions.len(), count);
        let files = fs::read_dir("/var/log/berth").unwrap().count();
        assert!(files > 2 + 1, "nothing was set aside: {files} files");
        let said = machine.berth("report --by service --csv").ok();
        assert!(said.contains(&format!("\nsshd,{count},")), "{said}");
        assert!(
            !machine
                .log_lines()
                .iter()
                .any(|line| line.contains("accounting"))
        );
    });
}

#[test]
fn who_made_a_shared_berth_is_on_record_before_the_others_in_it_end() {
    Machine::run(|machine| {
        shared(machine);
        let before = machine.settled();
        let count = records().len();
        let id = machine.next_session().to_string();
        let mut first = machine.ssh_terminal("alice");
        first.run("true");
        let (second, process) = machine.stay("alice");
        first.send("exit");
        first.wait();
        let now = wait_for_records(count + 1);
        assert!(
            now.iter().any(|line| value(line, "session") == id),
            "{now:#?}"
        );
        machine.logged(&format!("close session={id} "));
        assert_eq!(process.name(), "sleep");
        second.end();
        machine.assert_nothing_left(&before);
        assert_eq!(records().len(), count + 2);
    });
}

#[test]
fn who_made_a_shared_berth_does_not_wait_for_the_record_of_who_joined_it() {
    Machine::run(|machine| {
        shared(machine);
        let before = machine.settled();
        let count = records().len();
        let mut first = machine.ssh_terminal("alice");
        first.run("true");
        let of_first = Process::keepers();
        let (second, _) = machine.stay("alice");
        let mut of_second = Process::keepers();
        of_second.retain(|one| !of_first.contains(one));
        first.send("exit");
        first.wait();
        wait_for_records(count + 1);
        // As long as this is held, and for ten seconds at most, the second one's keeper waits.
        let lock = File::open(format!("{FILE}.lock")).unwrap();
        let lock = Flock::lock(lock, FlockArg::LockExclusive).unwrap();
        second.end();
        assert!(eventually(|| Process::named("berth-init").is_empty()));
        assert!(of_second[0].exists(), "it was waited for");
        assert_eq!(records().len(), count + 1);
        drop(lock);
        wait_for_records(count + 2);
        machine.assert_nothing_left(&before);
    });
}

#[test]
fn a_full_disk_costs_a_record_and_no_session() {
    Machine::run(|machine| {
        fs::create_dir_all("/var/log/berth").unwrap();
        let small = "mount -t tmpfs -o size=64k,mode=755 small /var/log/berth";
        machine.host(small).ok();
        let fill = "cat /dev/zero > /var/log/berth/ballast 2>/dev/null; true";
        machine.host(fill).ok();
        let before = machine.settled();
        accounted(machine, "");
        assert_eq!(machine.ssh("alice", "echo in").ok(), "in");
        let line = machine.logged("accounting session=");
        assert!(
            line.contains("user=alice") && line.contains("No space left"),
            "{line}"
        );
        machine.logged("close session=");
        machine.assert_nothing_left(&before);

        fs::remove_file("/var/log/berth/ballast").unwrap();
        machine.ssh("bob", "true").ok();
        let records = wait_for_records(1);
        assert_eq!(records.len(), 1, "{records:#?}");
        assert_eq!(value(&records[0], "user"), "bob");
    });
}

#[test]
fn a_folder_that_others_can_write_to_gets_no_record() {
    Machine::run(|machine| {
        accounted(machine, "");
        let before = machine.settled();
        wait_for_records(2);
        let uid = machine.uid("alice");
        chown("/var/log/berth", Some(uid), None).unwrap();
        fs::remove_file(FILE).unwrap();
        machine.ssh("alice", "true").ok();
        let line = machine.logged("accounting session=");
        assert!(line.contains("the directory's owner is not root"), "{line}");
        assert!(!Path::new(FILE).exists());
        machine.assert_nothing_left(&before);
        let said = machine.berth("check");
        assert!(
            said.stdout.contains("warning: nothing can be written here"),
            "{said:?}"
        );
    });
}
