//! list, show, kill and try, by their output and exit codes, on records that the test writes. Real
//! sessions are looked at by the crate of tests on real logins.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A /run/berth of its own.
struct Run {
    sessions: PathBuf,
}

impl Run {
    /// Needs root, for a mount namespace.
    #[track_caller]
    fn new() -> Run {
        let me = std::fs::metadata("/proc/self").unwrap().uid();
        assert_eq!(me, 0, "this test must be run by root");
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("berth-run-{}-{number}", std::process::id());
        let sessions = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&sessions).unwrap();
        Run { sessions }
    }

    fn write(&self, id: u64, record: &Value) {
        std::fs::write(self.sessions.join(id.to_string()), record.to_string()).unwrap();
    }

    /// `before` is put in front of the program: who runs it.
    fn berth(&self, before: &str, arguments: &str) -> Ran {
        // /run is the test's own in there; what the machine has stays as it is. The program stands
        // there too: the build may be where only root can go.
        let script = format!(
            "mount -t tmpfs -o mode=755 run /run && mkdir -p /run/berth/sessions && \
             mount --bind {} /run/berth/sessions && touch /run/berth-program && \
             mount --bind {} /run/berth-program && exec {before} /run/berth-program {arguments}",
            self.sessions.display(),
            env!("CARGO_BIN_EXE_berth")
        );
        let output = Command::new("unshare")
            .args(["--mount", "sh", "-c", &script])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        Ran {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.sessions).unwrap();
    }
}

#[derive(Debug)]
struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

/// This process, as a record names one.
fn me() -> Value {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let start: u64 = fields.split_whitespace().nth(19).unwrap().parse().unwrap();
    json!({ "pid": std::process::id(), "start": start })
}

/// A record of a session that was opened so long ago; its keeper is this process.
fn record(id: u64, user: &str, uid: u32, ago: u64) -> Value {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    json!({
        "id": id,
        "user": user,
        "uid": uid,
        "service": "sshd",
        "tty": "ssh",
        "rhost": "10.1.4.22",
        "profile": "student",
        "rule": "cs101",
        "user_rule": "cs101",
        "opened": now.as_secs() - ago,
        "state": "active",
        // Gone, so that no mistake in here can signal anybody.
        "leader": { "pid": 1, "start": 1 },
        "keeper": me(),
        "init": null,
        "cgroup": null,
        "pid_namespace": null,
        "ipc_namespace": null,
        "mount_namespace": null,
        "user_namespace": null,
    })
}

/// Three sessions of two users, one of them dead.
fn three() -> Run {
    let run = Run::new();
    run.write(12, &record(12, "alice", 4_000_001, 8045));
    let mut second = record(14, "alice", 4_000_001, 245);
    second["service"] = "cron".into();
    second["tty"] = "cron".into();
    second["rhost"] = "".into();
    second["profile"] = "student+batch".into();
    second["state"] = "linger".into();
    run.write(14, &second);
    let mut dead = record(9, "bob", 4_000_002, 270_000);
    dead["keeper"]["start"] = 1.into();
    dead["rhost"] = "evil\u{1b}[2J".into();
    run.write(9, &dead);
    run
}

#[test]
fn list_is_a_table_of_sessions() {
    let run = three();
    let ran = run.berth("", "list");
    assert_eq!(
        ran.out,
        "\
SESSION  USER   SERVICE  PROFILE        POOL    AGE  TASKS  CPU  MEMORY  STATE
      9  bob    sshd     student        -        3d      -    -       -  dead
     12  alice  sshd     student        -     2h14m      -    -       -  active
     14  alice  cron     student+batch  -        4m      -    -       -  linger
3 sessions, 2 users.
Session 9 has lost its keeper: `berth kill 9` removes what is left of it.
"
    );
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    assert_eq!(run.berth("", "").out, ran.out);
}

#[test]
fn list_of_users_and_for_programs() {
    let run = three();
    assert_eq!(
        run.berth("", "list --users").out,
        "\
USER       UID  SESSIONS  POOL    AGE  TASKS  CPU  MEMORY
alice  4000001         2  -     2h14m      -    -       -
bob    4000002         1  -        3d      -    -       -
2 users, 3 sessions.
"
    );
    let object: Value = serde_json::from_str(&run.berth("", "list --json").out).unwrap();
    assert_eq!(object["version"], 1);
    assert!(object["now"].as_str().unwrap().contains('T'));
    let session = &object["sessions"][1];
    for (key, value) in [
        ("session", json!(12)),
        ("user", json!("alice")),
        ("uid", json!(4_000_001)),
        ("service", json!("sshd")),
        ("rhost", json!("10.1.4.22")),
        ("profile", json!("student")),
        ("pool", Value::Null),
        ("rule", json!("cs101")),
        ("state", json!("active")),
        ("namespaces", json!([])),
        ("init_pid", Value::Null),
    ] {
        assert_eq!(session[key], value, "{key}");
    }
    assert!(session["age_seconds"].as_u64().unwrap() >= 8045);
    assert_eq!(session["memory"]["max_bytes"], Value::Null);
    let object: Value = serde_json::from_str(&run.berth("", "list --users --json").out).unwrap();
    assert_eq!(object["users"][0]["sessions"], json!([12, 14]));
}

#[test]
fn a_record_that_cannot_be_understood_is_told_and_the_rest_is_listed() {
    let run = three();
    std::fs::write(run.sessions.join("13"), "{}").unwrap();
    let ran = run.berth("", "list");
    assert!(ran.out.contains("3 sessions, 2 users."), "{ran:?}");
    assert!(
        ran.err
            .contains("the session record /run/berth/sessions/13"),
        "{ran:?}"
    );
    assert_eq!(ran.code, Some(5));
}

#[test]
fn show_of_a_user_has_a_line_for_each_session() {
    let run = three();
    for object in ["alice", "user:alice"] {
        let ran = run.berth("", &format!("show {object}"));
        let (title, rest) = ran.out.split_once("\n    Since: ").unwrap();
        assert_eq!(
            title,
            "alice (4000001)  profile student, student+batch, rule cs101"
        );
        let (since, rest) = rest.split_once('\n').unwrap();
        assert!(since.ends_with("; 2h 14min ago"), "{since}");
        assert!(since.is_char_boundary(3) && "MonTueWedThuFriSatSun".contains(&since[..3]));
        assert_eq!(
            rest,
            " Sessions: 12  sshd from 10.1.4.22, 2h 14min\n           14  cron on cron, 4min, linger\n"
        );
    }
}

#[test]
fn show_of_a_session_lets_no_escape_sequence_through() {
    let run = three();
    let ran = run.berth("", "status 9");
    assert!(
        ran.out
            .contains("    State: dead\n    Login: sshd from evil\u{fffd}[2J\n"),
        "{ran:?}"
    );
    let object: Value = serde_json::from_str(&run.berth("", "show 9 --json").out).unwrap();
    assert_eq!(
        (&object["version"], &object["state"]),
        (&json!(1), &json!("dead"))
    );
    assert_eq!(object["rhost"], "evil\u{1b}[2J");
}

#[test]
fn what_is_not_there_is_1_and_what_makes_no_sense_is_2() {
    let run = three();
    std::fs::write(run.sessions.join(".policy"), "version = 1\n").unwrap();
    for (arguments, code, said) in [
        ("show 99", 1, "berth: there is no session 99\n"),
        ("show carol", 1, "berth: user \"carol\" has no session\n"),
        ("kill 99 --yes", 1, "berth: there is no session 99\n"),
        (
            "try --user no-such-user --policy /run/berth/sessions/.policy true",
            1,
            "berth: user \"no-such-user\" is not known here",
        ),
        ("show pool:x", 2, "name a session, as in 12, or a user"),
        (
            "kill 12",
            2,
            "berth: nobody can be asked here (no terminal): say --yes\n",
        ),
        ("kill 12 --signal NONE --yes", 2, "name a signal, as in HUP"),
        (
            "kill 12 --grace 5 --yes",
            2,
            "write a number and one of s, min, h",
        ),
        (
            "try --user root --service ../x true",
            2,
            "a service is a name",
        ),
    ] {
        let ran = run.berth("", arguments);
        assert_eq!(ran.code, Some(code), "{arguments}: {ran:?}");
        assert!(ran.err.contains(said), "{arguments}: {ran:?}");
    }
    for verb in ["list", "show", "kill", "try"] {
        let ran = run.berth("", &format!("{verb} --help"));
        assert!(ran.out.contains("Exit status: "), "{verb}");
        let longest = ran.out.lines().map(str::len).max();
        assert!(longest < Some(100), "{verb}: {longest:?}");
    }
}

#[test]
fn who_is_not_root_is_told_so() {
    let run = three();
    let nobody = "setpriv --reuid=4000001 --regid=4000001 --clear-groups";
    assert_eq!(run.berth(nobody, "--version").code, Some(0));
    for arguments in [
        "list",
        "show 12",
        "show",
        "",
        "kill 12 --yes",
        "try --user root true",
    ] {
        let ran = run.berth(nobody, arguments);
        assert_eq!(ran.code, Some(4), "{arguments}: {ran:?}");
        assert!(
            ran.out.is_empty() && ran.err.starts_with("berth: "),
            "{ran:?}"
        );
    }
}

#[test]
fn every_option_is_in_the_document() {
    let run = Run::new();
    let document = include_str!("../../docs/commands.md");
    for verb in ["list", "show", "kill", "try"] {
        let section = document.split("\n## ").find(|section| {
            section.starts_with(&format!("`berth {verb} "))
                || section.starts_with(&format!("`berth {verb}`"))
        });
        let section = section.unwrap_or_else(|| panic!("no section on {verb}"));
        let help = run.berth("", &format!("{verb} --help")).out;
        let options = help
            .split_whitespace()
            .filter(|word| word.starts_with("--") && word.len() > 3);
        for option in options.filter(|option| *option != "--help") {
            let option = option.trim_matches(|c: char| !c.is_ascii_alphabetic() && c != '-');
            assert!(section.contains(option), "{verb} {option}");
        }
    }
}

#[test]
fn explain_of_a_session_is_about_the_login_that_opened_it() {
    let run = Run::new();
    let mut login = record(12, "nobody", 65_534, 3600);
    login["service"] = "login".into();
    login["tty"] = "tty1".into();
    login["pool"] = "labs".into();
    run.write(12, &login);
    let policy = run.sessions.with_extension("toml");
    let text = "version = 1\n[exempt]\nuids = [1]\n[profile.student]\n[profile.console]\n[pool.labs]\n\
                memory_max = \"1G\"\n[[rule]]\ntty = \"tty1\"\nrhost = \"10.1.4.0/24\"\nprofile = \"PROFILE\"\n\
                [[rule]]\nprofile = \"student\"\npool = \"labs\"\n";
    let explained = |profile: &str, more: &str| {
        std::fs::write(&policy, text.replace("PROFILE", profile)).unwrap();
        let policy = policy.display();
        run.berth("", &format!("explain {more} --policy {policy}"))
    };
    let ran = explained("student", "12");
    assert!(
        ran.out
            .contains(", groups nogroup; service login from 10.1.4.22; "),
        "{ran:?}"
    );
    assert!(
        ran.out
            .contains("\nsession 12, opened with profile student, pool labs, rule cs101\n"),
        "{ran:?}"
    );
    let ran = explained("console", "12");
    assert!(
        ran.out
            .contains(", rule cs101; such a login gets what is below now\n"),
        "{ran:?}"
    );
    assert!(ran.out.contains("\nTHIS LOGIN   console"), "{ran:?}");
    // What is said on the command line wins.
    let ran = explained("console", "12 --tty tty2 --json");
    let object: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(object["outcome"]["profile"], "student");
    assert_eq!(object["session"]["differs"], false);
    let at = &object["login"]["at"];
    let now = &object["now"];
    assert_ne!(
        at["hour"].to_string(),
        now.to_string()[12..14].trim_start_matches('0')
    );
    let ran = explained("console", "13");
    std::fs::remove_file(&policy).unwrap();
    assert_eq!(
        (ran.code, ran.err.as_str()),
        (Some(1), "berth: there is no session 13\n")
    );
}

#[test]
fn who_is_not_root_is_explained_only_what_they_get_themselves() {
    let run = Run::new();
    run.write(12, &record(12, "root", 0, 1));
    let nobody = "env SUDO_USER=root setpriv --reuid=65534 --regid=65534 --clear-groups";
    for about in ["root", "12"] {
        let ran = run.berth(nobody, &format!("explain {about}"));
        assert_eq!((ran.code, ran.out.as_str()), (Some(4), ""), "{ran:?}");
    }
    for own in ["", "nobody"] {
        let ran = run.berth(nobody, &format!("explain --root /nowhere {own}"));
        assert!(
            ran.err.contains("/nowhere/etc/berth/policy.toml"),
            "{ran:?}"
        );
    }
    let ran = run.berth(nobody, "check --users");
    assert_eq!((ran.code, ran.out.as_str()), (Some(4), ""), "{ran:?}");
}
