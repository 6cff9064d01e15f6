//! Taking samples: each in a process of its own, which is forked, logs in, and ends.

use std::fs::File;
use std::io::{Read, Write};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, fork, pipe};

use crate::floor;
use crate::pam::{self, SESSION_LINE, WITH, WITHOUT};

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
}

impl Kind {
    /// All of them, in the order in which they are measured.
    pub const ALL: [Kind; 6] = [
        Kind::Floor,
        Kind::Plain,
        Kind::Namespaces,
        Kind::Cgroup,
        Kind::SessionLine,
        Kind::Account,
    ];

    fn once(self) -> Result<Duration, String> {
        let (service, user) = match self {
            Kind::Floor => {
                let start = Instant::now();
                let kept = floor::enter().map_err(|error| format!("the floor: {error}"))?;
                let took = start.elapsed();
                drop(kept);
                return Ok(took);
            }
            Kind::Plain => (WITHOUT, "alice"),
            Kind::Namespaces | Kind::Account => (WITH, "alice"),
            Kind::SessionLine => (SESSION_LINE, "alice"),
            Kind::Cgroup => (WITH, "bob"),
        };
        let session = pam::open(service, user)?;
        let took = match self {
            Kind::Account => session.account,
            _ => session.open,
        };
        session.close();
        Ok(took)
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

/// The samples of one regime.
#[derive(Debug, Clone)]
pub struct Measured {
    /// How they followed each other.
    pub regime: Regime,
    /// Of each kind, sorted.
    pub samples: Vec<(Kind, Vec<Duration>)>,
}

/// Takes the samples of one regime.
#[derive(Debug)]
pub struct Sampler {
    regime: Regime,
    samples: usize,
}

impl Sampler {
    /// So many samples of each kind.
    pub fn new(regime: Regime, samples: usize) -> Sampler {
        Sampler { regime, samples }
    }

    /// Measures everything. Cold samples of the kinds take turns, so that a disturbance hits all alike.
    pub fn measure(&self) -> Measured {
        let mut samples: Vec<(Kind, Vec<Duration>)> =
            Kind::ALL.iter().map(|kind| (*kind, Vec::new())).collect();
        for (kind, _) in &samples {
            // Whatever is read from disk is in memory from here on.
            forked(*kind);
        }
        match self.regime {
            Regime::Hot => {
                for (kind, taken) in &mut samples {
                    taken.extend((0..self.samples).map(|_| forked(*kind)));
                }
            }
            Regime::Cold(quiet) => {
                for _ in 0..self.samples {
                    for (kind, taken) in &mut samples {
                        sleep(quiet);
                        taken.push(forked(*kind));
                    }
                }
            }
        }
        for (_, taken) in &mut samples {
            taken.sort_unstable();
        }
        Measured {
            regime: self.regime,
            samples,
        }
    }
}

/// Takes one sample in a forked process, and waits for that to end.
fn forked(kind: Kind) -> Duration {
    let (mut from, mut into) = pipes();
    // SAFETY: the child uses nothing that another thread of this process could hold but the allocator,
    // which glibc makes usable after fork.
    match unsafe { fork() }.expect("fork") {
        ForkResult::Child => {
            drop(from);
            let code = match kind.once() {
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
