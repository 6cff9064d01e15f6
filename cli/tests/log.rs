//! log, on files as syslog daemons write them.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

mod ran;

use ran::{Folder, Ran};

const LOG: &str = r#"2026-11-24T07:58:40.100000+00:00 lab1 sshd[1]: Accepted publickey for alice from 10.1.4.22
2026-11-24T07:58:40.200000+00:00 lab1 berth[4821]: open session=12 user=alice uid=1001 service=sshd tty=ssh rhost=10.1.4.22 profile=student rule=cs101 user_rule=cs101 pool=cs101 ns=user,pid,ipc,mount result=ok setup_us=812
2026-11-24T08:01:00+00:00 lab1 berth[4907]: open session=- user="m\x0allory" uid=1099 service=sshd tty=ssh rhost=192.0.2.7 rule=suspended result=deny
2026-11-24T08:02:00+00:00 lab1 berth[4908]: open session=- user=bob service=su tty=pts/3 rhost=- result=error error="cannot start the init: no memory"
2026-11-24T08:03:00+00:00 lab1 su[4909]: pam_berth(su:session): cannot start /usr/libexec/berth-helper: No such file
2026-11-24T09:41:07+00:00 lab1 berth[4821]: cap session=12 user=alice uid=1001 service=sshd cap=memory_max killed=python3
2026-11-24T17:20:02+00:00 lab1 berth[4821]: close session=12 user=alice uid=1001 service=sshd result=ok duration_s=33682 cpu_s=15138.2 memory_peak=3221225472 tasks_peak=198 io_read=12991234048 io_write=922746880 oom_kills=2 tasks_refused=0 throttled_s=38.4
"#;

const SHOWN: &str = r"2026-11-24 07:58:40  alice       login     session 12, sshd from 10.1.4.22: profile student, pool cs101, rule cs101, own user pid ipc mount
2026-11-24 08:01:00  m\x0allory  refused   sshd from 192.0.2.7: rule suspended
2026-11-24 08:02:00  bob         failed    su on pts/3: cannot start the init: no memory
2026-11-24 08:03:00  -           module    su: cannot start /usr/libexec/berth-helper: No such file
2026-11-24 09:41:07  alice       cap       session 12, sshd: memory_max reached, killed python3
2026-11-24 17:20:02  alice       logout    session 12, sshd: 9h 21min, CPU 4h 12min, memory 3.0G, 198 tasks, 12.1G read, 880M written, 2 OOM kills, 38s throttled
";

/// A log in a folder of its own.
struct Log {
    folder: Folder,
}

impl Log {
    fn new(text: &str) -> Log {
        let folder = Folder::new();
        folder.write("auth.log", text);
        Log { folder }
    }

    fn file(&self) -> PathBuf {
        self.folder.join("auth.log")
    }

    /// On a machine in UTC, as one is whose zone is empty.
    fn command(&self, arguments: &[&str]) -> Command {
        let script = "mount --bind /dev/null /etc/localtime 2>/dev/null; exec \"$@\"";
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", script, "sh"]);
        command.args([env!("CARGO_BIN_EXE_berth"), "log", "--file"]);
        command.arg(self.file()).args(arguments);
        command
    }

    fn log(&self, arguments: &[&str]) -> Ran {
        Ran::of(&mut self.command(arguments))
    }

    #[track_caller]
    fn ok(&self, arguments: &[&str]) -> String {
        self.log(arguments).ok()
    }
}

#[test]
fn a_log_that_is_being_set_aside_is_shown_once_and_nobody_waits_for_a_pipe_in_its_place() {
    let log = Log::new(LOG);
    let before = log.folder.join("auth.log.1");
    // As it is between the two steps of setting it aside.
    fs::hard_link(log.file(), &before).unwrap();
    assert_eq!(log.ok(&[]), SHOWN);
    fs::remove_file(&before).unwrap();
    // Whoever opens it waits here.
    nix::unistd::mkfifo(&before, nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert_eq!(log.ok(&[]), SHOWN);
}

/// `berth log --follow`, ended with this.
struct Follower {
    program: Child,
    lines: std::sync::mpsc::Receiver<String>,
}

impl Follower {
    fn start(log: &Log, arguments: &[&str]) -> Follower {
        let mut command = log.command(arguments);
        let mut program = command.stdout(Stdio::piped()).spawn().unwrap();
        let output = BufReader::new(program.stdout.take().unwrap());
        let (sender, lines) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in output.lines() {
                if sender.send(line.unwrap()).is_err() {
                    break;
                }
            }
        });
        Follower { program, lines }
    }

    #[track_caller]
    fn line(&self) -> String {
        self.lines.recv_timeout(Duration::from_secs(20)).unwrap()
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = self.program.kill();
        self.program.wait().unwrap();
    }
}

fn append(log: &Log, text: &str) {
    let mut file = File::options().append(true).open(log.file()).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

#[test]
fn one_is_told_as_one() {
    let line = "2026-11-24T17:20:02+00:00 lab1 berth[4821]: close session=12 user=alice service=sshd result=ok \
                duration_s=3 tasks_peak=1 oom_kills=1 tasks_refused=1\n";
    let said = Log::new(line).log(&[]).out;
    assert!(
        said.ends_with("3s, 1 task, 1 OOM kill, 1 task refused\n"),
        "{said}"
    );
}

#[test]
fn what_happened_is_one_readable_stream() {
    let log = Log::new(LOG);
    assert_eq!(log.ok(&[]), SHOWN);
}

#[test]
fn what_admins_did_is_told_in_sentences() {
    let said = [
        (
            "set uid=1001 user=alice key=memory_max value=8G until=12:40 by=root reason=\"thesis, ticket 4711\"",
            "alice       set       root gave alice memory_max 8G until 12:40: thesis, ticket 4711",
        ),
        (
            "set uid=1001 key=cpu_quota value=800% until=12:40 by=root reason=-",
            "-           set       root gave UID 1001 cpu_quota 800% until 12:40",
        ),
        (
            "unset uid=1001 user=alice key=memory_max value=8G until=12:40 by=dora reason=-",
            "alice       unset     dora ended alice's memory_max 8G",
        ),
        (
            "unset uid=1001 user=alice key=memory_max value=8G until=12:40 by=expired reason=-",
            "alice       unset     alice's memory_max 8G is over",
        ),
        (
            "apply user=alice uid=1001 by=root changed=\"memory.max 2147483648 -> 3221225472; cpu.max max 100000 -> 400000 100000; pids.max 99 -> max\"",
            "alice       apply     root changed alice's memory_max 2G -> 3G, cpu_quota infinity -> 400%, tasks_max 99 -> infinity",
        ),
        (
            "apply pool=cs101 by=time changed=\"io.weight default 100 -> default 200\"",
            "-           apply     time changed pool cs101's io_weight 100 -> 200",
        ),
        (
            "apply everyone=yes by=login changed=\"memory.high max -> 1073741824\" left=\"2G are in use\"",
            "-           apply     a login changed everyone's memory_high infinity -> 1G; left: 2G are in use",
        ),
        (
            "apply user=alice uid=1001 by=expired changed=- left=\"2G are in use\"",
            "alice       apply     the end of an exception left alice's caps: 2G are in use",
        ),
        (
            "freeze user=alice result=ok by=root",
            "alice       freeze    root froze alice",
        ),
        (
            "freeze pool=cs101 result=error by=root",
            "-           freeze    root froze pool cs101, and not all of it is",
        ),
        (
            "thaw session=12 result=ok by=root",
            "-           thaw      root thawed session 12",
        ),
        (
            "enter session=12 user=alice by=root",
            "alice       enter     root entered session 12 of alice",
        ),
        (
            "kill profile=student signal=SIGHUP by=root",
            "-           kill      root sent SIGHUP to profile student",
        ),
        (
            "kill stale=true signal=SIGTERM by=root",
            "-           kill      root sent SIGTERM to everybody, as far as it is stale",
        ),
        (
            "reload rules=1 profiles=3 by=root",
            "-           reload    root put a policy of 1 rule and 3 profiles in force",
        ),
        // Of what is not as Berth writes it, what there is.
        (
            "set key=memory_max by=root",
            "-           set       key memory_max, by root",
        ),
    ];
    let line = |text: &str| format!("2026-11-24T10:12:04+00:00 lab1 berth[1]: {text}\n");
    let log = Log::new(&said.map(|(text, _)| line(text)).concat());
    let shown = log.ok(&[]);
    let shown: Vec<&str> = shown.lines().collect();
    assert_eq!(shown.len(), said.len());
    for ((_, said), shown) in said.iter().zip(shown) {
        assert_eq!(shown, format!("2026-11-24 10:12:04  {said}"));
    }
}

#[test]
fn it_can_be_of_one_user_or_only_the_end() {
    let log = Log::new(LOG);
    let lines: Vec<&str> = SHOWN.lines().collect();
    let of_alice = [lines[0], lines[4], lines[5]].map(|line| format!("{line}\n"));
    assert_eq!(log.ok(&["alice"]), of_alice.concat());
    assert_eq!(log.ok(&["-n", "1"]), format!("{}\n", lines[5]));
    assert_eq!(
        log.ok(&["--since", "2026-11-24T09:41:07"]),
        of_alice[1..].concat()
    );
    assert_eq!(log.ok(&["nobody"]), "");
}

#[test]
fn what_was_set_aside_last_comes_first() {
    let (before, after) = LOG.split_at(LOG.find("2026-11-24T08:01").unwrap());
    let log = Log::new(after);
    fs::write(log.folder.join("auth.log.1"), before).unwrap();
    assert_eq!(log.ok(&[]), SHOWN);
}

#[test]
fn json_has_each_field() {
    let log = Log::new(LOG);
    let object = log.log(&["--json"]).json();
    assert_eq!(object["version"], 1);
    let events = object["events"].as_array().unwrap();
    assert_eq!(events.len(), 6);
    assert_eq!(events[4]["event"], "cap");
    assert_eq!(events[4]["time"], "2026-11-24T09:41:07+00:00");
    assert_eq!(events[4]["fields"]["killed"], "python3");
    assert_eq!(events[1]["fields"]["session"], "-");
}

#[test]
fn it_goes_on_with_what_happens_and_with_the_next_file() {
    let log = Log::new(LOG);
    append(&log, "2026-11-25T00:00:00+00:00 lab1 berth[1]: cap sess");
    let follower = Follower::start(&log, &["--follow", "-n", "1", "--json"]);
    assert!(follower.line().contains("\"close\""));
    // The line that was half written is whole now.
    append(&log, "ion=3 cap=tasks_max\n");
    assert!(follower.line().contains("\"tasks_max\""));
    fs::rename(log.file(), log.folder.join("auth.log.1")).unwrap();
    fs::write(
        log.file(),
        "2026-11-25T00:00:01+00:00 lab1 berth[1]: close session=3 result=ok\n",
    )
    .unwrap();
    assert!(follower.line().contains("\"ok\""));
}

#[test]
fn a_log_that_is_not_there_is_named() {
    let log = Log::new(LOG);
    fs::remove_file(log.file()).unwrap();
    let said = log.log(&[]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(
        said.err.contains("cannot read") && said.err.contains("auth.log"),
        "{said:?}"
    );
}

#[test]
fn steps_of_a_penalty_are_told_in_words() {
    let log = Log::new(
        "2026-11-24T12:10:05+00:00 lab1 berth[5]: penalty user=alice uid=1001 penalty=hog step=2 steps=3 \
         cpu_quota=50% until=12:40 because=\"cpu 350% over 10min, above 160%\"\n\
         2026-11-24T12:40:05+00:00 lab1 berth[6]: penalty user=alice uid=1001 penalty=hog step=0 steps=3 \
         cpu_quota=100% until=- because=\"its time is over\"\n",
    );
    assert_eq!(
        log.ok(&["alice"]),
        "2026-11-24 12:10:05  alice       penalty   hog, step 2 of 3: 50% of cpu_quota until 12:40, \
         cpu 350% over 10min, above 160%\n\
         2026-11-24 12:40:05  alice       penalty   hog ends, its time is over\n"
    );
}

#[test]
fn what_a_login_did_not_get_is_told() {
    let log = Log::new(
        "2026-11-24T12:10:05+00:00 lab1 berth[5]: open session=3 user=alice uid=1001 service=sshd tty=ssh \
         rhost=- profile=student rule=all user_rule=all ns=pid,mount not_enforced=\"io_max: no controller\" \
         result=ok setup_us=812\n",
    );
    assert_eq!(
        log.ok(&[]),
        "2026-11-24 12:10:05  alice       login     session 3, sshd on ssh: profile student, rule all, \
         own pid mount, not enforced: io_max: no controller\n"
    );
}

#[test]
fn of_a_journal_no_more_is_read_than_is_shown() {
    let log = Log::new("");
    // A journal with more before these two than anybody wants to read.
    let script = r#"#!/bin/sh
case " $* " in *" --reverse "*) ;; *) exit 3 ;; esac
entry() {
    echo "{\"__CURSOR\":\"$1\",\"__REALTIME_TIMESTAMP\":\"$1000000\",\"SYSLOG_IDENTIFIER\":\"berth\",\"MESSAGE\":\"$2\"}"
}
entry 1764000003 "close session=3 user=alice"
entry 1764000002 "close session=2 user=bob"
entry 1764000001 "close session=1 user=alice"
i=0
while [ $i -lt 10000 ]; do entry 1764000000 "close session=0 user=alice"; i=$((i + 1)); done
exit 3
"#;
    fs::write(log.folder.join("journalctl"), script).unwrap();
    let script = "chmod +x \"$1/journalctl\"; PATH=$1:$PATH
        mount -t tmpfs none /run; mkdir -p /run/systemd/journal; : > /run/systemd/journal/socket
        exec \"$2\" log alice -n 2 --json";
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", script, "sh"]);
    command.arg(&log.folder).arg(env!("CARGO_BIN_EXE_berth"));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let object: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let events = object["events"].as_array().unwrap();
    let sessions: Vec<_> = events.iter().map(|one| &one["fields"]["session"]).collect();
    assert_eq!(sessions, ["1", "3"]);
}

#[test]
fn events_that_cannot_be_written_are_an_error_and_a_reader_who_has_gone_is_none() {
    let log = Log::new(LOG);
    let mut full = log.command(&["--follow"]);
    full.stdout(File::create("/dev/full").unwrap());
    let output = full.stderr(Stdio::piped()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let told = "berth: cannot print all of it: No space left on device (os error 28)\n";
    assert_eq!((output.status.code(), &*said), (Some(1), told));
    let mut gone = log.command(&["--follow"]);
    let (reader, writer) = nix::unistd::pipe().unwrap();
    drop(reader);
    let output = gone.stdout(writer).output().unwrap();
    assert_eq!(
        (output.status.code(), &output.stderr[..]),
        (Some(0), &b""[..])
    );
}
