//! The accounting file: whatever happens to whoever writes it, no record is lost or counted twice.

use std::fs;
use std::ops::ControlFlow;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use berth_session::{Entry, Ledger};

#[path = "../../tests/src/own_folder.rs"]
mod own_folder;

use own_folder::Folder;

/// What this program does when it is started again by a test: it appends sessions, and says which are written.
const APPEND: &str = "BERTH_TEST_APPEND";

const DAY: Duration = Duration::from_secs(86_400);

/// A ledger in a folder of its own.
struct Written {
    folder: Folder,
    ledger: Ledger,
}

impl Written {
    fn new(max_size: u64) -> Written {
        let folder = Folder::new();
        let ledger = Ledger {
            file: folder.join("sessions.jsonl"),
            max_size,
            keep: 400 * DAY,
        };
        Written { folder, ledger }
    }

    /// The sessions that are on record, in the order of the files, and how many lines are none.
    fn read(&self) -> (Vec<u64>, u64) {
        let mut sessions = Vec::new();
        let each = |entry: &Entry<'_>| sessions.push(number(entry));
        let torn = self.ledger.read(UNIX_EPOCH, each).unwrap();
        (sessions, torn)
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.folder).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }
}

fn number(entry: &Entry<'_>) -> u64 {
    entry.session.to_string().parse().unwrap()
}

fn entry(session: u64) -> Entry<'static> {
    Entry {
        session: session.to_string().parse().unwrap(),
        user: "alice".into(),
        uid: 1001,
        service: "sshd".into(),
        tty: "ssh".into(),
        rhost: "10.1.4.22".into(),
        profile: "student+batch".into(),
        pool: Some("cs101".into()),
        start: "2026-11-24T10:12:07+01:00".into(),
        end: "2026-11-24T12:30:00+01:00".into(),
        seconds: 8273,
        cpu_user_us: Some(15_120_000_000),
        cpu_system_us: Some(18_200_000),
        throttled_us: Some(38_400_000),
        memory_peak: Some(3 << 30),
        oom_kills: Some(2),
        tasks_peak: Some(198),
        tasks_refused: Some(0),
        io_read: None,
        io_write: None,
    }
}

#[test]
fn what_is_written_is_read_again() {
    let written = Written::new(1 << 30);
    let hostile = Entry {
        user: "m\nallory\",\"oom_kills\":0}\n{\u{1b}[2J".into(),
        rhost: "\u{202e}\u{0}\u{85}\u{2028}\\".into(),
        ..entry(1)
    };
    written.ledger.append(&hostile).unwrap();
    written.ledger.append(&entry(2)).unwrap();
    let text = fs::read_to_string(&written.ledger.file).unwrap();
    assert_eq!(text.matches('\n').count(), 2, "{text}");
    let mut all = Vec::new();
    let each = |entry: &Entry<'_>| all.push(serde_json::to_string(entry).unwrap());
    assert_eq!(written.ledger.read(UNIX_EPOCH, each).unwrap(), 0);
    let expected = [hostile, entry(2)].map(|entry| serde_json::to_string(&entry).unwrap());
    assert_eq!(all, expected);
    assert_eq!(text, expected.map(|line| line + "\n").concat());
}

#[test]
fn before_the_first_session_there_is_nothing_to_read_and_what_cannot_be_read_is_told() {
    let written = Written::new(1 << 30);
    let ledger = &written.ledger;
    let back = || ledger.read_back(|_| ControlFlow::Continue(()));
    assert_eq!(written.read(), (vec![], 0));
    back().unwrap();
    // One that was too old, and went while the others were read.
    let aside = written.folder.join("sessions.jsonl.7");
    std::os::unix::fs::symlink("/nowhere", &aside).unwrap();
    assert_eq!(written.read(), (vec![], 0));
    back().unwrap();
    for path in [&aside, &ledger.file] {
        let _ = fs::remove_file(path); // the second is not there
        fs::create_dir(path).unwrap();
        ledger.read(UNIX_EPOCH, |_| ()).unwrap_err();
        back().unwrap_err();
        fs::remove_dir(path).unwrap();
    }
}

#[test]
fn torn_lines_count_in_every_file_and_one_set_aside_at_the_time_asked_for_is_read() {
    let written = Written::new(1 << 30);
    written.ledger.append(&entry(1)).unwrap();
    let line = fs::read_to_string(&written.ledger.file).unwrap();
    fs::write(&written.ledger.file, format!("{{\n{line}")).unwrap();
    let aside = written.folder.join("sessions.jsonl.100");
    fs::write(aside, format!("{{\n{{\n{line}")).unwrap();
    assert_eq!(written.read(), (vec![1, 1], 3));
    let since = |seconds| {
        let mut read = 0;
        let since = UNIX_EPOCH + Duration::from_secs(seconds);
        written.ledger.read(since, |_| read += 1).unwrap();
        read
    };
    // A session may have ended in the rest of that second.
    assert_eq!((since(100), since(101)), (2, 1));
}

#[test]
fn an_empty_file_is_never_full() {
    let written = Written::new(1);
    fs::write(&written.ledger.file, "").unwrap();
    written.ledger.append(&entry(1)).unwrap();
    assert_eq!(written.names(), ["sessions.jsonl", "sessions.jsonl.lock"]);
}

#[test]
fn nobody_but_root_can_read_it_or_hold_its_lock() {
    let written = Written::new(1 << 30);
    written.ledger.append(&entry(1)).unwrap();
    let mode = |name: &str| {
        let file = fs::metadata(written.folder.join(name)).unwrap();
        file.permissions().mode() & 0o7777
    };
    assert_eq!(written.names(), ["sessions.jsonl", "sessions.jsonl.lock"]);
    assert_eq!(mode("sessions.jsonl") & 0o137, 0);
    assert_eq!(mode("sessions.jsonl.lock"), 0o600);
}

#[test]
fn what_others_could_have_put_there_is_not_written_to() {
    let written = Written::new(1 << 30);
    let file = &written.ledger.file;
    let elsewhere = written.folder.join("elsewhere");
    let refused = || written.ledger.append(&entry(1)).unwrap_err().to_string();

    fs::write(&elsewhere, "").unwrap();
    std::os::unix::fs::symlink(&elsewhere, file).unwrap();
    assert!(refused().starts_with("cannot open "), "{}", refused());
    assert_eq!(fs::read_to_string(&elsewhere).unwrap(), "");
    fs::remove_file(file).unwrap();

    let fifo = Command::new("mkfifo").arg(file).status().unwrap();
    assert!(fifo.success());
    assert!(refused().contains("regular file"), "{}", refused());
    fs::remove_file(file).unwrap();

    fs::write(file, "").unwrap();
    fs::set_permissions(file, fs::Permissions::from_mode(0o666)).unwrap();
    assert!(refused().contains("nobody else may write"), "{}", refused());
}

#[test]
fn a_torn_line_costs_itself_only() {
    let written = Written::new(1 << 30);
    written.ledger.append(&entry(1)).unwrap();
    let whole = fs::read_to_string(&written.ledger.file).unwrap();
    // Cut at every byte, as a crash may cut it; nothing of it is the worst and the best of them.
    for length in 0..whole.len() {
        fs::write(&written.ledger.file, format!("{whole}{}", &whole[..length])).unwrap();
        written.ledger.append(&entry(2)).unwrap();
        let torn = match length {
            0 => (vec![1, 2], 0),
            // Only the newline is missing: it is a record.
            _ if length == whole.len() - 1 => (vec![1, 1, 2], 0),
            _ => (vec![1, 2], 1),
        };
        assert_eq!(written.read(), torn, "cut at {length}");
    }
    // What a crashed file system leaves.
    let zeros = "\0".repeat(200_000);
    fs::write(&written.ledger.file, format!("{whole}{zeros}")).unwrap();
    assert_eq!(written.read(), (vec![1], 1));
    written.ledger.append(&entry(2)).unwrap();
    assert_eq!(written.read(), (vec![1, 2], 1));
}

#[test]
fn a_full_file_is_set_aside_and_an_old_one_removed() {
    let written = Written::new(1000);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let old = (now - 401 * DAY).as_secs();
    let kept = (now - 399 * DAY).as_secs();
    let beside = |extension: &str| written.folder.join(format!("sessions.jsonl.{extension}"));
    let line = |session| serde_json::to_string(&entry(session)).unwrap() + "\n";
    fs::write(beside(&old.to_string()), line(100)).unwrap();
    fs::write(beside(&kept.to_string()), line(101)).unwrap();
    looked(&written, now - 10 * DAY);
    // None of Berth's.
    fs::write(beside("1.gz"), line(102)).unwrap();
    fs::write(beside(""), line(103)).unwrap();
    for session in 1..=9 {
        written.ledger.append(&entry(session)).unwrap();
    }
    let sessions: Vec<u64> = std::iter::once(101).chain(1..=9).collect();
    assert_eq!(written.read(), (sessions, 0));
    assert!(!beside(&old.to_string()).exists());
    assert!(beside("1.gz").exists() && beside("").exists());
    let names = written.names();
    let aside: Vec<&String> = names.iter().filter(|name| is_aside(name)).collect();
    assert_eq!(aside.len(), 5, "two lines each, and one kept: {names:?}");
    for name in aside {
        assert!(fs::metadata(written.folder.join(name)).unwrap().len() <= 1000);
    }
    // Those from before are not even opened.
    let mut seen = Vec::new();
    let since = SystemTime::now() - DAY;
    let each = |entry: &Entry<'_>| seen.push(number(entry));
    written.ledger.read(since, each).unwrap();
    assert_eq!(seen, (1..=9).collect::<Vec<u64>>());
}

/// A clock that leaps, a dead battery's for one, must not cost what is kept.
#[test]
fn nothing_is_removed_until_the_clock_has_gone_on_for_a_while_without_a_leap() {
    let written = Written::new(1 << 30);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let old = (now - 401 * DAY).as_secs();
    let old = written.folder.join(format!("sessions.jsonl.{old}"));
    fs::write(&old, "").unwrap();
    let is_kept = |when: &str| {
        written.ledger.append(&entry(1)).unwrap();
        assert!(old.exists(), "{when}");
    };
    is_kept("never looked before");
    is_kept("looked just now");
    looked(&written, now - 41 * DAY);
    is_kept("a leap ahead");
    is_kept("a moment after it");
    looked(&written, now + DAY);
    is_kept("set back");
    fs::write(written.folder.join("sessions.jsonl.lock"), [0xff; 100]).unwrap();
    is_kept("damaged");
    looked(&written, now - 39 * DAY);
    written.ledger.append(&entry(2)).unwrap();
    assert!(!old.exists());
}

/// Has it that something was found too old at that time since 1970.
fn looked(written: &Written, at: Duration) {
    let lock = written.folder.join("sessions.jsonl.lock");
    fs::write(lock, at.as_secs().to_string()).unwrap();
}

fn is_aside(name: &str) -> bool {
    let seconds = name.strip_prefix("sessions.jsonl.").unwrap_or_default();
    !seconds.is_empty() && seconds.bytes().all(|byte| byte.is_ascii_digit())
}

#[test]
fn a_full_disk_costs_the_records_that_do_not_fit() {
    let written = Written::new(1 << 30);
    // A disk of 4 blocks, one of which the lock's name and the folder's may take.
    let script = "mount -t tmpfs -o size=16k,mode=700 small \"$0\" && exec \"$@\"";
    let again = |what: &str| {
        let output = Command::new("unshare")
            .args(["--mount", "sh", "-c", script])
            .arg(&written.folder)
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "appending", "--ignored", "--nocapture"])
            .env(APPEND, &written.ledger.file)
            .env("BERTH_TEST_WHAT", what)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let said = again("fill");
    let line = said
        .lines()
        .find(|line| line.starts_with("filled "))
        .unwrap();
    let numbers: Vec<u64> = line
        .split(' ')
        .filter_map(|word| word.parse().ok())
        .collect();
    let [written, read, torn, size] = numbers[..] else {
        panic!("{line}");
    };
    assert!(written > 10, "{line}");
    assert_eq!((read, torn), (written, 0), "{line}");
    assert!(size <= 16 << 10, "{line}");
}

#[test]
fn what_is_set_aside_while_it_is_read_counts_once() {
    let written = Written::new(1 << 30);
    written.ledger.append(&entry(1)).unwrap();
    // As a reader finds it that had opened the file when it got its other name.
    let aside = written.folder.join("sessions.jsonl.9000000000");
    fs::hard_link(&written.ledger.file, aside).unwrap();
    assert_eq!(written.read(), (vec![1], 0));
}

#[test]
fn it_is_read_back_from_its_end_as_far_as_is_asked() {
    let written = Written::new(150_000);
    // Two files are set aside; each is longer than what is read at a time.
    for number in 1..=1500 {
        written.ledger.append(&entry(number)).unwrap();
    }
    assert!(written.names().len() > 3, "{:?}", written.names());
    let file = &written.ledger.file;
    let torn = format!("{{\"session\":\n{}\n", "x".repeat(200_000));
    fs::write(file, fs::read_to_string(file).unwrap() + &torn).unwrap();
    written.ledger.append(&entry(1501)).unwrap();
    let back = |until: u64| {
        let mut seen = Vec::new();
        let each = |entry: &Entry<'_>| {
            seen.push(number(entry));
            match number(entry) == until {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        };
        written.ledger.read_back(each).unwrap();
        seen
    };
    assert_eq!(back(0), (1..=1501).rev().collect::<Vec<_>>());
    assert_eq!(back(1490), (1490..=1501).rev().collect::<Vec<_>>());
    fs::remove_file(file).unwrap();
    assert!(back(0).ends_with(&[2, 1]));
}

#[test]
fn a_line_that_is_too_long_is_none_whichever_way_it_is_read() {
    const TOO_LONG: usize = 64 << 10;
    let written = Written::new(u64::MAX);
    let line = |session| serde_json::to_string(&entry(session)).unwrap();
    let length = line(2).len();
    let around = [1, 2, 3, 4].map(|blocks| blocks * TOO_LONG);
    let around = around.into_iter().flat_map(|end| end - 3..=end + 3);
    for size in around.chain([length, length + 1, 100_000, 150_000]) {
        // JSON may have blanks behind it: with few it is a record.
        for filler in [" ", "x"] {
            let long = format!("{}{}", line(2), filler.repeat(size - length));
            let text = format!("{}\n{long}\n{}\n", line(1), line(3));
            fs::write(&written.ledger.file, text).unwrap();
            let is_one = size < TOO_LONG && (filler == " " || size == length);
            let there = if is_one { vec![1, 2, 3] } else { vec![1, 3] };
            let torn = u64::from(!is_one);
            assert_eq!(written.read(), (there.clone(), torn), "{size} {filler:?}");
            let mut back = Vec::new();
            let each = |entry: &Entry<'_>| {
                back.insert(0, number(entry));
                ControlFlow::Continue(())
            };
            written.ledger.read_back(each).unwrap();
            assert_eq!(back, there, "back: {size} {filler:?}");
        }
    }
}

#[test]
fn many_that_end_at_once_are_all_on_record() {
    let written = Written::new(3000);
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let ledger = &written.ledger;
            scope.spawn(move || {
                for nth in 0..50 {
                    ledger.append(&entry(thread * 100 + nth)).unwrap();
                }
            });
        }
        // Whoever reads meanwhile counts none twice, and no half of one.
        scope.spawn(|| {
            for _ in 0..50 {
                let (mut sessions, _) = written.read();
                let all = sessions.len();
                sessions.sort_unstable();
                sessions.dedup();
                assert_eq!(sessions.len(), all);
            }
        });
    });
    let (mut sessions, torn) = written.read();
    sessions.sort_unstable();
    let expected: Vec<u64> = (0..8)
        .flat_map(|t| (0..50).map(move |n| t * 100 + n))
        .collect();
    assert_eq!((sessions, torn), (expected, 0));
    assert!(written.names().iter().filter(|name| is_aside(name)).count() > 50);
}

#[test]
fn killed_at_any_call_it_has_written_what_it_said_and_holds_up_nobody() {
    const CALLS: [&str; 12] = [
        "openat",
        "flock",
        "statx",
        "fstat",
        "rename",
        "renameat2",
        "pread64",
        "write",
        "getdents64",
        "unlink",
        "ftruncate",
        "close",
    ];
    let written = Written::new(1500);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let old = format!("sessions.jsonl.{}", (now - 401 * DAY).as_secs());
    let old = written.folder.join(old);
    let lock = written.folder.join("sessions.jsonl.lock");
    let mut said = Vec::new();
    let mut runs = 0;
    // Kills before the nth of these calls on any of the files; says whether there was one.
    let mut kill = |call: &str, nth: u32| {
        fs::write(&old, "").unwrap(); // so that there is one to remove
        looked(&written, now - 10 * DAY);
        let mut strace = Command::new("strace");
        strace.args(["-f", "-qq", "-o", "/dev/null"]);
        for path in [&*written.folder, &written.ledger.file, &lock, &old] {
            strace.arg("-P").arg(path);
        }
        runs += 1;
        let output = strace
            .args(["-e", &format!("trace=?{call}")])
            .args(["-e", &format!("inject=?{call}:signal=KILL:when={nth}")])
            .arg(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "appending",
                "--ignored",
                "--nocapture",
                "--test-threads=1",
            ])
            .env(APPEND, &written.ledger.file)
            .env("BERTH_TEST_WHAT", format!("{}", runs * 100))
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let numbers = text
            .lines()
            .filter_map(|line| line.strip_prefix("written "));
        said.extend(numbers.map(|number| number.parse::<u64>().unwrap()));
        !output.status.success()
    };
    for call in CALLS {
        let times = (1..100).take_while(|nth| kill(call, *nth)).count();
        let used = ["openat", "flock", "rename", "write", "unlink"].contains(&call);
        assert!(
            times < 99 && (times > 0 || !used),
            "{call}: killed {times} times"
        );
    }
    let (mut sessions, torn) = written.read();
    sessions.sort_unstable();
    let all = sessions.len();
    sessions.dedup();
    assert_eq!(sessions.len(), all, "one is there twice");
    for session in said {
        assert!(sessions.contains(&session), "{session} was written");
    }
    assert_eq!(torn, 0, "one call writes all of a line or nothing");
}

#[test]
#[ignore = "no test by itself: what the others start again"]
fn appending() {
    let file = std::env::var_os(APPEND).unwrap();
    let what = std::env::var("BERTH_TEST_WHAT").unwrap();
    let ledger = Ledger {
        file: file.into(),
        max_size: 1500,
        keep: 400 * DAY,
    };
    if what == "fill" {
        let ledger = Ledger {
            max_size: 1 << 30,
            ..ledger
        };
        let mut written = 0;
        for session in 1..200 {
            match ledger.append(&entry(session)) {
                Ok(()) => written += 1,
                Err(error) => assert!(error.to_string().contains("No space"), "{error}"),
            }
        }
        let mut read = 0;
        let torn = ledger.read(UNIX_EPOCH, |_| read += 1).unwrap();
        let size = fs::metadata(&ledger.file).unwrap().len();
        println!("\nfilled {written} {read} {torn} {size}");
        return;
    }
    let first: u64 = what.parse().unwrap();
    for session in first..first + 5 {
        ledger.append(&entry(session)).unwrap();
        println!("\nwritten {session}");
    }
}
