//! How long `berth list` and a round of penalties take, and how much of a CPU `berth top` uses, where many are logged in.
//!
//! The sessions are pretended: a record for each, a process that keeps it, and cgroups. Those are real ones, below a
//! cgroup of the benchmark's own, with the controllers that this machine has; or plain files, which stand for all the
//! controllers on a machine that has none.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use berth_tests::{Cgroups, Terminal, within};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork, pause};
use serde_json::json;

use crate::command::{heading, timed};
use crate::round;

/// How long `top` is watched, once it has settled.
const WATCHED: Duration = Duration::from_secs(20);

/// How many sessions a user has.
const EACH: u64 = 2;

const FIRST_UID: u64 = 3_000_000;

/// What every cgroup has where all controllers are.
const FILES: [(&str, &str); 16] = [
    (
        "cpu.stat",
        "usage_usec 815004\nuser_usec 815000\nsystem_usec 4\nnr_periods 0\nnr_throttled 0\nthrottled_usec 0\n",
    ),
    ("cpu.max", "400000 100000\n"),
    ("memory.current", "83886080\n"),
    ("memory.peak", "83886080\n"),
    ("memory.max", "max\n"),
    (
        "memory.events",
        "low 0\nhigh 0\nmax 0\noom 0\noom_kill 0\noom_group_kill 0\n",
    ),
    ("pids.current", "3\n"),
    ("pids.max", "256\n"),
    ("pids.peak", "9\n"),
    ("pids.events", "max 0\n"),
    (
        "io.stat",
        "8:0 rbytes=1048576 wbytes=2097152 rios=1 wios=1 dbytes=0 dios=0\n",
    ),
    ("cgroup.events", "populated 1\nfrozen 0\n"),
    ("cgroup.freeze", "0\n"),
    ("cpu.pressure", PRESSURE),
    ("memory.pressure", PRESSURE),
    ("io.pressure", PRESSURE),
];
const PRESSURE: &str = "some avg10=0.00 avg60=0.00 avg300=0.00 total=5\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n";

/// What stands for the cgroups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stand {
    Real,
    Plain,
}

/// Measures both, in a process each: what they change of their own namespaces does not come back.
pub fn measure(sessions: u64) {
    println!("{sessions} sessions, {} users", sessions.div_ceil(EACH));
    for stand in [Stand::Real, Stand::Plain] {
        // SAFETY: this process has one thread.
        match unsafe { fork() }.expect("fork") {
            ForkResult::Parent { child } => {
                let status = waitpid(child, None).expect("wait");
                let own = own_cgroup(child);
                // Its keepers died with it, and somebody has to reap them.
                let is_gone = within(Duration::from_secs(20), || !own.exists() || remove(&own));
                assert!(is_gone, "{} is left", own.display());
                assert!(matches!(status, WaitStatus::Exited(_, 0)), "{status:?}");
            }
            ForkResult::Child => {
                on_machine(stand, sessions);
                std::process::exit(0);
            }
        }
    }
}

fn on_machine(stand: Stand, sessions: u64) {
    let real = Cgroups::find().expect("no cgroup v2 tree is mounted");
    let own = real
        .root()
        .join(format!("berth-bench-{}", std::process::id()));
    let nothing: Option<&str> = None;
    let to = |path: &str, kind| {
        mount(Some("none"), path, Some(kind), MsFlags::empty(), nothing).expect("mount")
    };
    if stand == Stand::Real {
        fs::create_dir(&own).expect("make a cgroup");
        fs::write(own.join("cgroup.procs"), "0").expect("move into it");
        unshare(CloneFlags::CLONE_NEWCGROUP).expect("a cgroup namespace");
    }
    unshare(CloneFlags::CLONE_NEWNS).expect("a mount namespace");
    mount(
        nothing,
        "/",
        nothing,
        MsFlags::MS_REC | MsFlags::MS_PRIVATE,
        nothing,
    )
    .expect("keep mounts to ourselves");
    to("/run", "tmpfs");
    let (root, controllers) = match stand {
        Stand::Real => {
            fs::create_dir("/run/cgroup2").expect("make a folder");
            to("/run/cgroup2", "cgroup2");
            let has = fs::read_to_string("/run/cgroup2/cgroup.controllers").expect("read");
            let has: Vec<_> = ["cpu", "memory", "pids", "io"]
                .into_iter()
                .filter(|name| has.split_whitespace().any(|one| one == *name))
                .collect();
            (PathBuf::from("/run/cgroup2"), has)
        }
        Stand::Plain => {
            to(real.root().to_str().expect("a path in UTF-8"), "tmpfs");
            (real.root().to_owned(), Vec::new())
        }
    };
    match stand {
        Stand::Real => println!(
            "\nreal cgroups, controllers of this machine: {}",
            match controllers.is_empty() {
                true => "none, so CPU time and pressure only".into(),
                false => controllers.join(" "),
            }
        ),
        Stand::Plain => println!("\nplain files for cgroups with all controllers"),
    }
    let keepers = pretend(&root, stand, &controllers, sessions);
    lists();
    tops();
    if stand == Stand::Real {
        for (id, keeper) in (1..).zip(&keepers) {
            // Who looks at processes has one in each session to look at.
            let path = root.join(of_session(id)).join("cgroup.procs");
            fs::write(path, keeper.to_string()).expect("move a keeper");
        }
    }
    let all: Vec<(u64, u64)> = (1..=sessions).map(|id| (of_user(id), id)).collect();
    round::measure(&all);
    for keeper in keepers {
        let _ = kill(keeper, Signal::SIGKILL);
        let _ = waitpid(keeper, None);
    }
}

/// The cgroup that a process of the benchmark's has its own below.
fn own_cgroup(process: Pid) -> PathBuf {
    let real = Cgroups::find().expect("no cgroup v2 tree is mounted");
    real.root().join(format!("berth-bench-{process}"))
}

/// Makes records, cgroups and keepers.
fn pretend(root: &Path, stand: Stand, controllers: &[&str], sessions: u64) -> Vec<Pid> {
    let group = |below: &str, passes_on: bool| {
        let path = root.join(below);
        fs::create_dir_all(&path).expect("make a cgroup");
        if stand == Stand::Plain {
            for (name, text) in FILES {
                fs::write(path.join(name), text).expect("write");
            }
        } else if passes_on && !controllers.is_empty() {
            let all: Vec<String> = controllers.iter().map(|name| format!("+{name}")).collect();
            fs::write(path.join("cgroup.subtree_control"), all.join(" "))
                .expect("pass controllers on");
        }
    };
    fs::create_dir_all("/run/berth/sessions").expect("make a folder");
    group("berth", true);
    let mut keepers = Vec::new();
    for id in 1..=sessions {
        let uid = of_user(id);
        let user = format!("berth/user-{uid}");
        let session = of_session(id);
        for (path, passes_on) in [
            (&user, true),
            (&format!("{user}/sessions"), true),
            (&session, false),
        ] {
            group(path, passes_on);
        }
        // SAFETY: this process has one thread.
        let keeper = match unsafe { fork() }.expect("fork") {
            ForkResult::Parent { child } => child,
            ForkResult::Child => {
                let _ = nix::sys::prctl::set_pdeathsig(Signal::SIGKILL);
                loop {
                    pause();
                }
            }
        };
        keepers.push(keeper);
        let record = json!({
            "id": id, "user": format!("user{uid}"), "uid": uid, "service": "sshd", "tty": "ssh",
            "rhost": "10.1.4.22", "profile": "student", "rule": "cs101", "user_rule": "cs101", "pool": null,
            "opened": 1_795_000_000, "state": "active", "leader": role(keeper), "keeper": role(keeper),
            "init": null, "cgroup": session, "pid_namespace": 4_026_531_836_u64, "ipc_namespace": null,
            "mount_namespace": null, "user_namespace": null,
        });
        fs::write(format!("/run/berth/sessions/{id}"), record.to_string()).expect("write");
    }
    keepers
}

/// Whose a session is.
fn of_user(id: u64) -> u64 {
    FIRST_UID + id / EACH
}

/// The cgroup of a session.
fn of_session(id: u64) -> String {
    format!("berth/user-{}/sessions/{id}", of_user(id))
}

fn role(process: Pid) -> serde_json::Value {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).expect("read");
    let (_, fields) = stat.rsplit_once(')').expect("a name");
    let start: u64 = fields
        .split_whitespace()
        .nth(19)
        .and_then(|start| start.parse().ok())
        .expect("a start");
    json!({ "pid": process.as_raw(), "start": start })
}

/// The program.
pub fn berth() -> OsString {
    let me = std::env::current_exe().expect("this program's path");
    me.with_file_name("berth").into_os_string()
}

fn lists() {
    heading();
    for arguments in ["list", "list --users", "list --json"] {
        timed(&format!("berth {arguments}"), 0, || {
            let mut list = Command::new(berth());
            list.args(arguments.split(' '));
            list
        });
    }
}

/// On a terminal of 80 columns and 24 rows, at one look a second.
fn tops() {
    println!("percent of a CPU, {} s", WATCHED.as_secs());
    for (arguments, keys) in [("top", ""), ("top, by memory", ">"), ("top --sessions", "")] {
        let mut command = Command::new(berth());
        let words = arguments.split(',').next().unwrap_or_default();
        command.args(words.split(' ')).env("TERM", "xterm");
        let mut terminal = Terminal::start(command);
        terminal.resize(24, 80);
        // No more than what is not blank is written.
        terminal.expect("freeze");
        terminal.keys(keys);
        // All is read at first.
        std::thread::sleep(Duration::from_secs(3));
        let pid = terminal.process().0;
        let (before, began) = (used(pid), Instant::now());
        std::thread::sleep(WATCHED);
        let share = (used(pid) - before).as_secs_f64() / began.elapsed().as_secs_f64();
        println!("berth {arguments:<26}  {:>6.2}", share * 100.0);
        terminal.keys("q");
        terminal.wait();
    }
}

/// The CPU time of a process (Documentation/scheduler/sched-stats).
fn used(pid: i32) -> Duration {
    let text = fs::read_to_string(format!("/proc/{pid}/schedstat")).expect("read");
    let used = text.split(' ').next().and_then(|used| used.parse().ok());
    Duration::from_nanos(used.expect("a number"))
}

/// Removes cgroups, the innermost first; says whether they are gone.
fn remove(path: &Path) -> bool {
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove(&entry.path());
        }
    }
    fs::remove_dir(path).is_ok()
}
