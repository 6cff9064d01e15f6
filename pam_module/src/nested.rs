//! Whether the process that asks is in a berth already.
//!
//! A daemon that was started inside one (`service ssh restart` typed by a user) must not put everybody's
//! logins into it. Seen from in there, the session's init is PID 1; and the session's record, which only
//! root can write, has the inode numbers of its namespaces.

use std::fmt;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Mutex;

use berth_protocol::{INIT, Stat, namespace};
use serde::Deserialize;

use crate::login::LONGEST_ITEM;
use crate::text::quoted;

/// Where the helper writes the records of live sessions.
const RECORDS: &str = "/run/berth/sessions";

/// A record is far smaller, also with items in it of which each byte is written as `\u0001`; a longer one is none.
const LONGEST_RECORD: u64 = 64 * 1024;
const _: () = assert!(4 * 6 * LONGEST_ITEM as u64 <= LONGEST_RECORD / 2);

/// Where the process is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Nested {
    /// In no berth, or only in a capped cgroup, where there is nothing to refuse.
    Outside,
    /// In a live one of the same user.
    Same,
    /// In a live one of another user.
    Other(String),
    /// In one that it has joined itself: there is no record that it could be compared with.
    Joined,
    /// In one that no record names.
    Unrecorded,
}

impl fmt::Display for Nested {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Nested::Outside => f.write_str("the application is in no berth"),
            Nested::Same => f.write_str("the application is in this user's berth"),
            Nested::Other(user) => write!(
                f,
                "the application runs inside the berth of {}; if it serves others, restart it from outside",
                quoted(user.as_bytes())
            ),
            Nested::Joined => f.write_str(
                "the application has joined a berth itself, and can open no other session",
            ),
            Nested::Unrecorded => f.write_str(
                "the application runs inside a berth that has no record; restart it from outside",
            ),
        }
    }
}

/// What we need of a record; it has more.
#[derive(Debug, Deserialize)]
struct Record {
    user: String,
    pid_namespace: Option<u64>,
    mount_namespace: Option<u64>,
    user_namespace: Option<u64>,
    net_namespace: Option<u64>,
    init: Option<Init>,
}

/// The init of a berth, as the helper sees it.
#[derive(Debug, Deserialize)]
struct Init {
    pid: i32,
    /// Field 22 of /proc/PID/stat (proc_pid_stat(5)).
    start: u64,
}

impl Record {
    /// Whether the berth has ended, and only its record is left. The kernel gives the numbers of its namespaces to others,
    /// the lowest first: to a daemon with a mount namespace of its own, which would be taken for one in the berth.
    fn is_known_to_be_over(&self, proc: &Path, under_init: Option<bool>) -> bool {
        let (Some(init), Some(under_init)) = (&self.init, under_init) else {
            return false;
        };
        let pid = if under_init { 1 } else { init.pid };
        match fs::read(proc.join(pid.to_string()).join("stat")) {
            Ok(stat) => {
                let stat = Stat::parse(&stat);
                let start = stat.start();
                stat.has_ended() || start.is_some_and(|start| start != init.start)
            }
            Err(error) => {
                let gone = [libc::ENOENT, libc::ESRCH];
                error
                    .raw_os_error()
                    .is_some_and(|code| gone.contains(&code))
            }
        }
    }
}

/// The process's namespaces, as inode numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Namespaces {
    pid: Option<u64>,
    mount: Option<u64>,
    user: Option<u64>,
    net: Option<u64>,
}

impl Namespaces {
    fn of(process: &Path) -> Namespaces {
        let inode = |name| namespace(process, name);
        Namespaces {
            pid: inode("pid"),
            mount: inode("mnt"),
            user: inode("user"),
            net: inode("net"),
        }
    }

    fn are_of(self, record: &Record) -> bool {
        let same = |own: Option<u64>, recorded| own.is_some() && own == recorded;
        same(self.pid, record.pid_namespace)
            || same(self.mount, record.mount_namespace)
            || same(self.user, record.user_namespace)
            || same(self.net, record.net_namespace)
    }
}

/// The namespaces in which this process was found to be in no berth: none that is made later has them. A daemon with a
/// mount namespace of its own would read thousands of records in each phase.
static OUTSIDE: Outside = Outside::new(None);
type Outside = Mutex<Option<Namespaces>>;

pub fn nested(user: &[u8]) -> Nested {
    nested_in(Path::new("/proc"), Path::new(RECORDS), &OUTSIDE, user)
}

fn nested_in(proc: &Path, records: &Path, outside: &Outside, user: &[u8]) -> Nested {
    // Where it cannot be read (no descriptor left, a chroot without /proc) the records decide alone.
    let under_init = fs::read(proc.join("1/comm"))
        .map(|comm| comm.trim_ascii_end() == INIT.to_bytes())
        .ok();
    let own = Namespaces::of(&proc.join("self"));
    // The usual case, without reading thousands of records: together with PID 1, and that is not an init
    // of ours.
    if under_init == Some(false) && own.pid.is_some() && own == Namespaces::of(&proc.join("1")) {
        return Nested::Outside;
    }
    // By nobody who would have to be waited for: the application may have been forked just when somebody had it.
    let mut outside = outside.try_lock().ok().filter(|_| own.pid.is_some());
    if outside.as_ref().is_some_and(|known| **known == Some(own)) {
        return Nested::Outside;
    }
    let mut other = None;
    for entry in fs::read_dir(records).into_iter().flatten().flatten() {
        let is_of =
            |record: &Record| own.are_of(record) && !record.is_known_to_be_over(proc, under_init);
        let Some(record) = read(&entry.path()).filter(is_of) else {
            continue;
        };
        if record.user.as_bytes() == user {
            return Nested::Same;
        }
        other = Some(record.user);
    }
    match other {
        Some(other) => Nested::Other(other),
        // Who has joined stays in the old PID namespace, which the berth's /proc does not show.
        None if under_init == Some(true) && !proc.join("self").exists() => Nested::Joined,
        None if under_init == Some(true) => Nested::Unrecorded,
        None => {
            if let Some(known) = &mut outside {
                **known = Some(own);
            }
            Nested::Outside
        }
    }
}

/// One record; `None` for what is none, or could have been written by somebody else.
fn read(path: &Path) -> Option<Record> {
    let file = File::options()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)
        .ok()?;
    let metadata = file.metadata().ok()?;
    if !metadata.is_file() || metadata.uid() != 0 || metadata.mode() & 0o022 != 0 {
        return None;
    }
    let mut text = Vec::new();
    file.take(LONGEST_RECORD).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, chown, symlink};
    use std::path::PathBuf;

    /// A made-up /proc and /run/berth/sessions.
    struct Machine(PathBuf, Outside);

    /// The numbers of the namespaces of its host, and of its berth.
    const HOST: u64 = 4_026_531_836;
    const BERTH: u64 = 4_026_532_100;

    impl Machine {
        fn new(name: &str, init: &str) -> Machine {
            let dir =
                std::env::temp_dir().join(format!("berth-nested-{}-{name}", std::process::id()));
            for sub in ["proc/1/ns", "proc/self/ns", "sessions"] {
                fs::create_dir_all(dir.join(sub)).unwrap();
            }
            fs::write(dir.join("proc/1/comm"), format!("{init}\n")).unwrap();
            Machine(dir, Outside::new(None))
        }

        fn at(self, process: &str, pid: u64, mount: u64) -> Machine {
            self.link(process, "pid", pid).link(process, "mnt", mount)
        }

        fn link(self, process: &str, kind: &str, number: u64) -> Machine {
            let link = self.0.join("proc").join(process).join("ns").join(kind);
            symlink(format!("{kind}:[{number}]"), link).unwrap();
            self
        }

        fn record(self, id: &str, text: &str) -> Machine {
            fs::write(self.0.join("sessions").join(id), text).unwrap();
            self
        }

        fn session(self, id: &str, user: &str) -> Machine {
            self.record(
                id,
                &format!(
                    r#"{{"uid":1,"user":"{user}","pid_namespace":{BERTH},"mount_namespace":{BERTH}}}"#
                ),
            )
        }

        fn nested(&self, user: &str) -> Nested {
            nested_in(
                &self.0.join("proc"),
                &self.0.join("sessions"),
                &self.1,
                user.as_bytes(),
            )
        }
    }

    impl Drop for Machine {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    #[test]
    fn a_process_on_the_host_is_outside() {
        let host = Machine::new("host", "systemd")
            .at("1", HOST, HOST)
            .at("self", HOST, HOST)
            .session("1", "alice");
        assert_eq!(host.nested("alice"), Nested::Outside);
        assert_eq!(host.nested("bob"), Nested::Outside);
    }

    #[test]
    fn a_service_with_a_mount_namespace_of_its_own_is_outside() {
        let service = Machine::new("service", "systemd")
            .at("1", HOST, HOST)
            .at("self", HOST, BERTH)
            .record(
                "1",
                r#"{"user":"bob","pid_namespace":null,"mount_namespace":null}"#,
            )
            .record("2", "{");
        assert_eq!(service.nested("alice"), Nested::Outside);
        // There may be thousands: they are not read again.
        let service = service.session("3", "bob");
        assert_eq!(service.nested("alice"), Nested::Outside);
        fs::remove_file(service.0.join("proc/self/ns/mnt")).unwrap();
        fs::remove_file(service.0.join("proc/self/ns/pid")).unwrap();
        let elsewhere = service.at("self", BERTH, BERTH);
        assert_eq!(elsewhere.nested("alice"), Nested::Other("bob".into()));
    }

    #[test]
    fn inside_a_berth_only_its_own_user_passes() {
        let berth = Machine::new("inside", "berth-init")
            .at("1", BERTH, BERTH)
            .at("self", BERTH, BERTH);
        assert_eq!(berth.nested("alice"), Nested::Unrecorded);
        let berth = berth.session("1", "bob");
        assert_eq!(berth.nested("alice"), Nested::Other("bob".into()));
        assert_eq!(berth.nested("bob"), Nested::Same);
    }

    #[test]
    fn the_longest_record_is_read() {
        let berth = Machine::new("longest", "berth-init")
            .at("1", BERTH, BERTH)
            .at("self", BERTH, BERTH);
        let item = "\\u0001".repeat(LONGEST_ITEM);
        let items = ["service", "tty", "rhost", "ruser"];
        let items = items.map(|name| format!(r#""{name}":"{item}","#)).concat();
        let berth = berth.record(
            "1",
            &format!(r#"{{{items}"user":"bob","pid_namespace":{BERTH},"mount_namespace":null}}"#),
        );
        assert_eq!(berth.nested("alice"), Nested::Other("bob".into()));
    }

    #[test]
    fn where_the_name_of_pid_1_cannot_be_read_the_records_decide() {
        let berth = Machine::new("unread", "berth-init")
            .at("1", BERTH, BERTH)
            .at("self", BERTH, BERTH)
            .session("1", "bob");
        fs::remove_file(berth.0.join("proc/1/comm")).unwrap();
        assert_eq!(berth.nested("alice"), Nested::Other("bob".into()));
        assert_eq!(berth.nested("bob"), Nested::Same);
    }

    #[test]
    fn a_record_whose_berth_has_ended_takes_no_daemon_that_has_got_the_number_of_one_of_its_namespaces()
     {
        let of = |name: &str, init: &str| {
            Machine::new(name, init)
                .at("1", HOST, HOST)
                .at("self", HOST, BERTH)
        };
        let record = |start: u64| {
            format!(
                r#"{{"user":"alice","mount_namespace":{BERTH},"init":{{"pid":77,"start":{start}}}}}"#
            )
        };
        let stat = |machine: &Machine, pid: &str, state: char| {
            let folder = machine.0.join("proc").join(pid);
            fs::create_dir_all(&folder).unwrap();
            let stat = format!("77 (a) b) {state} {}5 0", "0 ".repeat(18));
            fs::write(folder.join("stat"), stat).unwrap();
        };
        let outside = [Nested::Outside, Nested::Outside];
        let inside = [Nested::Same, Nested::Other("alice".into())];
        for (state, start, expected) in [
            (None, 5, &outside),
            (Some('S'), 6, &outside), // somebody else has its PID by now
            (Some('Z'), 5, &outside),
            (Some('S'), 5, &inside),
        ] {
            let machine = of("over", "systemd");
            if let Some(state) = state {
                stat(&machine, "77", state);
            }
            let text = record(start);
            let machine = machine.record("1", &text);
            let both = ["alice", "bob"].map(|user| machine.nested(user));
            assert_eq!(&both, expected, "{state:?} {start}");
        }
        // In a berth its init is PID 1.
        for (start, expected) in [(5, &inside), (6, &[const { Nested::Unrecorded }; 2])] {
            let machine = of("of-another", "berth-init");
            stat(&machine, "1", 'S');
            let text = record(start);
            let machine = machine.record("1", &text);
            let both = ["alice", "bob"].map(|user| machine.nested(user));
            assert_eq!(&both, expected, "{start}");
        }
    }

    #[test]
    fn an_application_that_has_joined_is_inside() {
        // It stays in its old PID namespace, so it has no /proc/self in there.
        let joined = Machine::new("joined", "berth-init").session("1", "alice");
        // What a record leaves open is not what this process cannot see.
        let joined = joined.record(
            "2",
            r#"{"user":"bob","pid_namespace":null,"mount_namespace":null}"#,
        );
        fs::remove_dir_all(joined.0.join("proc/self")).unwrap();
        assert_eq!(joined.nested("alice"), Nested::Joined);
        let mount_only = Machine::new("mount-only", "systemd")
            .at("1", HOST, HOST)
            .at("self", HOST, BERTH)
            .session("1", "alice");
        assert_eq!(mount_only.nested("alice"), Nested::Same);
        assert_eq!(mount_only.nested("bob"), Nested::Other("alice".into()));
    }

    #[test]
    fn an_application_that_has_joined_a_user_namespace_alone_is_inside() {
        let joined = Machine::new("user-only", "systemd")
            .at("1", HOST, HOST)
            .at("self", HOST, HOST)
            .link("self", "user", BERTH)
            .record(
                "1",
                &format!(r#"{{"user":"alice","user_namespace":{BERTH}}}"#),
            );
        assert_eq!(joined.nested("alice"), Nested::Same);
        assert_eq!(joined.nested("bob"), Nested::Other("alice".into()));
    }

    #[test]
    fn a_record_that_others_can_write_counts_for_nothing() {
        let berth = Machine::new("untrusted", "berth-init")
            .at("1", BERTH, BERTH)
            .at("self", BERTH, BERTH)
            .session("1", "alice");
        let record = berth.0.join("sessions/1");
        fs::set_permissions(&record, fs::Permissions::from_mode(0o666)).unwrap();
        assert_eq!(berth.nested("alice"), Nested::Unrecorded);
        fs::set_permissions(&record, fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(berth.nested("alice"), Nested::Same);
        chown(&record, Some(65534), None).unwrap();
        assert_eq!(berth.nested("alice"), Nested::Unrecorded);
        chown(&record, Some(0), None).unwrap();
        fs::rename(&record, berth.0.join("elsewhere")).unwrap();
        symlink(berth.0.join("elsewhere"), &record).unwrap();
        assert_eq!(berth.nested("alice"), Nested::Unrecorded);
    }

    #[test]
    fn this_process_is_outside() {
        assert_eq!(nested(b"alice"), Nested::Outside);
    }
}
