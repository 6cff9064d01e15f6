//! Sessions that stay open while others are measured, and whether those take longer where many are.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::time::Duration;

use berth_tests::Machine;
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, fork};

use crate::pam::{self, WITH};
use crate::sample::{Kind, Regime, milliseconds, pipes};

/// Open sessions. Dropped, they end.
#[derive(Debug)]
pub struct Crowd {
    logins: Vec<Pid>,
    /// Each login reads here, until nobody can write any more.
    over: File,
    keep: Option<File>,
}

impl Crowd {
    /// None yet.
    pub fn new() -> Crowd {
        let (over, keep) = pipes();
        Crowd {
            logins: Vec::new(),
            over,
            keep: Some(keep),
        }
    }

    /// Opens a session in a process of its own.
    pub fn log_in(&mut self, user: &str) {
        let (mut opened, mut say_opened) = pipes();
        // SAFETY: as in sample.rs.
        match unsafe { fork() }.expect("fork") {
            ForkResult::Child => {
                drop((opened, self.keep.take()));
                let session = pam::open(WITH, user);
                let said = say_opened.write_all(&[u8::from(session.is_ok())]);
                // The end of file ends all sessions.
                let waited = self.over.read(&mut [0]);
                drop((said, waited));
                if let Ok(session) = session {
                    session.close();
                }
                // SAFETY: ends the process without running what its parent registered.
                unsafe { libc::_exit(0) }
            }
            ForkResult::Parent { child } => self.logins.push(child),
        }
        drop(say_opened);
        let mut one = [0];
        opened.read_exact(&mut one).expect("a login");
        assert_eq!(one, [1], "a login failed");
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.logins.len()
    }

    /// Whether this process is one that logged in.
    pub fn has(&self, process: i32) -> bool {
        self.logins.iter().any(|login| login.as_raw() == process)
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.keep.take();
        for login in self.logins.drain(..) {
            waitpid(login, None).expect("wait");
        }
    }
}

/// What may depend on how many are logged in.
const KINDS: [Kind; 6] = [
    Kind::Floor,
    Kind::Plain,
    Kind::Namespaces,
    Kind::Cgroup,
    Kind::Account,
    Kind::Close,
];

/// How many users share the crowd's sessions.
const USERS: usize = 50;

/// The user of a session of the crowd's.
fn user(nth: usize) -> String {
    format!("crowd{}", nth % USERS)
}

/// The rule for the crowd's users.
pub const RULE: &str = "[[rule]]\nuser    = \"crowd*\"\nprofile = \"cgroup\"\n";

/// Measures logins while so many others are logged in, each number larger than the one before.
pub fn measure(machine: &mut Machine, sizes: &[usize], samples: usize) {
    for nth in 0..USERS {
        machine.add_user(&user(nth));
    }
    println!(
        "logins while others are logged in ({USERS} users), in the median, milliseconds, and as a multiple of what it takes\n\
         with {} of them; memory for each session: all that the machine has less, the kernel's part of it\n",
        sizes.first().copied().unwrap_or_default()
    );
    println!(
        "{:>8}  {:<7} {:<22} {:>8} {:>8}  {:>6}",
        "sessions", "regime", "what", "p50", "p99", "times"
    );
    let mut crowd = Crowd::new();
    let mut first: Vec<Duration> = Vec::new();
    let before = Memory::now();
    for size in sizes {
        while crowd.len() < *size {
            crowd.log_in(&user(crowd.len()));
        }
        let regimes = [
            (Regime::Hot, samples),
            (Regime::Cold(Duration::from_millis(250)), samples / 10),
        ];
        let mut medians = Vec::new();
        for (regime, samples) in regimes {
            let measured = regime.measure(samples, &KINDS, Kind::once);
            for kind in KINDS {
                let figures = measured.figures(kind);
                let base = first.get(medians.len()).copied().unwrap_or(figures.p50);
                println!(
                    "{size:>8}  {:<7} {:<22} {:>8.3} {:>8.3}  {:>6.2}",
                    regime.name(),
                    crate::report::label(kind),
                    milliseconds(figures.p50),
                    milliseconds(figures.p99),
                    figures.p50.as_secs_f64() / base.as_secs_f64(),
                );
                medians.push(figures.p50);
            }
        }
        let now = Memory::now();
        let each = |then: u64, now: u64| (now.saturating_sub(then)) / *size as u64;
        println!(
            "{size:>8}  memory for each session: {} KiB, of which the kernel has {} KiB\n",
            each(now.available, before.available),
            each(before.kernel, now.kernel)
        );
        if first.is_empty() {
            first = medians;
        }
    }
}

/// In KiB, as /proc/meminfo has it.
struct Memory {
    available: u64,
    /// What the kernel has for itself.
    kernel: u64,
}

impl Memory {
    fn now() -> Memory {
        let text = fs::read_to_string("/proc/meminfo").expect("read /proc/meminfo");
        let value = |name: &str| {
            let mut lines = text.lines();
            let line = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            let value = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
            value.unwrap_or_default()
        };
        let of_kernel = ["Slab", "KernelStack", "PageTables", "Percpu", "VmallocUsed"];
        Memory {
            available: value("MemAvailable"),
            kernel: of_kernel.iter().map(|name| value(name)).sum(),
        }
    }
}
