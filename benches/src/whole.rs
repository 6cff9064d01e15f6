//! What users and bystanders feel: whole logins by ssh, many at once, programs in a berth, and a logout of many.

use std::ffi::CStr;
use std::fmt;
use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use berth_tests::{CHEAP_KEYS, Machine, Process};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, execve, fork, pause};

use crate::pam::{self, WITH};
use crate::sample::{Figures, Kind, forked, milliseconds, pipes};

/// How long each load lasts.
const LOAD: Duration = Duration::from_secs(5);

/// How many log in at once.
const AT_ONCE: usize = 16;

/// Logins by ssh, with and without Berth in turn.
const BY_SSH: usize = 40;

/// Programs started in a round, and rounds.
const PROGRAMS: usize = 400;
const ROUNDS: usize = 25;

/// Processes of a session that is left.
const LEFT: usize = 1_000;

/// Measures all of it.
pub fn measure(machine: &mut Machine) {
    loads();
    by_ssh(machine);
    programs(machine);
    logout(machine);
}

fn median(mut samples: Vec<Duration>) -> Duration {
    samples.sort_unstable();
    samples.get(samples.len() / 2).copied().unwrap_or_default()
}

/// Forks, where the child must not come back.
fn child(run: impl FnOnce()) -> Pid {
    // SAFETY: as in sample.rs.
    match unsafe { fork() }.expect("fork") {
        ForkResult::Parent { child } => child,
        ForkResult::Child => {
            run();
            // SAFETY: ends the process without running what its parent registered.
            unsafe { libc::_exit(0) }
        }
    }
}

fn loads() {
    println!(
        "sessions opened and closed a second, and what a fork takes a bystander meanwhile, milliseconds\n\n\
         {:<32} {:>8}  {:>8} {:>8} {:>8}",
        "load", "a second", "p50", "p99", "max"
    );
    let loads = [
        ("none", 0, Kind::Plain),
        ("one at a time, without Berth", 1, Kind::Plain),
        ("one at a time", 1, Kind::Cgroup),
        ("16 at once, without Berth", AT_ONCE, Kind::Plain),
        ("16 at once", AT_ONCE, Kind::Cgroup),
    ];
    for (name, at_once, kind) in loads {
        let (logins, mut forks) = under_load(at_once, kind);
        forks.sort_unstable();
        let of = Figures::of(&forks);
        let [p50, p99, max] = [of.p50, of.p99, of.max].map(milliseconds);
        println!(
            "{name:<32} {:>8.0}  {p50:>8.3} {p99:>8.3} {max:>8.3}",
            logins as f64 / LOAD.as_secs_f64()
        );
    }
}

/// How many sessions were opened, and how long the bystander's forks took.
fn under_load(at_once: usize, kind: Kind) -> (u64, Vec<Duration>) {
    let (mut counted, mut count) = pipes();
    let begun = Instant::now();
    let mut log_in = || {
        let mut done: u64 = 0;
        while begun.elapsed() < LOAD {
            forked(kind, Kind::once);
            done += 1;
        }
        count.write_all(&done.to_ne_bytes()).expect("tell");
    };
    let logins: Vec<Pid> = (0..at_once).map(|_| child(&mut log_in)).collect();
    let mut forks = Vec::new();
    while begun.elapsed() < LOAD {
        let start = Instant::now();
        waitpid(child(|| {}), None).expect("wait");
        forks.push(start.elapsed());
        std::thread::sleep(Duration::from_millis(5));
    }
    let mut all = 0;
    for login in logins {
        let mut bytes = [0; 8];
        counted.read_exact(&mut bytes).expect("a count");
        all += u64::from_ne_bytes(bytes);
        waitpid(login, None).expect("wait");
    }
    (all, forks)
}

/// Takes Berth's lines out of sshd's stack, or puts them back. sshd reads it at each login.
struct SshdStack {
    with: String,
    without: String,
}

impl SshdStack {
    const PATH: &str = "/etc/pam.d/sshd";

    fn read() -> SshdStack {
        let with = fs::read_to_string(SshdStack::PATH).expect("sshd's stack");
        let lines = with.lines().filter(|line| !line.contains("pam_berth"));
        let without = lines.map(|line| format!("{line}\n")).collect();
        SshdStack { with, without }
    }

    fn set(&self, has_berth: bool) {
        let text = if has_berth { &self.with } else { &self.without };
        fs::write(SshdStack::PATH, text).expect("sshd's stack");
    }
}

fn by_ssh(machine: &mut Machine) {
    let stack = SshdStack::read();
    let mut took = [Vec::new(), Vec::new()];
    for nth in 0..2 * (BY_SSH + 1) {
        let has_berth = nth % 2 == 1;
        stack.set(has_berth);
        std::thread::sleep(Duration::from_millis(250));
        // As users' own clients do it.
        let quick = machine.ssh_command("bob", "true");
        let mut ssh = Command::new("ssh");
        ssh.args(quick.get_args().filter(|word| *word != CHEAP_KEYS));
        let start = Instant::now();
        let ended = ssh.stdin(Stdio::null()).status().expect("ssh");
        assert!(ended.success(), "ssh: {ended}");
        // The first ones read everything from the disk.
        if nth > 1 {
            took[usize::from(has_berth)].push(start.elapsed());
        }
    }
    let [without, with] = took.map(median);
    println!(
        "\n`ssh host true` after 250 ms of idleness, milliseconds: {:.1} without Berth, {:.1} with it ({:+.1}%)",
        milliseconds(without),
        milliseconds(with),
        (with.as_secs_f64() / without.as_secs_f64() - 1.0) * 100.0
    );
}

fn programs(machine: &mut Machine) {
    let stack = SshdStack::read();
    let me = std::env::current_exe().expect("this program's path");
    for way in Way::ALL {
        let run = format!("{} --start-programs {PROGRAMS} {way}", me.display());
        let mut took = [Vec::new(), Vec::new()];
        for nth in 0..2 * ROUNDS {
            let has_berth = nth % 2 == 1;
            stack.set(has_berth);
            let said = machine.ssh("bob", &run).ok();
            let nanoseconds = said.trim().parse().expect("a time");
            took[usize::from(has_berth)].push(Duration::from_nanos(nanoseconds));
        }
        stack.set(true);
        let best = |of: &[Duration]| of.iter().min().copied().unwrap_or_default();
        let [outside, inside] = took;
        let change = |outside: Duration, inside: Duration| {
            (inside.as_secs_f64() / outside.as_secs_f64() - 1.0) * 100.0
        };
        println!(
            "`true` started {PROGRAMS} times by {way}, milliseconds each: {:.3} outside, {:.3} in a berth ({:+.1}%; the best of {ROUNDS} rounds {:+.1}%)",
            milliseconds(median(outside.clone())),
            milliseconds(median(inside.clone())),
            change(median(outside.clone()), median(inside.clone())),
            change(best(&outside), best(&inside)),
        );
    }
}

/// How a program is started.
#[derive(Debug, Clone, Copy)]
pub enum Way {
    /// By fork(2) and execve(2), as shells do.
    Fork,
    /// By the C library's posix_spawn(3). Its child sets each signal's action anew, 120 system calls that the filter
    /// of a berth looks at, too.
    Spawn,
}

impl Way {
    const ALL: [Way; 2] = [Way::Fork, Way::Spawn];

    /// The way of this name.
    pub fn named(name: &str) -> Option<Way> {
        Way::ALL.into_iter().find(|way| way.to_string() == name)
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Way::Fork => "fork",
            Way::Spawn => "posix_spawn",
        })
    }
}

/// Starts so many programs, one after the other, and prints how many nanoseconds one takes.
pub fn start_programs(count: u32, way: Way) {
    // What the login itself leaves to do beside it is over then.
    std::thread::sleep(Duration::from_millis(250));
    let begun = Instant::now();
    for _ in 0..count {
        match way {
            Way::Fork => {
                let child = child(|| {
                    let _ = execve::<&CStr, &CStr>(c"/bin/true", &[c"true"], &[]);
                    // SAFETY: ends the process without running what its parent registered.
                    unsafe { libc::_exit(1) }
                });
                let status = waitpid(child, None).expect("wait");
                assert_eq!(status, WaitStatus::Exited(child, 0));
            }
            Way::Spawn => {
                let status = Command::new("/bin/true").status().expect("start true");
                assert!(status.success());
            }
        }
    }
    println!("{}", (begun.elapsed() / count).as_nanos());
}

fn logout(machine: &Machine) {
    let root = machine.cgroups().root().to_owned();
    let floor = median(
        (0..5)
            .map(|nth| bare_kill(&root.join(format!("bench-kill-{nth}"))))
            .collect(),
    );
    let berth = median((0..5).map(|_| berth_of_many(&root)).collect());
    println!(
        "a logout that leaves {LEFT} processes, milliseconds until its cgroup is gone: {:.1}; cgroup.kill and rmdir alone: {:.1}",
        milliseconds(berth),
        milliseconds(floor)
    );
}

fn leave_processes() {
    for _ in 0..LEFT {
        child(|| {
            loop {
                pause();
            }
        });
    }
}

/// A cgroup with as many processes in it, killed by the bare calls.
fn bare_kill(group: &Path) -> Duration {
    fs::create_dir(group).expect("make a cgroup");
    let (mut ready, mut say_ready) = pipes();
    let parent = child(|| {
        fs::write(group.join("cgroup.procs"), "0").expect("move into it");
        leave_processes();
        say_ready.write_all(&[1]).expect("tell");
        pause();
    });
    ready.read_exact(&mut [0]).expect("processes");
    let start = Instant::now();
    fs::write(group.join("cgroup.kill"), "1").expect("kill");
    // Its children are init's to reap.
    waitpid(parent, None).expect("wait");
    while fs::remove_dir(group).is_err() {}
    start.elapsed()
}

/// The same by a logout: from the end of the login program on, which closes its session last.
fn berth_of_many(root: &Path) -> Duration {
    let (mut ready, mut say_ready) = pipes();
    let (mut over, say_over) = pipes();
    let login = child(|| {
        let session = pam::open(WITH, "bob").expect("a login");
        leave_processes();
        say_ready.write_all(&[1]).expect("tell");
        over.read_exact(&mut [0]).expect("be told");
        session.close();
    });
    ready.read_exact(&mut [0]).expect("processes");
    let group = Process(login.as_raw()).cgroup().expect("a cgroup");
    let group = root.join(group.trim_start_matches('/'));
    assert!(group.join("cgroup.procs").exists(), "{}", group.display());
    let start = Instant::now();
    (&say_over).write_all(&[1]).expect("tell");
    waitpid(login, None).expect("wait");
    while group.exists() {
        assert!(start.elapsed().as_secs() < 60, "it stays");
    }
    start.elapsed()
}
