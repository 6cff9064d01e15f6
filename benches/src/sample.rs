//! Taking samples: each in a process of its own, which is forked, logs in, and ends.

use std::fs::File;
use std::io::{Read, Write};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, fork, pipe};

use crate::floor;
use crate::pam::{self, PAM_NAMESPACE, SESSION_LINE, WITH, WITHOUT};

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The bare system calls.
    Floor,
    /// `pam_open_session` without Berth.
    Plain,
    /// With Berth: namespaces.
    Namespaces,
    /// With Berth: namespaces and the move into a cgroup.
    Cgroup,
    /// Namespaces again, where Berth has no line in the account phase and so no helper that waits.
    SessionLine,
    /// `pam_acct_mgmt` with Berth.
    Account,
    /// `pam_close_session` with Berth, of namespaces and a cgroup.
    Close,
    /// `pam_open_session` with pam_namespace in Berth's place, for a /tmp of the user's own.
    PamNamespace,
    /// `bwrap` with the same namespaces, from its start to its end around `true`.
    Bubblewrap,
    /// `true` alone.
    True,
}

impl Kind {
    /// All of them, in the order in which they are measured.
    pub const ALL: [Kind; 10] = [
        Kind::Floor,
        Kind::Plain,
        Kind::Namespaces,
        Kind::Cgroup,
        Kind::SessionLine,
        Kind::Account,
        Kind::Close,
        Kind::PamNamespace,
        Kind::True,
        Kind::Bubblewrap,
    ];

    /// What it is compared with, if it is more than that.
    pub fn base(self) -> Option<Kind> {
        match self {
            Kind::Floor | Kind::Plain | Kind::True => None,
            Kind::Bubblewrap => Some(Kind::True),
            _ => Some(Kind::Plain),
        }
    }

    /// Does it once, and says how long that took.
    pub fn once(self) -> Result<Duration, String> {
        let (service, user) = match self {
            Kind::Floor => {
                let start = Instant::now();
                let kept = floor::enter().map_err(|error| format!("the floor: {error}"))?;
                let took = start.elapsed();
                drop(kept);
                return Ok(took);
            }
            Kind::True => return program(&["true"]),
            Kind::Bubblewrap => return program(&BUBBLEWRAP),
            Kind::Plain => (WITHOUT, "alice"),
            Kind::PamNamespace => (PAM_NAMESPACE, "alice"),
            Kind::Namespaces | Kind::Account => (WITH, "alice"),
            Kind::SessionLine => (SESSION_LINE, "alice"),
            Kind::Cgroup | Kind::Close => (WITH, "bob"),
        };
        let session = pam::open(service, user)?;
        let (account, open) = (session.account, session.open);
        let start = Instant::now();
        session.close();
        Ok(match self {
            Kind::Account => account,
            Kind::Close => start.elapsed(),
            _ => open,
        })
    }
}

/// The user's program in the same namespaces as a berth's.
const BUBBLEWRAP: [&str; 10] = [
    "bwrap",
    "--unshare-user",
    "--unshare-pid",
    "--unshare-ipc",
    "--dev-bind",
    "/",
    "/",
    "--proc",
    "/proc",
    "true",
];

/// Runs a program to its end.
fn program(words: &[&str]) -> Result<Duration, String> {
    let (name, arguments) = words.split_first().ok_or("no program")?;
    let start = Instant::now();
    let status = Command::new(name).args(arguments).status();
    let took = start.elapsed();
    match status {
        Ok(status) if status.success() => Ok(took),
        other => Err(format!("{name}: {other:?}")),
    }
}

/// How the samples follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Regime {
    /// Back to back.
    Hot,
    /// After so much quiet.
    Cold(Duration),
}

/// The samples of one regime: of each kind, sorted.
#[derive(Debug, Clone)]
pub struct Measured<K> {
    /// How they followed each other.
    pub regime: Regime,
    samples: Vec<(K, Vec<Duration>)>,
}

impl Regime {
    /// Takes so many samples of each kind. Cold ones of the kinds take turns, so that a disturbance hits all alike.
    pub fn measure<K: Copy>(
        self,
        samples: usize,
        kinds: &[K],
        once: fn(K) -> Result<Duration, String>,
    ) -> Measured<K> {
        let mut taken: Vec<(K, Vec<Duration>)> =
            kinds.iter().map(|kind| (*kind, Vec::new())).collect();
        for kind in kinds {
            // Whatever is read from disk is in memory from here on.
            forked(*kind, once);
        }
        match self {
            Regime::Hot => {
                for (kind, taken) in &mut taken {
                    taken.extend((0..samples).map(|_| forked(*kind, once)));
                }
            }
            Regime::Cold(quiet) => {
                for _ in 0..samples {
                    for (kind, taken) in &mut taken {
                        sleep(quiet);
                        taken.push(forked(*kind, once));
                    }
                }
            }
        }
        for (_, taken) in &mut taken {
            taken.sort_unstable();
        }
        Measured {
            regime: self,
            samples: taken,
        }
    }

    /// Its name in a report.
    pub fn name(self) -> &'static str {
        match self {
            Regime::Hot => "hot",
            Regime::Cold(_) => "cold",
        }
    }
}

/// Three figures of one kind of sample.
#[derive(Debug, Clone, Copy)]
pub struct Figures {
    /// Half of the samples took no longer.
    pub p50: Duration,
    /// 99 of 100 took no longer.
    pub p99: Duration,
    /// None took longer.
    pub max: Duration,
}

impl Figures {
    /// Those of times that are in order.
    pub fn of(sorted: &[Duration]) -> Figures {
        let at = |percent: usize| {
            let index = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
            sorted.get(index).copied().unwrap_or_default()
        };
        Figures {
            p50: at(50),
            p99: at(99),
            max: at(100),
        }
    }
}

impl<K: PartialEq> Measured<K> {
    /// The figures of one kind.
    pub fn figures(&self, kind: K) -> Figures {
        let samples = self.samples.iter().find(|(of, _)| *of == kind);
        Figures::of(samples.map_or(&[], |(_, samples)| samples))
    }

    /// How much longer one kind takes than another, by their medians.
    pub fn added(&self, kind: K, to: K) -> Duration {
        let base = self.figures(to).p50;
        self.figures(kind).p50.saturating_sub(base)
    }
}

/// A time as it is printed.
pub fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// Takes one sample in a forked process, and waits for that to end.
pub fn forked<K>(kind: K, once: fn(K) -> Result<Duration, String>) -> Duration {
    let (mut from, mut into) = pipes();
    // SAFETY: the child uses nothing that another thread of this process could hold but the allocator,
    // which glibc makes usable after fork.
    match unsafe { fork() }.expect("fork") {
        ForkResult::Child => {
            drop(from);
            let code = match once(kind) {
                Ok(took) => {
                    let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
                    // The parent notices what is missing.
                    let _ = into.write_all(&nanoseconds.to_ne_bytes());
                    0
                }
                Err(error) => {
                    eprintln!("berth-bench: {error}");
                    1
                }
            };
            // SAFETY: ends the process without running what its parent registered.
            unsafe { libc::_exit(code) }
        }
        ForkResult::Parent { child } => {
            drop(into);
            let mut bytes = [0; 8];
            from.read_exact(&mut bytes).expect("a sample");
            waitpid(child, None).expect("wait");
            Duration::from_nanos(u64::from_ne_bytes(bytes))
        }
    }
}

/// The two ends of a pipe.
pub fn pipes() -> (File, File) {
    let (from, into) = pipe().expect("pipe");
    (from.into(), into.into())
}
