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
pub mod profiles;
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
    /// What may stop it: the end of what is said then. Whatever else does is an error of the suite's.
    stopped_by: &'static [&'static str],
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
    /// It could not be tried.
    Stuck(String),
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
    /// A private /tmp of a size.
    SizedTmp,
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
    /// The same, where the kernel has cgroup v1.
    RootWithV1,
    /// Who is to be harmed tries it: what protects is that counting is for each owner.
    Victim,
}

/// What most are stopped by: the kernel's answer to who may not.
const DENIED: &[&str] = &["EPERM", "EACCES"];

/// As what an attempt is held that needs root of a user namespace, in a berth in which there can be none.
const NO_USER_NAMESPACE: &str = "no user namespace";

/// All attempts, by class.
pub const CLASSES: &[(&str, &[Attempt])] = &[
    ("processes", processes::ATTEMPTS),
    ("processes", processes::OF_INIT),
    ("processes", processes::TO_INIT),
    ("processes", processes::OF_KEEPER),
    ("processes", processes::TO_KEEPER),
    ("processes", processes::OF_STANDBY),
    ("processes", processes::TO_STANDBY),
    ("processes", processes::OF_APPLICATION),
    ("processes", processes::OF_OUTSIDE),
    ("processes", processes::TO_OUTSIDE),
    ("processes", processes::OF_OTHER),
    ("processes", processes::TO_OTHER),
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
        stopped_by: DENIED,
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
        stopped_by: &["Operation not permitted", "Permission denied"],
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

    const fn stopped_by(self, stopped_by: &'static [&'static str]) -> Attempt {
        Attempt { stopped_by, ..self }
    }

    /// Whether this is what it was to be stopped by, in a berth in which user namespaces can be made or not.
    fn is_stopped_by(&self, why: &str, nested_userns: bool) -> bool {
        match why.strip_prefix(NO_USER_NAMESPACE) {
            Some(errno) => !nested_userns && ["", ": ENOSPC", ": EPERM"].contains(&errno),
            None => self.stopped_by.iter().any(|end| why.ends_with(end)),
        }
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
        match result {
            Ok(_) => Verdict::of(Ok(())),
            Err(error) => match error.raw_os_error() {
                Some(errno) => Verdict::of::<()>(Err(Errno::from_raw(errno))),
                None => Verdict::Stuck(error.to_string()),
            },
        }
    }

    /// The same as root of a user namespace and of a mount namespace of one's own, where the berth lets them be made;
    /// or, for who is the host's root, of no other user namespace than the host's.
    fn nested<T>(then: impl FnOnce() -> Result<T, Errno>) -> Verdict {
        match mounts::nest() {
            Ok(()) => Verdict::of(then()),
            Err(errno) => Verdict::Held(format!("{NO_USER_NAMESPACE}: {errno:?}")),
        }
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
            Verdict::Stuck(why) => write!(to, "STUCK\t{why}"),
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

/// What the library says that failed, as the kernel put it.
fn errno(error: std::io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or_default())
}

/// A path as a system call takes it.
fn pointer(text: &std::ffi::CStr) -> u64 {
    text.as_ptr() as u64
}
