//! What a policy comes to for one login: plain values, nothing left to look up.
//!
//! These are the types that the helper acts on. They are made by [`crate::Policy::decide`] and say
//! nothing of files, lines or inheritance; where a value came from is in
//! [`crate::Explanation`].

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

pub use berth_protocol::OnError;
use serde::{Deserialize, Serialize};

use crate::value::{PathGlob, Percent};

/// What is to be done with a login.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// Berth leaves the login alone.
    Exempt,
    /// The login is refused. The message, if any, is for the user.
    Deny {
        /// The text of the rule's `message`.
        message: Option<String>,
    },
    /// The login gets a berth.
    Berth(Box<Berth>),
}

/// One login's berth, every value worked out for this machine.
#[derive(Debug, Clone, PartialEq)]
pub struct Berth {
    /// The profiles that the login rule lists, joined by `+`, as `berth list` shows them.
    pub profile: String,
    /// Whether failures refuse the login or let it go on without a berth.
    pub on_error: OnError,
    /// What to do when the kernel does not offer a controller that a cap needs.
    pub missing_controller: MissingController,
    /// Whom the user may ask.
    pub contact: Option<String>,
    /// `false`: account and log what would happen, change nothing.
    pub enforce: bool,
    /// Whether the user is told what a cap does to them.
    pub notify: bool,
    /// Whether the user is told their caps at login.
    pub motd: bool,
    /// How many sessions the user may have at once; `None` is any number.
    pub max_sessions: Option<u32>,
    /// Whether the login is moved into a cgroup of its own.
    pub cgroup: CgroupPlace,
    /// Caps of all the user's sessions together (from the user rule).
    pub user_caps: Caps,
    /// Caps of this session alone (from the login rule).
    pub session_caps: Caps,
    /// Resource limits of setrlimit(2), in the order of the policy's keys.
    pub rlimits: Vec<Rlimit>,
    /// The namespaces the login gets.
    pub namespaces: Namespaces,
    /// What the login may gain.
    pub privileges: Privileges,
    /// What happens when the login ends.
    pub logout: Logout,
}

impl Berth {
    /// Whether more is asked for than caps. no_new_privs and a filter of system calls, too, are of one thread: what
    /// another one starts would be without.
    pub fn changes_the_application(&self) -> bool {
        let held = &self.privileges;
        self.namespaces.any() || held.no_new_privs || !held.nested_userns
    }
}

/// What happens to a login of a frozen user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FrozenLogin {
    /// It is refused.
    Deny,
    /// It is let in, and stands until its user is thawed.
    Freeze,
}

/// What a cap does whose controller the kernel does not offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MissingController {
    /// The login fails (and `on_error` decides).
    Deny,
    /// The login goes on without the cap, and the log names it.
    Warn,
}

/// Whether a login gets a cgroup of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CgroupPlace {
    /// The login is moved into a session cgroup under its user's.
    Own,
    /// The login stays where it is (a batch job's cgroup, say); no cap is set.
    Keep,
}

/// A number or no limit at all (the kernel's `max`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Limit {
    /// At most this many.
    Finite(u64),
    /// No limit.
    Infinity,
}

/// The share of CPU time a cgroup gets when there is not enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CpuWeight {
    /// 1 to 10000; 100 is the kernel's default.
    Weight(u16),
    /// Runs only when nobody else wants to (cpu.idle).
    Idle,
}

/// Caps of one cgroup. `None` means that Berth leaves the property alone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caps {
    /// Bytes that are never reclaimed (memory.min).
    pub memory_min: Option<Limit>,
    /// Bytes that are reclaimed only when nothing else is left (memory.low).
    pub memory_low: Option<Limit>,
    /// Bytes past which the cgroup is throttled (memory.high).
    pub memory_high: Option<Limit>,
    /// Bytes past which the cgroup's OOM killer runs (memory.max).
    pub memory_max: Option<Limit>,
    /// Bytes of swap (memory.swap.max).
    pub memory_swap_max: Option<Limit>,
    /// CPU share under contention (cpu.weight, cpu.idle).
    pub cpu_weight: Option<CpuWeight>,
    /// CPU time per second, in microseconds: 1,000,000 is one CPU (cpu.max).
    pub cpu_quota: Option<Limit>,
    /// CPUs the tasks may run on, a kernel list such as `0-3,8` (cpuset.cpus).
    pub allowed_cpus: Option<String>,
    /// NUMA nodes memory may come from, a kernel list (cpuset.mems).
    pub allowed_memory_nodes: Option<String>,
    /// Processes and threads (pids.max).
    pub tasks_max: Option<Limit>,
    /// I/O share under contention, 1 to 10000 (io.weight, io.bfq.weight).
    pub io_weight: Option<u16>,
    /// Bytes per second read, by a path on the device (io.max rbps).
    pub io_read_bandwidth_max: BTreeMap<PathBuf, Limit>,
    /// Bytes per second written (io.max wbps).
    pub io_write_bandwidth_max: BTreeMap<PathBuf, Limit>,
    /// Read operations per second (io.max riops).
    pub io_read_iops_max: BTreeMap<PathBuf, Limit>,
    /// Write operations per second (io.max wiops).
    pub io_write_iops_max: BTreeMap<PathBuf, Limit>,
}

impl Caps {
    /// The ceilings of disks, by the path that each is written with.
    pub fn ceilings(&self) -> [(&'static str, &BTreeMap<PathBuf, Limit>); 4] {
        [
            ("io_read_bandwidth_max", &self.io_read_bandwidth_max),
            ("io_write_bandwidth_max", &self.io_write_bandwidth_max),
            ("io_read_iops_max", &self.io_read_iops_max),
            ("io_write_iops_max", &self.io_write_iops_max),
        ]
    }

    /// Whether nothing is capped.
    pub fn is_empty(&self) -> bool {
        *self == Caps::default()
    }
}

/// A resource of setrlimit(2), by its name in limits.conf(5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)] // the names are those of limits.conf(5), which documents them
pub enum Resource {
    As,
    Core,
    Cpu,
    Data,
    Fsize,
    Locks,
    Memlock,
    Msgqueue,
    Nice,
    Nofile,
    Nproc,
    Rss,
    Rtprio,
    Sigpending,
    Stack,
}

/// One resource limit, in setrlimit's own units (bytes, seconds, or a count).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rlimit {
    /// Which resource.
    pub resource: Resource,
    /// The soft limit.
    pub soft: Limit,
    /// The hard limit.
    pub hard: Limit,
}

/// Which namespaces a login gets, and what is mounted in them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Namespaces {
    /// One berth for each login, or one for all of a user's logins.
    pub scope: Scope,
    /// The user namespace.
    pub user: UserNamespace,
    /// A PID namespace with an init and a /proc of its own.
    pub pid: bool,
    /// System V IPC and POSIX message queues of its own.
    pub ipc: bool,
    /// A mount namespace.
    pub mount: bool,
    /// A host name of its own, which is the host's as it was when the berth was made.
    pub uts: bool,
    /// A network of its own, which has the loopback interface and no other.
    pub net: bool,
    /// A /tmp and /var/tmp of its own.
    pub private_tmp: PrivateTmp,
    /// Names in the host's /tmp that stay visible in a private one.
    pub tmp_keep: Vec<String>,
    /// Bytes of a /dev/shm of its own.
    pub private_shm: Option<u64>,
    /// Whether mounts made on the host later appear inside.
    pub propagation: Propagation,
    /// Where the berth finds the user's service manager.
    pub user_manager: UserManager,
}

impl Namespaces {
    /// The host's, all of them.
    pub const fn none() -> Namespaces {
        Namespaces {
            scope: Scope::Session,
            user: UserNamespace::Off,
            pid: false,
            ipc: false,
            mount: false,
            uts: false,
            net: false,
            private_tmp: PrivateTmp::Off,
            tmp_keep: Vec::new(),
            private_shm: None,
            propagation: Propagation::Slave,
            user_manager: UserManager::Host,
        }
    }

    /// Whether any namespace is asked for at all.
    pub fn any(&self) -> bool {
        !self.kinds().is_empty()
    }

    /// The kinds that are asked for, by the policy's names.
    pub fn kinds(&self) -> Vec<&'static str> {
        let kinds = [
            (self.user != UserNamespace::Off, "user"),
            (self.pid, "pid"),
            (self.ipc, "ipc"),
            (self.mount, "mount"),
            (self.uts, "uts"),
            (self.net, "net"),
        ];
        let wanted = kinds.into_iter().filter(|(wanted, _)| *wanted);
        wanted.map(|(_, kind)| kind).collect()
    }
}

/// Who shares a berth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Each login has its own.
    Session,
    /// All logins of a user whose resolved namespaces and privileges are equal share one.
    User,
}

/// The user namespace of a berth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UserNamespace {
    /// None: the login keeps the host's.
    Off,
    /// Every UID and GID of the host's, mapped to itself.
    Identity,
    /// Only UID 0, the user, and the groups the login has.
    Minimal,
}

/// A /tmp and /var/tmp of the berth's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PrivateTmp {
    /// The host's.
    Off,
    /// A tmpfs of at most so many bytes, charged to the user's memory.
    Tmpfs(u64),
    /// A directory on disk, removed when the berth ends.
    Disk,
}

/// Propagation of mount events into the berth (mount_namespaces(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Propagation {
    /// The host's later mounts (an automounted home) appear inside, never the other way.
    Slave,
    /// Nothing crosses.
    Private,
}

/// What of the user's service manager (`user@UID.service`) there is in a berth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UserManager {
    /// The host's.
    Host,
    /// None: its sockets are out of reach.
    Hidden,
    /// One that runs in the berth.
    Isolated,
}

/// What a login may gain by exec and by new namespaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Privileges {
    /// Setuid, setgid and file capabilities have no effect.
    pub no_new_privs: bool,
    /// The user may make user namespaces inside.
    pub nested_userns: bool,
}

impl Privileges {
    /// All that a login has by itself.
    pub const fn all() -> Privileges {
        Privileges {
            no_new_privs: false,
            nested_userns: true,
        }
    }
}

/// What is watched of a user, and what becomes of who is above it for long, worked out for this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Penalty {
    /// The policy's name for it.
    pub name: String,
    /// CPU time per second, in microseconds: a mean above this is an offence.
    pub cpu_above: Option<u64>,
    /// Bytes: a mean above this is an offence.
    pub memory_above: Option<u64>,
    /// The time that the means are over.
    pub window: Duration,
    /// Programs whose CPU time does not count.
    pub except: Vec<PathGlob>,
    /// What is left of the user's CPU quota, one offence after another.
    pub steps: Vec<Percent>,
    /// How long each lasts.
    pub step_time: Duration,
    /// So long after the end of a step without another offence, the next one is the first.
    pub forget: Duration,
}

/// Where it is written what sessions have used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accounting {
    /// The file; `None` is none.
    pub file: Option<PathBuf>,
    /// Past this size, in bytes, it is set aside.
    pub max_size: u64,
    /// How long it is then kept.
    pub keep: Duration,
    /// Whether journald gets the log's lines with fields of their own, where it runs.
    pub journal: bool,
}

/// What happens when a login ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Logout {
    /// How long processes may stay after the end of the login; `None` is for as long as they like.
    pub linger: Option<Duration>,
    /// Time between SIGTERM and `cgroup.kill`.
    pub grace: Duration,
}
