//! Whether logins take longer where many are logged in.

use std::fs;
use std::time::Duration;

use berth_tests::Machine;

use crate::crowd::Crowd;
use crate::sample::{Kind, Regime, milliseconds};

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

/// Of fewer sessions the memory cannot be told from what the machine has more or less from one moment to the next.
const ENOUGH: usize = 500;

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
    let before = Memory::now();
    if sizes.iter().any(|size| *size >= ENOUGH) {
        let mut crowd = Crowd::new();
        for nth in 0..ENOUGH {
            crowd.log_in_without_berth(&user(nth));
        }
        before.print(ENOUGH, "without Berth, ");
    }
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
                    crate::table::label(kind),
                    milliseconds(figures.p50),
                    milliseconds(figures.p99),
                    figures.p50.as_secs_f64() / base.as_secs_f64(),
                );
                medians.push(figures.p50);
            }
        }
        if *size >= ENOUGH {
            before.print(*size, "");
        }
        println!();
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
    /// Prints what each of so many sessions has taken since.
    fn print(&self, sessions: usize, which: &str) {
        let now = Memory::now();
        let each = |then: u64, now: u64| now.saturating_sub(then) / sessions as u64;
        println!(
            "{sessions:>8}  {which}memory for each session: {} KiB, of which the kernel has {} KiB",
            each(now.available, self.available),
            each(self.kernel, now.kernel)
        );
    }

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
