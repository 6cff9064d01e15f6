//! Ways out of a berth: every attempt is a small program that says whether it led out.
//!
//! The lists are by class, a file each. The program `berth-escape` tries them ([`trying`]), and sets the stage for that
//! on a machine of its own ([`suite`]).

mod cgroups;
mod descriptors;
mod exhaustion;
mod ipc;
mod keyrings;
mod mounts;
mod namespaces;
mod privileges;
mod processes;
mod profiles;
mod stage;
pub mod suite;
pub mod table;
mod targets;
mod terminals;
pub mod trying;

use std::fmt;

use nix::errno::Errno;

pub use exhaustion::observe;
use targets::Targets;

/// One way that somebody tries who wants out.
#[derive(Debug)]
pub struct Attempt {
    /// Its name within its class.
    pub name: &'static str,
    /// What it tries, in a few words.
    pub tries: &'static str,
    /// Which berths promise that it fails.
    pub promise: Promise,
    /// How it is shown to lead out where nothing protects.
    pub without: Without,
    way: Way,
}

/// What it does.
#[derive(Debug)]
enum Way {
    /// It has led out if the shell's script ends with success.
    Shell(&'static str),
    /// It says so itself.
    Call(fn(&Targets) -> Verdict),
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It led out.
    Escaped(String),
    /// It was stopped.
    Held(String),
}

/// What a profile must have for the attempt to be in vain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Promise {
    /// PID, IPC and mount namespaces with a private /tmp, as all examples have.
    Namespaces,
    /// A user namespace, and with it `no_new_privs`.
    UserNamespace,
    /// That no user namespace may be made.
    NoNestedUserns,
    /// `scope = "session"`.
    OwnBerth,
    /// A private /dev/shm.
    PrivateShm,
    /// That the user's service manager is out of reach.
    NoManager,
    /// A network of its own.
    Network,
    /// Nothing: it leads out of every berth, for this reason, and the threat model says so.
    Nothing(&'static str),
}

/// How an attempt is shown to lead out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Without {
    /// The user tries it without a berth.
    NoBerth,
    /// The host's root tries it: what protects is that nobody inside is that.
    HostRoot,
    /// The host's root tries it, where root has CAP_SYS_RESOURCE. On some virtual machines it does not.
    ResourceRoot,
    /// The host's root tries it in the berth's namespaces, all but the user namespace.
    RootInside,
    /// The host's root tries it in the berth's mount namespace, but in the host's PID namespace.
    RootInMounts,
    /// Who is to be harmed tries it: what protects is that counting is for each owner.
    Victim,
    /// It cannot be shown, for this reason.
    Never(&'static str),
}

/// All attempts, by class.
pub const CLASSES: &[(&str, &[Attempt])] = &[
    ("processes", processes::ATTEMPTS),
    ("namespaces", namespaces::ATTEMPTS),
    ("descriptors", descriptors::ATTEMPTS),
    ("mounts", mounts::ATTEMPTS),
    ("cgroups", cgroups::ATTEMPTS),
    ("privileges", privileges::ATTEMPTS),
    ("ipc", ipc::ATTEMPTS),
    ("keyrings", keyrings::ATTEMPTS),
    ("terminals", terminals::ATTEMPTS),
    ("exhaustion", exhaustion::ATTEMPTS),
];

/// Every attempt with its whole name, `class/name`.
pub fn all() -> impl Iterator<Item = (String, &'static Attempt)> {
    CLASSES.iter().flat_map(|(class, attempts)| {
        let named = move |attempt: &'static Attempt| (format!("{class}/{}", attempt.name), attempt);
        attempts.iter().map(named)
    })
}

/// One that every example's berth holds against, and that only the host's root can do.
const fn call(name: &'static str, tries: &'static str, way: fn(&Targets) -> Verdict) -> Attempt {
    Attempt {
        name,
        tries,
        promise: Promise::Namespaces,
        without: Without::HostRoot,
        way: Way::Call(way),
    }
}

/// The same as a script.
const fn shell(name: &'static str, tries: &'static str, script: &'static str) -> Attempt {
    Attempt {
        name,
        tries,
        promise: Promise::Namespaces,
        without: Without::HostRoot,
        way: Way::Shell(script),
    }
}

impl Attempt {
    const fn promised_by(self, promise: Promise) -> Attempt {
        Attempt { promise, ..self }
    }

    const fn without(self, without: Without) -> Attempt {
        Attempt { without, ..self }
    }
}

impl Verdict {
    /// Led out if the call succeeded.
    fn of<T>(result: Result<T, Errno>) -> Verdict {
        Verdict::but(result, &[])
    }

    /// The same, where the kernel has these complaints only after it has looked at the caller's rights.
    fn but<T>(result: Result<T, Errno>, let_in: &[Errno]) -> Verdict {
        match result {
            Ok(_) => Verdict::Escaped("done".into()),
            Err(errno) if let_in.contains(&errno) => {
                Verdict::Escaped(format!("let in, then {errno:?}"))
            }
            Err(errno) => Verdict::Held(format!("{errno:?}")),
        }
    }

    /// The same of a call of the library's.
    fn of_io<T>(result: std::io::Result<T>) -> Verdict {
        let errno = |error: std::io::Error| error.raw_os_error().unwrap_or_default();
        Verdict::of(result.map_err(|error| Errno::from_raw(errno(error))))
    }

    /// Led out if there is something.
    fn found(what: Option<String>) -> Verdict {
        match what {
            Some(what) => Verdict::Escaped(what),
            None => Verdict::Held("nothing there".into()),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Verdict::Escaped(why) => write!(to, "ESCAPED\t{why}"),
            Verdict::Held(why) => write!(to, "HELD\t{why}"),
        }
    }
}

/// A system call as it is: attempts ask for what no library offers.
fn system_call(number: libc::c_long, arguments: &[u64]) -> Result<i64, Errno> {
    let mut all = [0; 6];
    all[..arguments.len()].copy_from_slice(arguments);
    let [a, b, c, d, e, f] = all;
    // SAFETY: pointers among the arguments are to what outlives the call, or to nothing: then the kernel says EFAULT.
    Errno::result(unsafe { libc::syscall(number, a, b, c, d, e, f) })
}

/// A path as a system call takes it.
fn pointer(text: &std::ffi::CStr) -> u64 {
    text.as_ptr() as u64
}
