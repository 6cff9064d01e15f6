//! A machine with sessions that are only pretended: records that the test writes, and plain folders for cgroups. It is
//! made of a mount namespace, so that what the machine has stays as it is.

// Each test uses what it needs of it.
#![allow(dead_code)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use berth_config::Standing;
use berth_config::value::Percent;
use serde_json::{Value, json};

#[path = "../ran/mod.rs"]
pub mod ran;

pub use ran::{Folder, Ran, needs_root};

/// A /run/berth of its own, and a cgroup hierarchy.
pub struct Run {
    pub sessions: PathBuf,
    pub cgroups: PathBuf,
    folder: Folder,
}

impl Run {
    /// Needs root, for a mount namespace.
    #[track_caller]
    pub fn new() -> Run {
        needs_root();
        let folder = Folder::new();
        let [sessions, cgroups] = ["sessions", "cgroups"].map(|name| folder.join(name));
        for folder in [&sessions, &cgroups] {
            fs::create_dir_all(folder).unwrap();
        }
        Run {
            sessions,
            cgroups,
            folder,
        }
    }

    pub fn write(&self, id: u64, record: &Value) {
        // As Berth does: whole, and another file each time.
        let new = self.sessions.join(format!(".{id}"));
        fs::write(&new, record.to_string()).unwrap();
        fs::set_permissions(&new, fs::Permissions::from_mode(0o600)).unwrap();
        fs::rename(new, self.sessions.join(id.to_string())).unwrap();
    }

    /// Writes files of a cgroup.
    pub fn cgroup(&self, path: &str, files: &[(&str, &str)]) {
        let folder = self.cgroups.join(path);
        fs::create_dir_all(&folder).unwrap();
        for (name, text) in files {
            fs::write(folder.join(name), text).unwrap();
        }
    }

    /// Writes the syslog daemon's file. Without one there is none.
    pub fn log(&self, text: &str) {
        self.folder.write("log/auth.log", text);
    }

    /// A shell command on this machine. The program is /run/berth-program there: the build may be where only root can
    /// go.
    pub fn shell(&self, command: &str) -> Command {
        let script = format!(
            "set -e; mkdir -p {0}/log; mount --bind {0}/log /var/log; cgroups={1}; mount -t tmpfs -o mode=755 run /run; mkdir -p /run/berth/sessions; \
             mount --bind {2} /run/berth/sessions; touch /run/berth-program; \
             mount --bind {3} /run/berth-program; {ON_TOP}; {command}",
            self.folder.display(),
            self.cgroups.display(),
            self.sessions.display(),
            env!("CARGO_BIN_EXE_berth")
        );
        let mut shell = Command::new("unshare");
        shell.args(["--mount", "sh", "-c", &script]);
        shell.stdin(Stdio::null());
        shell
    }

    /// Runs the program; `before` is put in front of it: who runs it.
    pub fn berth(&self, before: &str, arguments: &str) -> Ran {
        let command = format!("exec {before} /run/berth-program {arguments}");
        Ran::of(&mut self.shell(&command))
    }
}

impl Run {
    /// Where a policy is loaded.
    pub fn root(&self) -> PathBuf {
        let root = self.folder.join("root");
        for folder in ["etc/berth", "var/lib/berth"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        root
    }

    /// Runs the program where this policy is in force, and was loaded just now.
    pub fn under(&self, policy: &str, arguments: &str) -> Ran {
        let root = self.root();
        fs::write(root.join("etc/berth/policy.toml"), policy).unwrap();
        let root = root.display();
        Ran::of(&mut self.shell(&format!(
            "/run/berth-program reload --root {root} >/dev/null; mount --bind {root}/var/lib /var/lib; \
             exec /run/berth-program {arguments}"
        )))
    }
}

impl Run {
    /// Puts a policy in force, and says by which checksum it is known.
    #[track_caller]
    pub fn loaded(&self, policy: &str) -> String {
        let ran = self.under(policy, "list");
        assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{policy}");
        let loaded = fs::read_to_string(self.folder.join("root/var/lib/berth/policy.json"));
        let head = loaded.unwrap().lines().next().unwrap().to_owned();
        let head: Value = serde_json::from_str(&head).unwrap();
        head["sha256"].as_str().unwrap().into()
    }
}

/// The pretended hierarchy is put on top of the one that the mount table says is mounted.
const ON_TOP: &str = "grep -q ' - cgroup2 ' /proc/self/mountinfo || \
     { mkdir /run/cgroup2; mount -t cgroup2 none /run/cgroup2; }; \
     mount --bind \"$cgroups\" \"$(awk '/ - cgroup2 /{print $5; exit}' /proc/self/mountinfo)\"";

/// How somebody stands with a penalty: on its first step.
pub fn standing() -> Standing {
    Standing {
        user: "alice".into(),
        penalty: "hog".into(),
        step: 1,
        steps: 2,
        share: Percent::parse("50%").unwrap(),
        since: 3_900_000_000,
        until: 4_000_000_000,
        forgotten: 4_100_000_000,
        is_over: false,
    }
}

/// This process, as a record names one.
pub fn me() -> Value {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let start: u64 = fields.split_whitespace().nth(19).unwrap().parse().unwrap();
    json!({ "pid": std::process::id(), "start": start })
}

/// A record of a session that was opened so long ago; its keeper is this process.
pub fn record(id: u64, user: &str, uid: u32, ago: u64) -> Value {
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

/// The files of a cgroup with every controller.
pub fn files(cpu_us: u64, memory: u64, tasks: u64) -> Vec<(&'static str, String)> {
    vec![
        (
            "cpu.stat",
            format!(
                "usage_usec {cpu_us}\nuser_usec {cpu_us}\nsystem_usec 0\nnr_throttled 0\nthrottled_usec 2000000\n"
            ),
        ),
        ("cpu.max", "400000 100000\n".into()),
        ("memory.current", format!("{memory}\n")),
        ("memory.peak", format!("{memory}\n")),
        ("memory.max", "8589934592\n".into()),
        (
            "memory.events",
            "low 0\nhigh 0\nmax 9\noom 1\noom_kill 1\n".into(),
        ),
        ("pids.current", format!("{tasks}\n")),
        ("pids.max", "512\n".into()),
        ("pids.peak", "99\n".into()),
        ("pids.events", "max 4\n".into()),
        ("pids.events.local", "max 4\n".into()),
        (
            "io.stat",
            "8:0 rbytes=1048576 wbytes=2097152 rios=1 wios=1\n".into(),
        ),
        ("cgroup.events", "populated 1\nfrozen 0\n".into()),
        ("cgroup.freeze", "0\n".into()),
        ("cpu.pressure", pressure(31.0)),
        ("memory.pressure", pressure(0.0)),
        ("io.pressure", pressure(0.5)),
    ]
}

fn pressure(percent: f64) -> String {
    format!(
        "some avg10=0.00 avg60={percent:.2} avg300=0.00 total=5\n\
         full avg10=0.00 avg60=0.00 avg300=0.00 total=9\n"
    )
}

impl Run {
    /// A session with cgroups of its own and its user's, which have used so much.
    pub fn session(&self, id: u64, user: &str, uid: u32, figures: &[(&str, String)]) {
        let path = format!("berth/user-{uid}/sessions/{id}");
        let figures: Vec<(&str, &str)> = figures
            .iter()
            .map(|(name, text)| (*name, text.as_str()))
            .collect();
        for path in [
            Path::new(&path),
            Path::new(&format!("berth/user-{uid}")),
            Path::new(&format!("berth/user-{uid}/sessions")),
        ] {
            self.cgroup(path.to_str().unwrap(), &figures);
        }
        let mut record = record(id, user, uid, 8045);
        record["cgroup"] = path.into();
        self.write(id, &record);
    }
}

/// Three sessions of two users, one of them dead.
pub fn three() -> Run {
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

/// Three sessions with cgroups, of two users of whom one is in a pool.
pub fn with_figures() -> Run {
    let run = Run::new();
    run.session(12, "alice", 4_000_001, &files(5_000_000, 1 << 30, 34));
    run.session(14, "alice", 4_000_001, &files(1_000_000, 1 << 20, 3));
    let pool = "berth/pool-cs101";
    let user = format!("{pool}/user-4000002");
    let session = format!("{user}/sessions/9");
    for path in [pool, &user, &session] {
        let figures = files(2_000_000, 7 << 30, 61);
        let figures: Vec<_> = figures
            .iter()
            .map(|(name, text)| (*name, text.as_str()))
            .collect();
        run.cgroup(path, &figures);
    }
    let mut record = record(9, "bob", 4_000_002, 245);
    record["pool"] = "cs101".into();
    record["profile"] = "ta+batch".into();
    record["cgroup"] = session.into();
    run.write(9, &record);
    run
}
