//! What a login is like, from inside and from the host: all that makes up a berth, in words that are the same for each
//! good login.

use std::collections::BTreeSet;
use std::fs;
use std::net::UdpSocket;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use super::host::Host;
use crate::{Process, within};

/// What ends a login's account of itself.
pub const END: &str = "END";

/// The namespaces that a berth may have of its own.
const NAMESPACES: [&str; 8] = ["cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"];

/// The lines of /proc/PID/status that say what a process may do.
const RIGHTS: [&str; 10] = [
    "NoNewPrivs",
    "Seccomp",
    "Seccomp_filters",
    "CapInh",
    "CapPrm",
    "CapEff",
    "CapBnd",
    "CapAmb",
    "Uid",
    "Groups",
];

/// What is the same for each good login.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Traits(BTreeSet<String>);

impl Traits {
    /// What this has and the other has not, and the other way round.
    pub fn differences(&self, other: &Traits) -> Vec<String> {
        let more = self.0.difference(&other.0).map(|one| format!("has {one}"));
        let less = other
            .0
            .difference(&self.0)
            .map(|one| format!("lacks {one}"));
        more.chain(less).collect()
    }

    /// Whether the other has all of these.
    pub fn are_of(&self, other: &Traits) -> bool {
        self.0.is_subset(&other.0)
    }

    /// Whether lines with one of these texts are all that the two differ by.
    pub fn differ_by(&self, other: &Traits, texts: &[&str]) -> bool {
        let differences = self.differences(other);
        let is_one = |line: &String| texts.iter().any(|text| line.contains(text));
        differences.iter().all(is_one)
    }

    /// Whether this is the other but for its private /tmp, which is there, and in memory.
    pub fn has_its_tmp_in_memory(&self, other: &Traits) -> bool {
        let has = |text| self.0.iter().any(|line| line.starts_with(text));
        has("mount /tmp of /tmp ")
            && has("mount /var/tmp of /var-tmp ")
            && self.differ_by(other, &["mount /tmp ", "mount /var/tmp "])
    }

    /// The lines of a login's account that came before its last one, as far as it came.
    pub fn said(account: &str) -> Traits {
        let whole = account.trim_end().rsplit_once('\n').map_or("", |it| it.0);
        Traits(whole.lines().map(as_outside).collect())
    }

    /// What the processes of Berth's may do, as soon as all have given up what they do not need, and in any case before long.
    pub fn of_guards() -> Traits {
        let all = || ["berth-helper", "berth-init"].map(Process::named).concat();
        within(Duration::from_secs(5), || {
            let filtered = |one: &Process| one.status("Seccomp").is_none_or(|mode| mode == "2");
            all().iter().all(filtered)
        });
        let mut traits = BTreeSet::new();
        for process in all() {
            let mut say = |what: &str| traits.insert(format!("{} {what}", process.name()));
            for field in RIGHTS {
                // One that is gone has none.
                if let Some(value) = process.status(field) {
                    say(&format!("{field} {value}"));
                }
            }
            let folder = PathBuf::from(format!("/proc/{}", process.0));
            if let Ok(file) = fs::metadata(folder.join("environ")) {
                say(&format!("is dumpable: {}", file.uid() != 0));
            }
            if process.name() == "berth-init" {
                let open = fs::read_dir(folder.join("fd")).into_iter().flatten();
                say(&format!("has {} descriptors", open.count()));
            }
        }
        Traits(traits)
    }

    /// A login's account of itself, and what the host sees of it. `None` where the account has no end, since the login
    /// has ended before.
    pub fn of(machine: &dyn Host, user: &str, account: &str) -> Option<Traits> {
        let account = account.strip_suffix(END)?;
        let mut traits: BTreeSet<String> = account.lines().map(as_outside).collect();
        let mut all = machine.processes_of(user).into_iter();
        // One that is gone has ended early, which is seen elsewhere.
        let process = all.find(|one| one.name() == "berth-faults")?;
        for line in seen_from_the_host(machine, user, process) {
            traits.insert(format!("to the host, {line}"));
        }
        Some(Traits(traits))
    }
}

/// A line of an account, with `own` or `host's` in the place of a number that is another one each time.
fn as_outside(line: &str) -> String {
    let parts = line.split_once(" = ");
    match parts.and_then(|(what, value)| Some((what.strip_prefix("namespace ")?, value))) {
        Some((kind, value)) => {
            let is_own = value != own_namespace(kind);
            format!("namespace {kind}: {}", whose(is_own))
        }
        None => without_numbers(line),
    }
}

fn whose(is_own: bool) -> &'static str {
    if is_own { "own" } else { "host's" }
}

/// With no session's number in its cgroup, its record or its private /tmp: they count up.
fn without_numbers(line: &str) -> String {
    let mut line = line.to_owned();
    for before in ["/sessions/", "/var/lib/berth/tmp/", "/session-", "/berth-"] {
        if let Some((start, rest)) = line.split_once(before) {
            let is_of_number = |c: char| c.is_ascii_digit() || c == 'c'; // logind's own begin so
            let rest = rest.trim_start_matches(is_of_number);
            line = format!("{start}{before}N{rest}");
        }
    }
    line
}

fn own_namespace(kind: &str) -> String {
    let link = fs::read_link(format!("/proc/self/ns/{kind}")).unwrap_or_default();
    link.display().to_string()
}

/// A new one is called _ses; who has none is shown their user's.
fn session_keyring() -> String {
    let shown = Command::new("keyctl").args(["show", "@s"]).output();
    let shown = shown.map(|shown| String::from_utf8_lossy(&shown.stdout).into_owned());
    let shown = shown.unwrap_or_default();
    let line = shown.lines().nth(1).unwrap_or_default();
    line.split_whitespace().last().unwrap_or("none").to_owned()
}

/// What the host sees of a process of the login's.
fn seen_from_the_host(machine: &dyn Host, user: &str, process: Process) -> Vec<String> {
    let cgroup = process.cgroup().unwrap_or_default();
    let mut seen: Vec<String> = ["NoNewPrivs", "Seccomp", "CapBnd"]
        .iter()
        .map(|field| format!("{field} {}", process.status(field).unwrap_or_default()))
        .collect();
    for kind in NAMESPACES {
        let is_own = process.namespace(kind) != Process::own().namespace(kind);
        seen.push(format!("namespace {kind}: {}", whose(is_own)));
    }
    seen.push(without_numbers(&format!("it is in {cgroup}")));
    seen.push(format!(
        "oom_score_adj {}",
        process.file("oom_score_adj").trim()
    ));
    let folder = machine.cgroup_of(user);
    for file in ["pids.max", "memory.max", "cpu.max"] {
        let value = fs::read_to_string(folder.join(file)).unwrap_or_default();
        seen.push(format!("the user's {file} {}", value.trim()));
    }
    let records = fs::read_dir("/run/berth/sessions").into_iter().flatten();
    let mut records = records
        .flatten()
        .filter_map(|file| fs::read_to_string(file.path()).ok());
    let here = format!("\"{}\"", cgroup.trim_start_matches('/'));
    let is_active = records.any(|text| text.contains(&here) && text.contains("\"active\""));
    seen.push(format!("it has an active record: {is_active}"));
    // One more where a login is not in the berth that it should have joined.
    let inits = Process::named("berth-init").into_iter();
    let inits = inits.filter(|init| !init.is_zombie()).count();
    seen.push(format!("berths {inits}"));
    seen
}

/// Says what the login is like in which this runs, and waits for the end of its input.
pub fn account() {
    let me = Process::own();
    for field in RIGHTS {
        println!("{field} {}", me.status(field).unwrap_or_default());
    }
    for kind in NAMESPACES {
        println!("namespace {kind} = {}", own_namespace(kind));
    }
    let socket = UdpSocket::bind("0.0.0.0:0");
    let loopback = socket.and_then(|socket| socket.connect("127.0.0.1:9"));
    println!("its loopback is up: {}", loopback.is_ok());
    println!("session keyring {}", session_keyring());
    println!("PID 1 is {}", Process(1).name());
    let strangers = Process::all().into_iter().filter(|one| {
        let name = one.name();
        ![
            "berth-init",
            "berth-faults",
            "sh",
            "keyctl",
            "sshd",
            "sshd-session",
        ]
        .contains(&&*name)
    });
    println!("sees other processes: {}", strangers.count() > 0);
    for line in me.file("mountinfo").lines() {
        let (own, device) = line.split_once(" - ").unwrap_or((line, ""));
        let mut own = own.split(' ').skip(3);
        let (root, at) = (
            own.next().unwrap_or_default(),
            own.next().unwrap_or_default(),
        );
        if ["/proc", "/tmp", "/var/tmp", "/dev/shm", "/dev/mqueue"].contains(&at)
            || at.starts_with("/run")
            || at.starts_with("/sys/fs/cgroup")
        {
            let options = own.next().unwrap_or_default();
            println!("mount {at} of {root} {options} {device}");
        }
    }
    for line in me.file("limits").lines() {
        println!("{}", line.split_whitespace().collect::<Vec<_>>().join(" "));
    }
    println!("oom_score_adj {}", me.file("oom_score_adj").trim());
    println!("is in {}", me.cgroup().unwrap_or_default());
    for map in ["uid_map", "gid_map"] {
        let map = me.file(map);
        println!(
            "map {}",
            map.split_whitespace().collect::<Vec<_>>().join(" ")
        );
    }
    let nested = fs::read_to_string("/proc/sys/user/max_user_namespaces");
    println!(
        "no nested user namespaces: {}",
        nested.is_ok_and(|most| most.trim() == "0")
    );
    println!(
        "knows its session: {}",
        std::env::var_os("BERTH_SESSION").is_some()
    );
    let here = std::env::current_dir().unwrap_or_default();
    println!("is at {}", here.display());
    for entry in fs::read_dir("/proc/self/fd")
        .into_iter()
        .flatten()
        .flatten()
    {
        let target = fs::read_link(entry.path()).unwrap_or_default();
        let target = target.display().to_string();
        let kind = target.split(['[', ':']).next().unwrap_or_default();
        let kind = if kind.starts_with("/proc/") {
            "/proc"
        } else {
            kind
        };
        println!("has open {kind}");
    }
    println!("{END}");
    let _ = std::io::stdin().read_line(&mut String::new()); // it ends with the connection
}
